"""The public log of a running ledger: published within a second of what was sequenced, and cosigned as its witnesses answer.

A head is offered to the witnesses once its tiles are durable; those that answer at once are on the checkpoint when it appears, the
others on the same head a little later, or on a later one. While none has, receipts are pending.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx
import msgspec
import structlog

from consent import publish
from consent.core.tiles import Tree
from consent.heads import Head
from consent.ledger import Ledger
from consent.publish import Diverged
from consent.witness import client
from consent.witness.client import Ahead, NotCosigned, Place
from exchange.ports import Clock, Refused, Unavailable
from exchange.stopping import pause

FOLDER = "log"
WITNESSES = "witnesses.json"
"""Names in the data directory."""

PERIOD_S = 0.5
PATIENCE_S = 0.3
"""How long a checkpoint waits for its witnesses before it appears without them."""
RETRY_S = 5.0
START_S = 2.0


class PublicLog:
    """Publishes one ledger's log in a folder, and has its heads cosigned."""

    def __init__(
        self, ledger: Ledger, folder: Path, places: Sequence[Place], clock: Clock, http: httpx.AsyncClient
    ) -> None:
        self._ledger, self._folder, self._places, self._clock, self._http = ledger, folder, places, clock, http
        self._seen = dict.fromkeys(places, 0)
        self._offered: Head | None = None
        self._news, self._answered = asyncio.Condition(), asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """After `start`, until told to stop. What fails is said and tried again."""
        followers = [asyncio.create_task(self._follow(place)) for place in self._places]
        try:
            while not stop.is_set():
                await self._try()
                await pause(stop, PERIOD_S)
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)

    async def start(self) -> None:
        """Before anything is signed: what the folder and the witnesses already hold is made to bind the log."""
        for name in (publish.CHECKPOINT, publish.OFFERED):
            text = publish.published(self._folder, name)
            if text is not None:
                await self._ledger.anchor(text)
        await self._recover()
        held = await self._ledger.signed()
        if held and self._places:
            asked = [asyncio.create_task(self._ask(place, held[-1])) for place in self._places]
            await asyncio.wait(asked, timeout=START_S)

    async def step(self) -> None:
        """Sign the log as it stands, publish it, offer it. Raises what went wrong."""
        text = await self._ledger.checkpoint()
        if text == publish.published(self._folder):
            return
        heads = [head for head in await self._ledger.signed() if head.size <= publish.head(text).size]
        for batch in publish.missing(self._folder, self._ledger.source(), [head.signed for head in heads]):
            await asyncio.to_thread(publish.write, self._folder, batch)
        if self._places:
            offered = [(publish.OFFERED, heads[-1].signed.encode())]
            await asyncio.to_thread(publish.write, self._folder, offered)
        await self._offer(heads[-1])
        final = next(head for head in await self._ledger.signed() if head.size == heads[-1].size)
        await asyncio.to_thread(publish.seal, self._folder, final.note)
        await self._ledger.published(final.size)

    async def _recover(self) -> None:
        """What an older store lacks is read back from the folder; what cannot be leaves the ledger recovering."""
        try:
            while (found := await self._ledger.recover(str(self._folder))).went_on:
                structlog.get_logger().warning("log_read_back", **msgspec.structs.asdict(found))
        except (Refused, Unavailable) as error:
            structlog.get_logger().error("log_not_read_back", why=str(error))

    async def _try(self) -> None:
        try:
            await self.step()
        except (Unavailable, Diverged, ValueError, OSError) as error:
            why = str(error) if isinstance(error, Diverged | Unavailable) else ""
            structlog.get_logger().error("log_not_published", error=type(error).__name__, why=why)

    async def _offer(self, head: Head) -> None:
        """Wake the witnesses' followers, and give them a moment."""
        if not self._places:
            return
        async with self._news:
            self._offered = head
            self._answered.clear()
            self._news.notify_all()
        await pause(self._answered, PATIENCE_S)

    async def _follow(self, place: Place) -> None:
        """One witness: ask it for each head offered, the latest if it is slow."""
        done = -1
        while True:
            async with self._news:
                while (head := self._offered) is None or head.size <= done:
                    await self._news.wait()
            if await self._ask(place, head):
                done = head.size
                await self._tell(head)
            else:
                await self._clock.sleep(RETRY_S)

    async def _tell(self, head: Head) -> None:
        """Everybody has answered for this head: the checkpoint need not wait."""
        for held in await self._ledger.signed():
            if head is self._offered and held.size == head.size and len(held.cosignatures) == len(self._places):
                self._answered.set()

    async def _ask(self, place: Place, head: Head) -> bool:
        """Whether the witness cosigned the head; the cosignature is kept."""
        tree = Tree(head.size, self._ledger.source().hashes)
        now_s = self._clock.now_ms() // 1000
        try:
            line = await client.ask(self._http, place, head.signed, tree.consistency, now_s, self._seen[place])
            await self._ledger.cosigned(head, [line])
        except Ahead as ahead:
            await self._ledger.witnessed(ahead.size)
            return False
        except (NotCosigned, Unavailable) as error:
            structlog.get_logger().warning("not_cosigned", witness=place.witness.name, why=str(error))
            return False
        self._seen[place] = head.size
        return True

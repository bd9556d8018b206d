"""An application's side of a watch: the first answer, then each answer that changed, until the watch ends (ADR 0019)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from consent import certificates
from consent.core.facts import Outcome, RequestKey, Submission, Waiting
from exchange import outcomes
from exchange.core.errors import Code
from exchange.core.watch import number_of, submission
from exchange.hearing import awaits_person

if TYPE_CHECKING:
    from exchange.sdk import Request, Told


class BadName(ValueError):
    """Not the name of a watch."""


class Change(NamedTuple):
    """An answer that differs from the one before; `number` 0 is the first. `cursor` goes on after it."""

    cursor: str
    number: int
    answer: outcomes.Answer


@dataclass(frozen=True)
class Watch:
    """A watch that the broker accepted. `cursor` is where its outcomes begin; `until_ms` (since 1970 UTC) is 0 for as long as it lasts."""

    request: Request
    until_ms: int
    cursor: str = ""

    @property
    def name(self) -> str:
        """What to keep, beside a cursor, to go on in another process (`Bus.resume`): ids and hashes, nothing personal."""
        request = self.request
        parts = (request.key.request, request.authorisation, request.digest, request.ask_hash)
        return ".".join([*(part.hex() for part in parts), str(self.until_ms)])

    async def changes(self, after: str | None = None) -> AsyncGenerator[Change, None]:
        """The first answer and each one that changed, opened and their receipts verified, after a cursor (None: from the beginning).

        Ends at `until_ms`. Raises the `ExchangeError` that ended the watch: withdrawn, used up, expired, replaced…; what the bus could
        not deliver in time, or the person did not let through, is looked up again at the next look.
        """
        await self.request.bus.keys.read()  # a watch may have been begun in another process
        after = self.cursor if after is None else after
        async with aclosing(self.request.bus.told(after)) as told:
            seen = -1
            while (event := await self._next(told)) is not None:
                number = self._number(event.told)
                if number is None or number <= seen or awaits_person(event.told):
                    continue  # somebody else's, told again, or not to be had yet
                request = replace(self.request, key=event.told.key, digest=event.told.digest)
                try:
                    outcome = await request.bus.outcome(event.told)
                except (outcomes.NothingWaits, outcomes.AwaitsPerson):
                    continue  # opened before, too late, or told again once its person has let it through
                if number and (outcome.code == "expired" or outcome.reason == Code.PREVIEW_REJECTED):
                    continue
                seen = number
                if outcome.delivery == "key":
                    await self._recall(outcome.certificate_hash)
                answer = request.bus.open(request, outcome)
                await request.bus.received(request)
                yield Change(event.cursor, number, answer)

    async def _recall(self, certificate_hash: bytes) -> None:
        """The capsule of an agreement whose key was replaced meanwhile is asked for again."""
        bus, authorisation = self.request.bus, self.request.authorisation
        capsule = bus.wallet.capsule(authorisation)
        if capsule is None or certificates.certificate_hash(capsule.certificate) == certificate_hash:
            return
        await bus.recall(authorisation)

    async def _next(self, events: AsyncIterator[Told]) -> Told | None:
        """The next event; None once the watch is over."""
        clock = self.request.bus.clock
        if not self.until_ms:
            return await anext(events)
        coming: asyncio.Future[Any] = asyncio.ensure_future(anext(events))
        over: asyncio.Future[Any] = asyncio.ensure_future(clock.sleep(max(self.until_ms - clock.now_ms(), 0) / 1000))
        try:
            await asyncio.wait((coming, over), return_when=asyncio.FIRST_COMPLETED)
            return coming.result() if coming.done() else None
        finally:
            for waiting in (coming, over):
                waiting.cancel()
            await asyncio.gather(coming, over, return_exceptions=True)

    def _number(self, told: Outcome | Waiting) -> int | None:
        """Which look this is of; None if it is none of this watch."""
        first = Submission(self.request.key, self.request.digest)
        number = number_of(told.key.request, first.digest)
        return number if submission(first, self.request.ask_hash, number) == Submission(told.key, told.digest) else None


def parts_of(name: str, operator: str) -> tuple[RequestKey, bytes, bytes, int]:
    """Request key, digest, hash of the ask and end of the watch of this name. Raises BadName."""
    try:
        *hexes, until_ms = name.split(".")
        request, authorisation, digest, ask_hash = map(bytes.fromhex, hexes)
        return RequestKey(operator, authorisation, request), digest, ask_hash, int(until_ms)
    except ValueError:
        raise BadName("not the name of a watch") from None

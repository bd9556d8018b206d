"""A story every fault is told: an agreement given, an answer released and confirmed, a withdrawal, an erasure, a head signed. Each step
is told a file as it is acknowledged; afterwards the store is held to what was told.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from consent import publish
from consent.core import merkle
from consent.core.facts import Answer, Evidence, Outcome, State, Submission
from consent.core.tiles import Tree
from consent.stores import tables as t
from consent.stores.engine import open_store
from exchange.core.identity import canonical
from exchange.introduction import terms
from exchange.ports import Unavailable
from tests.world import JEANNE, OPERATOR, PAUL, RECIPIENT, World

GIVEN = b"an agreement, id"
PAPER = Evidence("counter", "agent-7", bytes(32))
STEPS = ("given", "released", "confirmed", "withdrawn", "erased", "head")


class Story:
    """A store made once, and its parties. Each fault begins with the same bytes at the same place: one engine, whose statements are
    compiled once, serves them all."""

    def __init__(self, world: World, folder: Path, answer: Answer, leaving: bytes, erasing: bytes) -> None:
        self.world, self.answer, self.leaving, self.erasing = world, answer, leaving, erasing
        self.store, self.told, self._made = folder / "ledger.db", folder / "told", (folder / "ledger.db").read_bytes()
        self.outcome: Outcome | None = None

    @classmethod
    async def made(cls, folder: Path) -> Story:
        world = await World.open(folder / "ledger.db")
        _, answer = await world.answered(await world.give(max_uses=3))
        leaving, erasing = await world.give(PAUL), await world.give(JEANNE)
        for authorisation in (leaving, erasing):
            _, before = await world.answered(authorisation)
            await world.confirm(await world.told(before))
        await world.ledger.checkpoint()
        world.engine.dispose()
        return cls(world, folder, answer, leaving, erasing)

    def moved(self, folder: Path) -> Story:
        """The same story in another folder: for another process."""
        (folder / "ledger.db").write_bytes(self._made)
        self.world.engine = open_store(folder / "ledger.db")
        return Story(self.world, folder, self.answer, self.leaving, self.erasing)

    @property
    def files(self) -> tuple[Path, ...]:
        """The store, its log and its index."""
        return (self.store, *(self.store.with_name(f"{self.store.name}-{part}") for part in ("wal", "shm")))

    def begin(self) -> None:
        """As if nothing had happened."""
        self.close()
        for file in (*self.files, self.told):
            file.unlink(missing_ok=True)
        self.store.write_bytes(self._made)

    def close(self) -> None:
        """Another process next."""
        self.world.engine.dispose()
        self.world.restart()

    def work(self) -> Callable[[], None]:
        """For a process of its own: all steps, whatever becomes of each."""
        with self.world.engine.connect():
            file = os.open(self.told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return lambda: asyncio.run(self._tell(file))

    async def _tell(self, file: int) -> None:
        for step in STEPS:
            try:
                os.write(file, json.dumps([step, await self.act(step)]).encode() + b"\n")
            except Unavailable:
                continue  # refused, or unknown

    async def act(self, step: str) -> Any:
        """One step, asked for as often as one likes; what its caller was told."""
        acts: dict[str, Callable[[], Awaitable[Any]]] = {
            "given": self._give, "released": self._release, "confirmed": self._confirm, "head": self.world.ledger.checkpoint,
            "withdrawn": lambda: self._withdraw(self.leaving, "withdrawn"), "erased": lambda: self._withdraw(self.erasing, "erased"),
        }  # fmt: skip
        return await acts[step]()

    async def _give(self) -> int:
        agreed = terms(RECIPIENT, self.world.clock.now_ms())
        return (await self.world.ledger.grant(GIVEN, agreed, canonical(PAUL), PAPER, OPERATOR)).leaf_index

    async def _release(self) -> int | None:
        """The leaf that was told; None where the outcome was confirmed before."""
        (told,) = await self.world.release(self.answer)
        if not isinstance(told, Outcome):
            return None
        assert told.code == "released" and told.inner, told
        self.outcome = told
        return told.leaf_index

    async def _confirm(self) -> None:
        if self.outcome is None:
            raise Unavailable("nothing was told")
        await self.world.confirm(self.outcome)

    async def _withdraw(self, authorisation: bytes, happening: str) -> list[Any]:
        told = await self.world.ledger.withdraw(authorisation, happening)
        return [told.leaf_index, told.note]

    def hold(self) -> None:
        """What was acknowledged is there, what was not is whole or absent; asked again, every step gives what it gave, and all is done
        once. AssertionError."""
        before = dict(map(json.loads, self.told.read_text().splitlines())) if self.told.exists() else {}
        self.close()
        asyncio.run(self._hold(before))
        self.close()

    async def _hold(self, before: dict[str, Any]) -> None:
        self.outcome, world = None, self.world
        assert await world.ledger.verify() == []
        if "head" in before:
            self._follows(before["head"])
        if "given" in before:
            assert [entry.index for entry in await world.ledger.entries(GIVEN)] == [before["given"]]
        if "erased" in before:
            assert not await world.ledger.has_key(self.erasing)
        if "withdrawn" in before:
            assert not await world.ledger.has_key(self.leaving)
        for step in STEPS:
            try:
                again = await self.act(step)
            except Unavailable:
                assert step == "confirmed" and await self._settled()
                continue
            if step in before and step != "head" and again is not None:
                assert again == before[step], step
        self._follows(before.get("head"))
        await self._done()

    async def _settled(self) -> bool:
        """The outcome was confirmed: there is nothing more to tell."""
        return not any(await self.world.ledger.unconfirmed([Submission(self.answer.key, self.answer.digest)]))

    def _follows(self, head: str | None) -> None:
        """The log leads to this head."""
        with self.world.engine.begin() as connection:
            hashes = [bytes(h) for h in connection.execute(select(t.leaf.c.hash).order_by(t.leaf.c.idx)).scalars()]
        if head is not None:
            told = publish.head(head)
            assert merkle.root(hashes[: told.size]) == told.root
            assert Tree(told.size, self.world.ledger.source().hashes).root() == told.root

    async def _done(self) -> None:
        """Everything happened, each once."""
        ledger, c = self.world.ledger, t.leaf.c
        assert await ledger.verify() == []
        (given, left, gone) = await ledger.lookup([GIVEN, self.leaving, self.erasing])
        assert given and left and gone
        assert (given.state, left.state, gone.state) == (State.LIVE, State.WITHDRAWN, State.ERASED)
        (used,) = await ledger.lookup([self.answer.key.authorisation])
        released = select(func.count()).where(c.request == self.answer.key.request, c.kind == "released")
        terminal = select(func.count()).where(t.terminal.c.request == self.answer.key.request)
        with self.world.engine.begin() as connection:
            counted = (connection.execute(released).scalar_one(), connection.execute(terminal).scalar_one())
        assert used is not None and (used.uses, *counted) == (1, 1, 1)

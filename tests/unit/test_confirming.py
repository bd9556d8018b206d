"""What the broker has and the ledger has not heard of: with the next release or alone, never lost, never passed by a commit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from consent.core.facts import Confirmation, Dropped, Outcome, RequestKey, Submission
from exchange.agents.confirming import Confirming
from exchange.agents.release import Release
from exchange.ports import Unavailable
from exchange.testing import MemoryRecord
from exchange.tracing import Tracing
from tests.unit.test_agents import SlowLedger, SlowOutbox, record
from tests.world import World


class Books:
    """A ledger that notes what it is told of; `away`: it does not answer; `slow`: not before it is set."""

    def __init__(self) -> None:
        self.away, self.slow = False, asyncio.Event()
        self.slow.set()
        self.calls: list[tuple[int, list[int]]] = []

    async def release(self, items: Sequence[Any], confirmed: Sequence[Confirmation], worker: str = "") -> list[Any]:
        await self.slow.wait()
        if self.away:
            raise Unavailable("ledger")
        self.calls.append((len(items), [c.key.request[0] for c in confirmed]))
        return [Dropped()] * len(items)


def told(number: int, partition: int = 0) -> tuple[Outcome, MemoryRecord]:
    """The outcome of the request of that number, of the record at that offset."""
    key = RequestKey("213300557", bytes(16), bytes([number]) + bytes(15))
    return Outcome(key, bytes(32), "refused", "none", "", "", 0, 0), MemoryRecord(
        "answers.cnaf.v1", partition, number, 0, None, b"", []
    )


async def test_what_waits_goes_with_the_next_release_once() -> None:
    """One transaction for both; until it is done the offset is held; nothing alone where nothing waits."""
    books = Books()
    confirming = Confirming(books)  # type: ignore[arg-type]
    confirming.add([told(5), told(3), told(9, partition=1)])
    assert confirming and confirming.held("answers.cnaf.v1", 0) == 3 and confirming.held("answers.cnaf.v1", 1) == 9
    assert confirming.held("verdicts.v1", 0) is None
    await confirming.release([object()])  # type: ignore[list-item]
    await confirming.confirm()
    assert books.calls == [(1, [5, 3, 9])]
    assert not confirming and confirming.held("answers.cnaf.v1", 0) is None


@pytest.mark.parametrize("end", ["away", "cancelled"])
async def test_what_the_ledger_did_not_take_waits_on(end: str) -> None:
    """It stays held while it is told and after a failure, and is told with the next; what came meanwhile too."""
    books = Books()
    confirming = Confirming(books)  # type: ignore[arg-type]
    confirming.add([told(1)])
    books.slow.clear()
    telling = asyncio.create_task(confirming.confirm())
    await asyncio.sleep(0)
    assert not confirming and confirming.held("answers.cnaf.v1", 0) == 1
    confirming.add([told(2)])
    if end == "away":
        books.away = True
        books.slow.set()
        with pytest.raises(Unavailable):
            await telling
    else:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
    assert confirming.held("answers.cnaf.v1", 0) == 1
    books.away = False
    books.slow.set()
    await confirming.confirm()
    assert books.calls == [(0, [1, 2])] and confirming.held("answers.cnaf.v1", 0) is None


async def test_overlapping_releases_tell_different_ones() -> None:
    """Each takes what no other has taken; an offset is held until its own has come through."""
    books = Books()
    confirming = Confirming(books)  # type: ignore[arg-type]
    books.slow.clear()
    confirming.add([told(1)])
    first = asyncio.create_task(confirming.confirm())
    await asyncio.sleep(0)
    confirming.add([told(2)])
    second = asyncio.create_task(confirming.confirm())
    await asyncio.sleep(0)
    assert confirming.held("answers.cnaf.v1", 0) == 1
    books.slow.set()
    await asyncio.gather(first, second)
    assert books.calls == [(0, [1]), (0, [2])] and confirming.held("answers.cnaf.v1", 0) is None


class Patient:
    """The world's clock, whose sleep ends when `over` is set."""

    def __init__(self, world: World) -> None:
        self._clock, self.over = world.clock, asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    async def sleep(self, seconds: float) -> None:
        await self.over.wait()


def agent_of(world: World) -> tuple[Release, SlowLedger, Patient]:
    ledger, clock = SlowLedger(world), Patient(world)
    ledger.over = world.ledger.over  # type: ignore[attr-defined]  # what a tick asks as well
    return Release(ledger, SlowOutbox(world.clock), clock, Tracing()), ledger, clock  # type: ignore[arg-type]


async def unconfirmed(world: World, *answers: Any) -> list[bool]:
    return await world.ledger.unconfirmed([Submission(answer.key, answer.digest) for answer in answers])


async def test_the_agent_confirms_with_what_it_releases_next() -> None:
    """After `handle` the ledger need not know yet, and the record's offset is held; the next answer brings the word along."""
    world = await World.open()
    agent, ledger, _ = agent_of(world)
    (_, one), (_, two) = await world.answered(await world.give()), await world.answered(await world.give())
    await agent.handle([record(one)])
    assert await unconfirmed(world, one) == [True] and agent.held(record(one).topic, 0) == 0
    await agent.handle([record(two)])
    assert await unconfirmed(world, one, two) == [False, True]
    await agent.tick()
    assert await unconfirmed(world, two) == [False] and agent.held(record(one).topic, 0) is None
    assert len(ledger.asked_ms) == 2


async def test_or_alone_after_a_while() -> None:
    """Nothing else comes: the ledger hears of it all the same, without a tick."""
    world = await World.open()
    agent, _, clock = agent_of(world)
    _, answer = await world.answered(await world.give())
    await agent.handle([record(answer)])
    assert await unconfirmed(world, answer) == [True]
    clock.over.set()
    async with asyncio.timeout(5):
        while (await unconfirmed(world, answer))[0]:
            await asyncio.sleep(0.01)
    assert agent.held(record(answer).topic, 0) is None


class Halting(SlowLedger):
    """Holds a confirmation alone back until `go`."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def release(self, items: Any, confirmed: Any, worker: str = "") -> Any:
        if not items:
            self.begun.set()
            await self.go.wait()
        return await super().release(items, confirmed, worker)


async def test_what_is_told_meanwhile_waits_for_no_tick() -> None:
    """While a lone confirmation is on its way another outcome is told: it is confirmed as soon."""
    world = await World.open()
    ledger, clock = Halting(world), Patient(world)
    agent = Release(ledger, SlowOutbox(world.clock), clock, Tracing())  # type: ignore[arg-type]
    (_, one), (_, two) = await world.answered(await world.give()), await world.answered(await world.give())
    clock.over.set()
    await agent.handle([record(one)])
    await ledger.begun.wait()
    await agent.handle([record(two)])
    ledger.go.set()
    async with asyncio.timeout(5):
        while any(await unconfirmed(world, one, two)):
            await asyncio.sleep(0.01)

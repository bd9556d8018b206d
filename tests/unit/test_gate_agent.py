"""The gate's way with a chunk: what is allowed from memory, what the ledger says of the rest, done when all of it is durable."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from bench.agreements import Agreement
from bench.load import Load
from consent.core.facts import REGISTER
from consent.core.glance import Glance
from exchange import wire
from exchange.agents.gate import Gate
from exchange.core import topics
from exchange.core.decision import Ask
from exchange.core.errors import Code
from exchange.core.memory import Memory, serving
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import PURPOSES
from exchange.ports import Ledger, Unavailable
from exchange.testing import MemoryBroker, MemoryRecord, VirtualClock
from exchange.tracing import Tracing
from tests.world import OPERATOR, RECIPIENT, World

COUNT = 500
TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")


class Place:
    """A gate before a ledger with two agreements, the second withdrawn, and requests about each in turn."""

    def __init__(self, agreements: list[Agreement], world: World) -> None:
        ask = Ask(RECIPIENT, QUOTIENT_FAMILIAL.name, PURPOSES[0], tuple(sorted(QUOTIENT_FAMILIAL.scopes)), ())
        self.clock = VirtualClock()
        self.load = Load.of(agreements, [ask], [n % 2 for n in range(COUNT)], self.clock.now_ms())
        self.broker, self.memory = MemoryBroker(self.clock), Memory(bytes(32))
        self.broker.create(topics.specs([OPERATOR], [QUOTIENT_FAMILIAL.provider], partitions=2, cluster=False))
        self.memory.beat(self.clock.now_ms())
        self.gate = Gate(world.ledger, self.broker, self.clock, self.memory, Tracing())
        self.chunk = [
            MemoryRecord(topics.requests(OPERATOR), 1, n, self.clock.now_ms(), message.key, message.value, tuple(message.headers))
            for n, message in enumerate(self.load.messages())
        ]  # fmt: skip

    def tasks(self) -> list[MemoryRecord]:
        return self.broker.records(topics.tasks(QUOTIENT_FAMILIAL.provider))

    def verdicts(self) -> list[MemoryRecord]:
        return self.broker.records(topics.VERDICTS)


class Overheard:
    """A ledger, and what it is asked."""

    def __init__(self, ledger: Any, asked: list[str]) -> None:
        self._ledger, self._asked = ledger, asked

    def __getattr__(self, method: str) -> Any:
        self._asked.append(method)
        return getattr(self._ledger, method)


@pytest.fixture
async def place() -> Place:
    world, agreements = await World.open(), list[Agreement]()
    for live in (True, False):
        consent = await world.give(max_uses=COUNT)
        agreements.append(Agreement(consent, world.certificate(consent).hash, live))
        if not live:
            await world.ledger.withdraw(consent, "withdrawn")
    return Place(agreements, world)


async def test_each_request_has_its_fate_once_in_order(place: Place) -> None:
    """Those of the agreement that stands become tasks, in the order they came; the others are refused as withdrawn; all are written
    when the gate says it is done."""
    await place.gate.handle(place.chunk)
    assert [number(record) for record in place.tasks()] == list(range(0, COUNT, 2))
    assert [number(record) for record in place.verdicts()] == list(range(1, COUNT, 2))
    assert {record.partition for record in place.tasks()} == {1}
    assert {wire.read_verdict(record).reason for record in place.verdicts()} == {Code.WITHDRAWN}


async def test_what_is_closed_is_refused_on_a_glance_each_time(place: Place) -> None:
    """Also the second time, when memory knows: the ledger is asked again, once, and each verdict is the same, byte for byte."""
    asked = list[str]()
    place.gate._ledger = cast(Ledger, Overheard(place.gate._ledger, asked))
    for _ in range(2):
        await place.gate.handle(place.chunk)
    told = [(one.key, one.value, one.headers, one.partition) for one in place.verdicts()]
    assert asked == ["glance", "glance"]
    assert told[: COUNT // 2] == told[COUNT // 2 :]


async def test_what_an_event_names_while_the_ledger_is_asked_is_read_whole(place: Place) -> None:
    """The glance may be older than the event: it is not remembered, and each request has its fate on what the ledger says afterwards."""
    asked, glance = list[str](), place.gate._ledger.glance
    standing = place.chunk[0].key or b""

    async def glancing(ids: Sequence[bytes]) -> Glance:
        seen = await glance(ids)
        place.memory.hear([standing], place.clock.now_ms())
        return seen

    overheard = Overheard(place.gate._ledger, asked)
    overheard.glance = glancing
    place.gate._ledger = cast(Ledger, overheard)
    await place.gate.handle(place.chunk)
    assert asked == ["lookup"] and [number(record) for record in place.tasks()] == list(range(0, COUNT, 2))
    assert not serving(place.memory.find(np.frombuffer(standing, "<u8").reshape(-1, 2)), 0).any()


async def test_a_delegation_that_ends_ends_for_all_that_is_remembered(place: Place) -> None:
    """A change of the register makes the gate ask the ledger about one agreement of each terms, and what it says counts for the others; the
    same where the delegation comes back."""
    await place.gate.handle(place.chunk)
    delegate, asked = place.gate._ledger.delegate, list[str]()  # type: ignore[attr-defined]  # the whole ledger
    place.gate._ledger = cast(Ledger, Overheard(place.gate._ledger, asked))
    standing, now_ms = place.chunk[::2], place.clock.now_ms()
    for until_ms, tasks, told in ((-1, 250, 500), (10**9, 500, 500)):
        await delegate(RECIPIENT, OPERATOR, now_ms + until_ms)
        place.memory.hear([REGISTER], now_ms)
        asked.clear()
        await place.gate.handle(standing[:1])
        assert asked[0] == "glance"
        asked.clear()
        await place.gate.handle(standing[1:])
        assert (len(place.tasks()), len(place.verdicts())) == (tasks, told)
        assert not asked or until_ms < 0
    refused = [wire.read_verdict(record).reason for record in place.verdicts()[COUNT // 2 :]]
    assert set(refused) == {Code.DELEGATION_ABSENT}


async def test_what_could_not_be_sent_makes_the_whole_chunk_come_again(place: Place) -> None:
    """One send fails: the gate says so once the others have ended, leaves nothing running, and the second time nothing is missing."""
    for failing in range(1, 3):
        place.broker.fail_next = failing
        with pytest.raises(Unavailable):
            await place.gate.handle(place.chunk)
        assert asyncio.all_tasks() == {asyncio.current_task()}
    await place.gate.handle(place.chunk)
    told = Counter(number(record) for record in [*place.tasks(), *place.verdicts()])
    assert told.keys() == set(range(COUNT))


async def test_a_cancelled_chunk_is_cancelled_whatever_its_sends_say(place: Place) -> None:
    """Who stops the gate is not told that the broker does not answer: the runner would try again."""
    place.broker.fail_next = COUNT
    handling = asyncio.create_task(place.gate.handle(place.chunk))
    await asyncio.sleep(0)
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling


async def test_a_message_has_the_headers_of_its_event_and_its_requests_trace(place: Place) -> None:
    """The event's id is the request's; a trace goes on where there is one, and nowhere else."""
    for traced, record in enumerate(place.chunk[:2]):
        await place.gate.handle([record, place.chunk[2 + traced]._replace(headers=(*record.headers, TRACE))])
    for plain, traced in (place.tasks(), place.verdicts()):
        assert dict(plain.headers)["ce_id"].decode() == (plain.value or b"")[5:21].hex()
        assert "traceparent" not in dict(plain.headers)
        assert dict(traced.headers)["traceparent"] == TRACE[1]
        assert dict(traced.headers)["ce_id"].decode() == (traced.value or b"")[5:21].hex()
        assert dict(plain.headers).keys() < dict(traced.headers).keys()


def number(record: MemoryRecord) -> int:
    """Which request a task or verdict is about: its id ends with it."""
    return int.from_bytes((record.value or b"")[17:21], "big")

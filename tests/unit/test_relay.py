"""What the ledger's relay tells the gates, and what a gate may take from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from consent.core.facts import Event
from exchange import wire
from exchange.agents.gate import Listener
from exchange.agents.relay import HEARTBEAT_MS, LIMIT, Relay
from exchange.core.memory import SILENCE_MAX_MS, Memory
from exchange.core.topics import CONSENT_EVENTS
from exchange.testing import MemoryBroker, MemoryRecord, VirtualClock
from tests.unit.glancing import learn
from tests.unit.test_memory import HELD

PLACE = (CONSENT_EVENTS, 0)


class Outbox:
    """The lines of a ledger's outbox: `count` changes of one authorisation, all made at `at_ms`."""

    def __init__(self, count: int, at_ms: int) -> None:
        self.count, self.at_ms = count, at_ms

    async def events(self, after: int, limit: int) -> list[Event]:
        upto = min(self.count, after + limit)
        return [Event(number, HELD.id, number, "live", self.at_ms) for number in range(after + 1, upto + 1)]


def stage(count: int, at_ms: int | None = None) -> tuple[Relay, MemoryBroker, VirtualClock]:
    clock = VirtualClock()
    broker, ledger = MemoryBroker(clock), Outbox(count, clock.now_ms() if at_ms is None else at_ms)
    broker.logs[PLACE] = []
    return Relay(cast(Any, ledger), broker, clock), broker, clock


def told(records: Sequence[MemoryRecord]) -> list[tuple[str, int]]:
    events = [wire.read("consent-event", record.value) for record in records]
    return [(event["kind"], event["sequence"]) for event in events]


async def test_no_heartbeat_while_there_is_more_to_tell() -> None:
    """A heartbeat says that all was told: it comes after the last change, and not before."""
    relay, broker, _ = stage(2 * LIMIT + 1)
    await relay.tick()
    await relay.tick()
    assert {kind for kind, _ in told(broker.logs[PLACE])} == {"changed"}
    await relay.tick()
    assert told(broker.logs[PLACE])[-2:] == [("changed", 2 * LIMIT + 1), ("heartbeat", 2 * LIMIT)]


async def test_a_heartbeat_a_second() -> None:
    """Silence is filled, once a second at most."""
    relay, broker, clock = stage(0)
    for _ in range(4):
        await relay.tick()
        clock.advance(HEARTBEAT_MS // 2)
    assert told(broker.logs[PLACE]) == [("heartbeat", 0)] * 2


async def test_an_old_change_told_late_makes_no_memory_trusted() -> None:
    """While a relay works off what it is behind, a gate trusts nothing it remembers; the heartbeat after it changes that."""
    relay, broker, clock = stage(LIMIT, at_ms=VirtualClock().now_ms() - SILENCE_MAX_MS - 1)
    memory = Memory(bytes(32))
    await relay.tick()
    Listener(memory).handle(broker.logs[PLACE])
    learn(memory, [HELD])
    assert not memory.trusted(clock.now_ms())
    await relay.tick()
    Listener(memory).handle(broker.logs[PLACE][LIMIT:])
    learn(memory, [HELD])
    assert memory.trusted(clock.now_ms())

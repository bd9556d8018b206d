"""Release within its lease, and deadlines that survive a ledger that does not answer."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from connectors.agent import Connector
from connectors.watcher import Watcher
from consent.core.facts import Answer, Outcome
from exchange import wire
from exchange.agents.base import Quiet
from exchange.agents.deadline import AGAIN_MS, ALARM_MS, Deadline
from exchange.agents.gate import Gate
from exchange.agents.journal import Journal
from exchange.agents.release import Release
from exchange.agents.retries import Retries
from exchange.core import topics
from exchange.core.errors import Code
from exchange.core.heads import HEAD
from exchange.ports import LEASE_MS, Batches, Unavailable
from exchange.schemas import catalogue
from exchange.testing import START_MS, MemoryRecord
from exchange.tracing import Tracing
from tests.world import OPERATOR, SetClock, World

TOPIC = topics.answers("cnaf")


class SlowOutbox:
    """`exchange.ports.Outbox` whose sends take what `delays_ms` says; none is written after the time it was given."""

    def __init__(self, clock: SetClock, *delays_ms: int) -> None:
        self.clock, self.delays_ms = clock, list(delays_ms)
        self.written: list[tuple[int, Batches]] = []
        self.timeouts_ms: list[int | None] = []

    def partitions(self, topic: str) -> int:
        return 1

    async def send(self, batches: Batches, timeout_ms: int | None = None) -> None:
        self.timeouts_ms.append(timeout_ms)
        delay_ms = self.delays_ms.pop(0) if self.delays_ms else 0
        if timeout_ms is not None and delay_ms > timeout_ms:
            self.clock.advance(timeout_ms)
            raise Unavailable("not in time")
        self.clock.advance(delay_ms)
        self.written.append((self.clock.monotonic_ms(), batches))

    def outcomes(self) -> list[tuple[int, Outcome]]:
        """Each outcome written, and when."""
        return [
            (at_ms, wire.read_outcome(MemoryRecord(topic, 0, 0, 0, m.key, m.value, m.headers)))
            for at_ms, batches in self.written
            for (topic, _), messages in batches.items()
            for m in messages
            if topic == topics.outcomes(OPERATOR)
        ]


class SlowLedger:
    """The world's ledger, whose releases take what `delays_ms` says; `asked_ms` are the times it was asked."""

    def __init__(self, world: World, *delays_ms: int) -> None:
        self.world, self.delays_ms = world, list(delays_ms)
        self.asked_ms: list[int] = []

    async def release(self, items: Any, confirmed: Any, worker: str = "") -> Any:
        if items:
            self.asked_ms.append(self.world.clock.monotonic_ms())
        results = await self.world.ledger.release(items, confirmed, worker)
        self.world.clock.advance(self.delays_ms.pop(0) if items and self.delays_ms else 0)
        return results


def record(answer: Answer) -> MemoryRecord:
    value = wire.write_answer(answer.key, answer.digest, answer.tag, answer.sealed_key, answer.outer)
    return MemoryRecord(TOPIC, 0, 0, START_MS, answer.key.authorisation, value, [])


async def settle(world: World, ledger: SlowLedger, outbox: SlowOutbox) -> Answer:
    """One answer through the release agent."""
    _, answer = await world.answered(await world.give())
    await Release(ledger, outbox, world.clock, Tracing(), confirm_s=0).handle([record(answer)])  # type: ignore[arg-type]
    return answer


@pytest.mark.parametrize(
    ("ledger_ms", "outbox_ms", "asked"),
    [
        ([], [], 1),
        ([LEASE_MS - 1], [], 1),
        ([LEASE_MS], [], 2),
        ([LEASE_MS + 1], [], 2),
        ([], [LEASE_MS], 1),
        ([], [LEASE_MS + 1], 2),
        ([400], [101], 2),
        ([400], [100], 1),
        ([LEASE_MS * 4, 0], [LEASE_MS * 4, 0], 3),
    ],
)
async def test_no_key_is_sent_after_its_lease(ledger_ms: list[int], outbox_ms: list[int], asked: int) -> None:
    """A slow ledger or a slow broker: the opened answer is dropped and the ledger asked again; one outcome, in time."""
    world = await World.open()
    ledger, outbox = SlowLedger(world, *ledger_ms), SlowOutbox(world.clock, *outbox_ms)
    answer = await settle(world, ledger, outbox)
    ((written_ms, outcome),) = outbox.outcomes()
    assert (outcome.code, outcome.delivery, len(ledger.asked_ms)) == ("released", "key", asked)
    assert written_ms - ledger.asked_ms[-1] <= LEASE_MS
    assert await world.release(answer) != [outcome]  # confirmed: told no more
    (held,) = await world.ledger.lookup([answer.key.authorisation])
    assert held is not None and held.uses == 1


async def test_a_broker_that_never_answers_in_time_leaves_the_chunk_for_later() -> None:
    """No key is ever written late: in the end the agent says unavailable, and the chunk comes again."""
    world = await World.open()
    ledger, outbox = SlowLedger(world), SlowOutbox(world.clock, *[LEASE_MS + 1] * 50)
    with pytest.raises(Unavailable):
        await settle(world, ledger, outbox)
    assert outbox.outcomes() == []
    assert all(timeout_ms is not None and 0 < timeout_ms <= LEASE_MS for timeout_ms in outbox.timeouts_ms)


async def test_an_outcome_without_key_has_no_lease() -> None:
    """A refusal may be sent late: there is nothing in it to keep."""
    world = await World.open()
    a = await world.give()
    _, answer = await world.answered(a)
    await world.ledger.withdraw(a, "withdrawn")
    outbox = SlowOutbox(world.clock, LEASE_MS * 10)
    agent = Release(SlowLedger(world, LEASE_MS * 10), outbox, world.clock, Tracing(), confirm_s=0)  # type: ignore[arg-type]
    await agent.handle([record(answer)])
    ((_, outcome),) = outbox.outcomes()
    assert (outcome.code, outcome.reason, outbox.timeouts_ms) == ("refused", Code.WITHDRAWN, [None])


class MutedLedger:
    """Answers nothing while `muted`, then that every submission is open or told, and overdue where it is `late`."""

    def __init__(self) -> None:
        self.muted, self.open, self.late = True, True, False

    async def unconfirmed(self, submissions: list[Any]) -> list[bool]:
        if self.muted:
            raise Unavailable("muted")
        return [self.open] * len(submissions)

    async def overdue(self, submissions: list[Any], age_ms: int) -> list[bool]:
        assert age_ms == ALARM_MS
        return [self.late] * len(submissions)


REQUEST = HEAD.pack(catalogue().prefix("exchange-request"), b"r" * 16, b"a" * 16, bytes(32), 3_000) + b"\x00\x00"


def request(offset: int) -> MemoryRecord:
    return MemoryRecord(topics.requests(OPERATOR), 0, offset, START_MS, b"a" * 16, REQUEST, [])


@pytest.fixture
def watched() -> tuple[Deadline, MutedLedger, SlowOutbox, SetClock]:
    ledger, clock = MutedLedger(), SetClock()
    outbox = SlowOutbox(clock)
    return Deadline(ledger, outbox, clock), ledger, outbox, clock  # type: ignore[arg-type]


Watched = tuple[Deadline, MutedLedger, SlowOutbox, SetClock]


async def test_deadlines_survive_a_ledger_that_does_not_answer(watched: Watched) -> None:
    """I13: what could not be looked at is looked at again; expired is proposed, again and again, until it is told."""
    agent, ledger, outbox, clock = watched
    await agent.handle([request(7)])
    clock.advance(3_000)
    for _ in range(3):
        with pytest.raises(Unavailable):
            await agent.tick()
    ledger.muted = False
    for proposed in (1, 2, 3):
        await agent.tick()
        assert len(outbox.written) == proposed
        clock.advance(AGAIN_MS)
    assert agent.held(topics.requests(OPERATOR), 0) == 7
    ledger.open = False
    await agent.tick()
    assert len(outbox.written) == 3 and agent.held(topics.requests(OPERATOR), 0) is None


async def test_nothing_is_proposed_before_the_deadline(watched: Watched) -> None:
    """One millisecond before: looked at, not proposed."""
    agent, ledger, outbox, clock = watched
    ledger.muted = False
    await agent.handle([request(0)])
    clock.advance(2_999)
    await agent.tick()
    assert outbox.written == []
    clock.advance(1)
    await agent.tick()
    ((_, batches),) = outbox.written
    (message,) = batches[topics.VERDICTS, 0]
    verdict = wire.read_verdict(MemoryRecord(topics.VERDICTS, 0, 0, 0, message.key, message.value, []))
    assert (verdict.code, verdict.reason, verdict.deadline_ms) == ("expired", Code.DEADLINE_PASSED, START_MS + 3_000)


async def test_a_chunk_met_twice_and_a_partition_taken_away_stop_nobody(watched: Watched) -> None:
    """Looked at twice in one batch, or gone in the meantime: no error, nothing proposed."""
    agent, ledger, outbox, clock = watched
    ledger.muted = ledger.open = False
    await agent.handle([request(0), request(1)])
    await agent.handle([request(0), request(1)])
    clock.advance(3_000)
    await agent.tick()
    assert agent.held(topics.requests(OPERATOR), 0) is None
    await agent.handle([request(2)])
    agent.revoked({(topics.requests(OPERATOR), 0)})
    clock.advance(3_000)
    await agent.tick()
    assert (outbox.written, agent.held(topics.requests(OPERATOR), 0)) == ([], None)


async def test_what_was_released_and_nobody_confirms_is_an_alarm(watched: Watched) -> None:
    """Again and again, as long as it is so and the partition is ours; no more once it is confirmed, or another worker's. What was asked
    within the minute is not looked at."""
    agent, ledger, _, clock = watched
    ledger.muted, ledger.late = False, True
    await agent.handle([request(0), request(1)])

    async def alarms() -> list[int]:
        clock.advance(AGAIN_MS)
        with capture_logs() as logs:
            await agent.tick()
        return [line["count"] for line in logs if line["event"] == "released_unconfirmed"]

    clock.advance(ALARM_MS - AGAIN_MS)
    assert await alarms() == []
    assert [await alarms(), await alarms()] == [[2], [2]]
    ledger.late = False
    assert await alarms() == []
    ledger.late = True
    assert await alarms() == [2]
    agent.revoked({(topics.requests(OPERATOR), 0)})
    assert await alarms() == []
    await agent.handle([request(2)])
    assert await alarms() == [1]
    ledger.open = False
    assert await alarms() == []


@pytest.mark.parametrize("agent", [Gate, Connector, Watcher, Release, Deadline, Retries, Journal])
def test_whoever_has_something_to_do_in_time_is_called(agent: Any) -> None:
    """An agent says that it need not be called between its chunks exactly where nothing would be done then."""
    assert agent.timed == (agent.tick is not Quiet.tick)

"""Rate, circuit breaker, retries that wait, duplicates: the connector's agent on the bus in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from connectors.contract import Found, Reading, Retry
from connectors.sdk.core.circuit import FAILURES_MAX, OPEN_FIRST_MS
from connectors.sdk.lanes import Limits
from exchange import wire
from exchange.agents.retries import Retries
from exchange.core import topics
from exchange.core.errors import Code
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.outcomes import ProviderUnavailable
from exchange.ports import Message, Unavailable
from exchange.sdk import Request
from exchange.testing import MemoryBus, VirtualClock
from tests.world import JEANNE, QUOTIENT, ScriptedApi, told, until

TWO_DAYS_S = 48 * 3600
TASKS, RETRIES = topics.tasks("cnaf"), topics.retries("cnaf")


class TimedApi(ScriptedApi):
    """Keeps when it was asked."""

    def __init__(self, clock: VirtualClock, *readings: Reading) -> None:
        super().__init__(*readings)
        self.clock, self.asked_ms = clock, list[int]()

    async def fetch(self, data_set: str, identity: Any, recipient: str, parameters: Any) -> Reading:
        self.asked_ms.append(self.clock.now_ms())
        self.clock.activity += 1
        return await super().fetch(data_set, identity, recipient, parameters)


async def ask(bus: MemoryBus, consent: bytes, **more: Any) -> Request:
    return await bus.sdk.request(QUOTIENT_FAMILIAL.name, consent=consent, purpose="tarification-cantine", **more)


def stand(*readings: Reading, limits: Mapping[str, Limits] | None = None, rate: str = "") -> tuple[MemoryBus, TimedApi]:
    clock = VirtualClock()
    api = TimedApi(clock, *readings)
    return MemoryBus(api, clock=clock, limits=limits, rate=rate), api


@pytest.fixture
async def waiting() -> AsyncIterator[tuple[MemoryBus, TimedApi, Request]]:
    """A request that the State asked to make again in a minute, waiting for its time."""
    bus, api = stand(Retry("04501", 60), Found(QUOTIENT))
    async with bus:
        request = await ask(bus, await bus.give(JEANNE), ttl_s=600)
        await until(bus, lambda: bus.broker.records(RETRIES) or None)
        yield bus, api, request


Waiting = tuple[MemoryBus, TimedApi, Request]


async def test_a_retry_waits_for_its_time(waiting: Waiting) -> None:
    """Called again when the State said, not before, and answered."""
    _, api, request = waiting
    assert (await request.answer(120)).status == "found"
    first_ms, second_ms = api.asked_ms
    assert second_ms - first_ms >= 60_000


async def test_a_retry_survives_restarts(waiting: Waiting) -> None:
    """Both processes killed, three times: two calls, one outcome."""
    bus, api, request = waiting
    for _ in range(3):
        await bus.clock.sleep(5)
        await bus.restart_connector()
    assert (await request.answer(120)).status == "found"
    await bus.restart_connector()
    await bus.clock.sleep(120)
    assert (len(api.asked), len(told(bus, request.key.request))) == (2, 1)


async def test_a_task_that_waits_holds_back_the_commit(waiting: Waiting) -> None:
    """Until it is sent again its offset is held; then nothing is."""
    bus, _, request = waiting
    (record,) = bus.broker.records(RETRIES)
    agent = bus.runners["retries"].agent
    assert agent.held(RETRIES, record.partition) == record.offset
    await request.answer(120)
    assert agent.held(RETRIES, record.partition) is None


async def test_the_task_is_the_same(waiting: Waiting) -> None:
    """What goes back to the tasks is the task's own bytes, and what waits says nothing new of anybody."""
    bus, _, request = waiting
    await request.answer(120)
    first, second = bus.broker.records(TASKS)
    assert (first.value, first.key, first.partition) == (second.value, second.key, second.partition)
    (record,) = bus.broker.records(RETRIES)
    assert wire.read("exchange-retry", record.value)["task"] == first.value


async def test_a_request_that_waits_may_be_withdrawn(waiting: Waiting) -> None:
    """Its retry comes, T-attempt says no: the State is not called again."""
    bus, api, request = waiting
    await bus.withdraw(request.key.authorisation)
    outcome = await request.outcome(120)
    assert (outcome.code, outcome.reason, len(api.asked)) == ("refused", Code.WITHDRAWN, 1)


async def test_a_broker_that_fails_delays_a_retry(waiting: Waiting) -> None:
    """A task that could not be sent again waits on."""
    bus, _, request = waiting
    await bus.clock.sleep(50)
    bus.broker.fail_next = 8
    assert (await request.answer(200)).status == "found"


async def test_what_was_answered_meanwhile_is_not_sent_again(waiting: Waiting) -> None:
    """The whole topic read again from its first record: no task more."""
    bus, api, request = waiting
    await request.answer(120)
    runner = bus.runners["retries"]
    await runner.stop()
    runner.rewind()
    await runner.replace(Retries(bus.ledger, bus.broker, bus.clock))
    await bus.clock.sleep(30)
    assert (len(bus.broker.records(TASKS)), len(api.asked)) == (2, 2)


async def test_two_days_are_waited_for_within_the_deadline() -> None:
    """The State asks for 47 hours of a request that has 48: it waits; of one that has an hour: failed at once, with its code."""
    bus, api = stand(Retry("04501", 47 * 3600))
    async with bus:
        consent = await bus.give(JEANNE)
        await ask(bus, consent, ttl_s=TWO_DAYS_S)
        (record,) = await until(bus, lambda: bus.broker.records(RETRIES) or None)
        due_ms = int.from_bytes(wire.read("exchange-retry", record.value)["due_ms"], "big")
        assert abs(due_ms - api.asked_ms[0] - 47 * 3_600_000) < 1_000
        with pytest.raises(ProviderUnavailable) as failed:
            await (await ask(bus, consent, ttl_s=3600)).answer()
        assert failed.value.provider_code == "04501"


async def test_three_calls_at_most_however_long_they_wait() -> None:
    """Asked to come back each time: after the third call it is over, without a wait for nothing."""
    bus, api = stand(Retry("04501", 30))
    async with bus:
        with pytest.raises(ProviderUnavailable) as failed:
            await (await ask(bus, await bus.give(JEANNE), ttl_s=600)).answer(300)
        assert (len(api.asked), failed.value.provider_code) == (3, "04501")
        assert len(bus.broker.records(RETRIES)) == 2


async def test_no_more_calls_than_the_rate_and_none_lost() -> None:
    """Sixty requests at two a second: none before its turn, those beyond a chunk's patience wait on their topic, all are answered once."""
    bus, api = stand(Found(QUOTIENT), rate="2/s")
    async with bus:
        consent = await bus.give(JEANNE, max_uses=100)
        asked = [await ask(bus, consent, ttl_s=280) for _ in range(60)]
        assert {(await request.answer(250)).status for request in asked} == {"found"}
    assert len(api.asked) == 60
    assert all(later - earlier >= 499 for earlier, later in zip(api.asked_ms, api.asked_ms[1:], strict=False))


async def test_a_429_holds_back_every_call() -> None:
    """After a 429 nobody calls before the time asked, whoever it was about."""
    bus, api = stand(Retry("00429", 9), Found(QUOTIENT))
    async with bus:
        consent = await bus.give(JEANNE)
        asked = [await ask(bus, consent)]
        await until(bus, lambda: api.asked_ms or None)
        asked += [await ask(bus, consent) for _ in range(5)]
        assert {(await request.answer()).status for request in asked} == {"found"}
    assert min(api.asked_ms[1:]) - api.asked_ms[0] >= 9_000


async def test_an_open_circuit_spares_the_state_and_loses_nobody() -> None:
    """Ten silences in a row open it; what is asked then waits; once the State is back every one is answered."""
    outage = [Retry("", 0.0, "network")] * FAILURES_MAX
    bus, api = stand(*outage, Found(QUOTIENT), limits={QUOTIENT_FAMILIAL.name: Limits(concurrency=1)})
    async with bus:
        consent = await bus.give(JEANNE, max_uses=100)
        first = [await ask(bus, consent) for _ in range(4)]
        await until(bus, lambda: len(api.asked) >= FAILURES_MAX or None)
        opened_ms = api.asked_ms[FAILURES_MAX - 1]
        later = [await ask(bus, consent) for _ in range(5)]
        outcomes = [await request.outcome(200) for request in (*first, *later)]
    assert min(api.asked_ms[FAILURES_MAX:]) >= opened_ms + OPEN_FIRST_MS
    assert {outcome.code for outcome in outcomes[-5:]} == {"released"}
    assert {outcome.code for outcome in outcomes} <= {"released", "failed"}


async def test_an_outage_to_the_end_is_a_failure_and_not_a_silence() -> None:
    """The circuit stays open until the deadline is near: failed, the provider does not answer; never a fourth call."""
    bus, api = stand(Retry("", 0.0, "network"))
    async with bus:
        consent = await bus.give(JEANNE)
        asked = [await ask(bus, consent, ttl_s=30) for _ in range(8)]
        outcomes = [await request.outcome(90) for request in asked]
    assert {(o.code, o.reason) for o in outcomes} <= {
        ("failed", Code.PROVIDER_UNAVAILABLE), ("expired", Code.DEADLINE_PASSED),
    }  # fmt: skip
    assert "failed" in {o.code for o in outcomes}
    assert len(api.asked) <= 24


async def test_a_task_met_again_is_told_the_same() -> None:
    """Delivered twice in a chunk, and again after: one call, and the same sealed bytes each time."""
    bus, api = stand(Found(QUOTIENT))
    async with bus:
        await bus.pause("connector.cnaf")
        request = await ask(bus, await bus.give(JEANNE))
        (task,) = await until(bus, lambda: bus.broker.records(TASKS) or None)
        again = {(TASKS, task.partition): [Message(task.key, task.value or b"", list(task.headers))]}
        await bus.broker.send(again)
        await bus.resume("connector.cnaf")
        await request.answer()
        await bus.broker.send(again)
        records = await until(bus, lambda: r if len(r := bus.broker.records(topics.answers("cnaf"))) > 1 else None)
    assert (len(api.asked), len({record.value for record in records})) == (1, 1)


class Rude:
    """An API that breaks every promise of its contract."""

    def __init__(self, how: str) -> None:
        self.how = how

    async def fetch(self, data_set: str, identity: Any, recipient: str, parameters: Any) -> Reading:
        if self.how == "raises":
            raise RuntimeError(identity.nom_naissance)
        if self.how == "cancels":
            raise asyncio.CancelledError
        if self.how == "hangs":
            await asyncio.Event().wait()
        return None  # type: ignore[return-value]  # on purpose

    async def close(self) -> None: ...


@pytest.mark.parametrize("how", ["raises", "cancels", "hangs", "returns nothing"])
async def test_a_hostile_api_stops_nobody(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever it raises or returns is a failure of this request; nothing of the person is said anywhere."""
    async with MemoryBus(Rude(how)) as bus:
        outcome = await (await ask(bus, await bus.give(JEANNE), ttl_s=60)).outcome(90)
    assert outcome.code == "failed"
    assert JEANNE.nom_naissance not in caplog.text + repr(outcome)


async def test_poison_among_the_tasks_that_wait_is_buried() -> None:
    """Bytes that are no task, a key that is not theirs, a time beyond all: dead letters, and the bus goes on."""
    bus, _ = stand(Retry("04501", 20), Found(QUOTIENT))
    async with bus:
        request = await ask(bus, await bus.give(JEANNE))
        (good,) = await until(bus, lambda: bus.broker.records(RETRIES) or None)
        body = wire.read("exchange-retry", good.value)
        values = [
            b"",
            b"garbage",
            wire.write("exchange-retry", body | {"task": b"garbage"}),
            wire.write("exchange-retry", body | {"due_ms": b"\xff" * 8}),
        ]
        messages = [Message(good.key, value, []) for value in values] + [Message(b"x" * 16, good.value or b"", [])]
        await bus.broker.send({(RETRIES, 0): messages})
        await until(bus, lambda: True if len(bus.broker.records(topics.DEAD_LETTERS)) == len(messages) else None)
        assert (await request.answer(120)).status == "found"


async def test_too_many_that_wait_are_left_on_their_topic() -> None:
    """Memory has a bound: beyond it a chunk is not taken, and comes again."""
    bus, _ = stand(Retry("04501", 60))
    await bus.introduce()
    agent = Retries(bus.ledger, bus.broker, bus.clock, size_max_bytes=100)
    body = {
        "request_id": b"r" * 16, "authorisation_id": b"a" * 16, "operator": bus.operator.encode(),
        "deadline_ms": (bus.clock.now_ms() + 60_000).to_bytes(8, "big"), "certificate_hash": bytes(32), "certificate": b"c" * 200,
        "ask": b"", "identity": b"",
    }  # fmt: skip
    value = wire.write("exchange-retry", {"due_ms": bytes(7) + b"\x01", "task": wire.write("exchange-task", body)})
    await bus.broker.send({(RETRIES, 0): [Message(b"a" * 16, value, [])]})
    await agent.handle(bus.broker.records(RETRIES))
    with pytest.raises(Unavailable):
        await agent.handle(bus.broker.records(RETRIES))
    agent.revoked({(RETRIES, 0)})
    assert agent.held(RETRIES, 0) is None
    await agent.handle(bus.broker.records(RETRIES))

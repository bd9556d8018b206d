"""A watch when things go wrong: processes killed between two writes, records doubled and out of order, bytes of somebody else's."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from connectors.sdk.lanes import Limits
from connectors.sdk.task import bearing
from connectors.sdk.watch import read, write
from connectors.watcher import Watcher
from consent.core.facts import Attempt, Attempted, RequestKey
from exchange import wire
from exchange.core import topics
from exchange.core.errors import Code
from exchange.core.watch import HOP_MS
from exchange.ports import Ledger, Message, Unavailable
from exchange.testing import MemoryBus
from tests.watch.stands import DATA_SET, HOUR_MS, WATCHES, Stand, quotient, standing
from tests.world import until

ANSWERS = topics.answers("cnaf")


def watcher(bus: MemoryBus) -> Watcher:
    agent = bus.runners["watch.cnaf"].agent
    assert isinstance(agent, Watcher)
    return agent


class Lenient:
    """A ledger that does not look at watches when it is asked for an attempt."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def attempt(self, attempts: Sequence[Attempt], worker: str = "") -> list[Attempted]:
        return await self._ledger.attempt([msgspec.structs.replace(a, watch_every_ms=0) for a in attempts], worker)


async def again(stand: Stand, *records: Any) -> None:
    """These records, delivered once more after all others."""
    for record in records:
        await stand.bus.broker.send(
            {(record.topic, record.partition): [Message(record.key, record.value or b"", [*record.headers])]}
        )


async def test_it_survives_restarts() -> None:
    """All of the connector killed in each period, before its look and after it: every look is made, a change is told once."""
    async with standing() as stand:
        await stand.watch()
        for value in (742, 742, 600, 600, 500):
            stand.api.says = quotient(value)
            await stand.bus.restart_connector()
            await stand.hours()
            await stand.bus.restart_connector()
            await stand.rest()
        assert (stand.values, len(stand.outcomes), len(stand.api.asked_ms)) == ([742, 600, 500], 3, 6)


async def test_what_waits_holds_back_the_commit() -> None:
    """One record of a watch is held at any time: the last."""
    async with standing() as stand:
        await stand.watch()
        for _ in range(3):
            record = stand.bus.broker.records(WATCHES)[-1]
            assert watcher(stand.bus).held(WATCHES, record.partition) == record.offset
            await stand.hours()
        await stand.bus.withdraw(stand.consent)
        await stand.hours()
        assert watcher(stand.bus).held(WATCHES, record.partition) is None


async def test_a_kill_between_answer_and_next_look_loses_nothing() -> None:
    """The broker took the record of the next look, or did not, and the process died before it knew: one answer, one next look."""
    for written in (False, True):
        async with standing() as stand:
            await stand.watch()
            stand.api.says = quotient(600)
            stand.clock.advance(HOUR_MS - 10_000)
            await stand.rest()
            stand.bus.broker.fail_next, stand.bus.broker.fail_after_writing = 1, written
            stand.clock.advance(20_000)
            await until(stand.bus, lambda stand=stand: len(stand.api.asked_ms) > 1 or None)  # type: ignore[misc]  # bound now
            stand.bus.broker.fail_next = 0
            await stand.bus.restart_connector()
            await stand.rest()
            await stand.hours(2)
            assert (stand.values, len(stand.outcomes)) == ([742, 600], 2)
            assert 4 <= len(stand.api.asked_ms) <= 5


async def test_a_change_between_two_makings_of_one_look_is_not_missed() -> None:
    """Look 1 is made twice, by a process killed and by the next, and the State says something else each time: what was told is what is
    remembered, and the last value is told at look 2."""
    async with standing() as stand:
        await stand.watch()
        stand.api.says = quotient(600)
        (first,) = stand.bus.broker.records(WATCHES)
        await stand.hours()
        stand.api.says = quotient(500)
        runner = stand.bus.runners["watch.cnaf"]
        await runner.stop()
        runner.committed[WATCHES, first.partition] = 0
        twin = Watcher(stand.bus.connectors()[0], stand.bus.broker, stand.clock, stand.bus.sdk.tracing)
        await twin.handle([first])
        await twin.tick()  # the zombie's look: after the one already written
        await runner.replace(stand.bus.connectors()[1])
        await stand.rest()
        assert (len(stand.bus.broker.records(WATCHES)), stand.values) == (3, [742, 600])
        await stand.hours()
        assert stand.values == [742, 600, 500]


async def test_doubled_and_reordered_records_fold_together() -> None:
    """Every record of the watch delivered again, latest first, several times: no answer and no use more, and one look a period after."""
    async with standing() as stand:
        await stand.watch()
        await stand.hours()
        stand.api.says = quotient(600)
        await stand.hours()
        records = stand.bus.broker.records(WATCHES)
        for _ in range(3):
            await again(stand, *reversed(records))
        await stand.rest()
        assert (stand.values, await stand.uses()) == ([742, 600], 2)
        calls = len(stand.api.asked_ms)
        await stand.hours(3)
        assert (len(stand.api.asked_ms), stand.values) == (calls + 3, [742, 600])


async def test_the_whole_topic_read_again() -> None:
    """From the first record, by a new process: the last record goes on, nothing is told twice."""
    async with standing() as stand:
        await stand.watch()
        for value in (600, 600, 500):
            stand.api.says = quotient(value)
            await stand.hours()
        runner = stand.bus.runners["watch.cnaf"]
        await runner.stop()
        runner.rewind()
        calls = len(stand.api.asked_ms)
        await runner.replace(stand.bus.connectors()[1])
        await stand.rest()
        await stand.hours(2)
        assert (stand.values, len(stand.outcomes), len(stand.api.asked_ms)) == ([742, 600, 500], 3, calls + 2)


async def test_a_request_sent_again_begins_no_second_watch() -> None:
    """The same request published again by the application, at once and two periods later: one watch, one first answer."""
    async with standing() as stand:
        await stand.watch()
        (request,) = stand.bus.broker.records(topics.requests(stand.bus.operator))
        await again(stand, request)
        await stand.hours(2)
        await again(stand, request)
        await stand.rest()
        calls = len(stand.api.asked_ms)
        await stand.hours(3)
        assert len(stand.api.asked_ms) == calls + 3
        stand.api.says = quotient(600)
        await stand.hours()
        assert (stand.values, await stand.uses()) == ([742, 600], 2)


async def test_a_bus_that_was_down_makes_up_for_nothing() -> None:
    """Ten periods without a connector: one look when it is back, not ten; the change is told."""
    async with standing() as stand:
        await stand.watch()
        await stand.bus.pause("watch.cnaf")
        await stand.hours(10)
        stand.api.says = quotient(600)
        await stand.bus.resume("watch.cnaf")
        await stand.rest()
        assert (len(stand.api.asked_ms), len(stand.bus.broker.records(WATCHES)), stand.values) == (2, 2, [742, 600])
        await stand.hours(2)
        assert len(stand.api.asked_ms) == 4


async def test_a_long_period_is_written_again_each_day() -> None:
    """A look 30 days away: its record is never older than a day and a half, the State is asked once in the month, and told of a change."""
    async with standing(watch_every_ms=30 * HOP_MS) as stand:
        await stand.watch(every_s=30 * 86_400)
        for _ in range(29):
            stand.clock.advance(HOP_MS)
            await stand.rest()
            assert stand.clock.now_ms() - stand.bus.broker.records(WATCHES)[-1].timestamp <= HOP_MS
        assert len(stand.api.asked_ms) == 1
        stand.api.says = quotient(600)
        stand.clock.advance(HOP_MS)
        await stand.rest()
        assert (len(stand.api.asked_ms), stand.values) == (2, [742, 600])


async def test_hostile_bytes_are_buried() -> None:
    """No record, another's tag, a changed number, fingerprint, due time, answer or task, a key that is not theirs: dead letters, no State
    call, and the watch goes on."""
    async with standing() as stand:
        await stand.watch()
        (good,) = stand.bus.broker.records(WATCHES)
        body = wire.read("exchange-look", good.value)
        changes: list[dict[str, Any]] = [
            {"number": 7}, {"number": -1}, {"number": 1 << 60}, {"sent": 3}, {"fingerprint": bytes(32)}, {"calls": 2},
            {"due_ms": bytes(8)}, {"due_ms": b"\xff" * 8}, {"answer": b"x"}, {"task": b"x"}, {"tag": bytes(32)},
        ]  # fmt: skip
        values = [b"", b"garbage", *(wire.write("exchange-look", body | change) for change in changes)]
        poison = [Message(good.key, value, []) for value in values]
        poison.append(Message(b"k" * 16, good.value or b"", []))
        await stand.bus.broker.send({(WATCHES, good.partition): poison})
        await stand.rest()
        assert len(stand.bus.broker.records(topics.DEAD_LETTERS)) == len(poison)
        stand.api.says = quotient(600)
        await stand.hours(2)
        assert (stand.values, len(stand.api.asked_ms)) == ([742, 600], 3)


async def test_another_connector_cannot_read_it() -> None:
    """A tag is of one connector's key: after its sealing key has changed, its old records are dead letters."""
    async with standing() as stand:
        await stand.watch()
        (good,) = stand.bus.broker.records(WATCHES)
        with pytest.raises(wire.BadBytes) as bad:
            read(bytes(32), good)
        assert bad.value.code is Code.BAD_SEAL


async def test_a_tag_does_not_make_a_watch_of_any_task() -> None:
    """The connector's own tag around a task that watches nothing: a dead letter."""
    async with standing() as stand:
        await stand.watch()
        (good,) = stand.bus.broker.records(WATCHES)
        one, _ = read(watcher(stand.bus)._connector.secret, good)
        await stand.bus.sdk.request(DATA_SET, consent=stand.consent, purpose="tarification-cantine")
        await stand.rest()
        ordinary = stand.bus.broker.records(topics.tasks("cnaf"))[-1].value or b""
        made = write(watcher(stand.bus)._connector.secret, one.watch, one.look, one.due_ms, ordinary, b"", [])
        await stand.bus.broker.send({(WATCHES, good.partition): [made]})
        await stand.rest()
        assert len(stand.bus.broker.records(topics.DEAD_LETTERS)) == 1


async def test_the_bus_sees_no_value_and_no_person() -> None:
    """A record of a watch holds nothing in clear that two equal answers share: the fingerprints of two watches of one person, one answer
    and one agreement differ, and nothing of the person or the answer is in the bytes."""
    async with standing() as stand:
        await stand.watch()
        await stand.watch()
        bodies = [wire.read("exchange-look", record.value) for record in stand.bus.broker.records(WATCHES)]
        assert len({body["fingerprint"] for body in bodies}) == 2
        for record in stand.bus.broker.records(WATCHES):
            assert not [word for word in (b"MARTIN", b"1980-01-02", b"Jeanne") if word in (record.value or b"")]


async def test_people_come_first() -> None:
    """At six calls a minute, ten watches due at once and five people asking: every person is answered before the second look, looks take
    at most every other turn, none is lost, and the rate is kept."""
    async with standing(Limits(rate="6/min", concurrency=1), max_uses=1000) as stand:
        for _ in range(10):
            await stand.watch(ttl_s=200)
            stand.clock.advance(10_000)
        await stand.rest()
        stand.clock.advance(HOUR_MS)
        began, before = stand.clock.now_ms(), len(stand.api.asked_ms)
        asked = [
            await stand.bus.sdk.request(DATA_SET, consent=stand.consent, purpose="tarification-cantine", ttl_s=280)
            for _ in range(5)
        ]
        for request in asked:
            assert (await request.answer(280)).status == "found"
        people_ms = stand.clock.now_ms() - began
        assert people_ms <= 80_000
        await until(stand.bus, lambda: len(stand.api.asked_ms) >= before + 15 or None)
        calls = stand.api.asked_ms[before:]
        assert len(calls) == 15
        gaps = [later - earlier for earlier, later in itertools.pairwise(calls)]
        assert all(gap >= 10_000 for gap in gaps) and sum(gap >= 20_000 for gap in gaps) >= 8


async def test_too_many_watches_are_left_on_their_topic() -> None:
    """Memory has a bound: beyond it a chunk is not taken, and comes again; partitions taken away free it."""
    async with standing() as stand:
        await stand.watch()
        (good,) = stand.bus.broker.records(WATCHES)
        agent = Watcher(
            stand.bus.connectors()[0], stand.bus.broker, stand.clock, stand.bus.sdk.tracing, size_max_bytes=100
        )
        await agent.handle([good])
        with pytest.raises(Unavailable):
            await agent.handle([good])
        agent.revoked({(WATCHES, good.partition)})
        assert agent.held(WATCHES, good.partition) is None
        await agent.handle([good])


async def test_the_ledger_refuses_a_watch_that_was_not_agreed() -> None:
    """Whatever gate and connector let through: T-attempt says `watch_exceeded` of a watch more frequent than agreed, and registers nothing."""
    async with standing(watch_every_ms=2 * HOUR_MS) as stand:
        request = await stand.bus.sdk.request(DATA_SET, consent=stand.consent, purpose="tarification-cantine")
        await request.answer()
        (held,) = await stand.bus.ledger.lookup([stand.consent])
        assert held is not None
        for every_ms, reason in ((HOUR_MS, Code.WATCH_EXCEEDED), (2 * HOUR_MS, "")):
            tried = Attempt(
                RequestKey(stand.bus.operator, stand.consent, bytes([every_ms % 251]) * 16), bytes(32), held.scopes, bytes(32), bytes(32),
                held.certificate_hash, stand.clock.now_ms() + 60_000, every_ms,
            )  # fmt: skip
            (granted,) = await stand.bus.ledger.attempt([tried])
            assert granted.reason == reason


async def test_the_connector_refuses_what_its_certificate_does_not_allow() -> None:
    """A gate that lets a watch through by mistake, and a ledger that would: the certificate says no, and the State is not asked."""
    async with standing(watch_every_ms=0) as stand:
        await stand.bus.pause("gate")
        stand.bus.ledger = Lenient(stand.bus.ledger)  # type: ignore[assignment]  # a connector asks it for attempts only
        await stand.bus.runners["connector.cnaf"].replace(stand.bus.connectors()[0])
        await stand.watch(ttl_s=3000)
        (request,) = stand.bus.broker.records(topics.requests(stand.bus.operator))
        body = wire.read("exchange-request", request.value)
        capsule = stand.bus.wallet.capsule(stand.consent)
        assert capsule is not None
        task = wire.write("exchange-task", {
            "request_id": body["request_id"], "authorisation_id": stand.consent, "operator": stand.bus.operator.encode(),
            "deadline_ms": (request.timestamp + 3_000_000).to_bytes(8, "big"), **bearing(capsule.certificate),
            "ask": body["ask"], "identity": body["identity"],
        })  # fmt: skip
        await stand.bus.broker.send({(topics.tasks("cnaf"), 0): [Message(stand.consent, task, [])]})
        await stand.rest()
        assert (stand.codes, stand.api.asked_ms) == ([Code.WATCH_EXCEEDED], [])

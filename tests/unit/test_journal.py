"""The access log: each message seen is one entry, for 12 months, and what removes one says why."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from consent.core.facts import RequestKey, Verdict
from exchange import wire
from exchange.agents.journal import Journal
from exchange.core import topics
from exchange.core.decision import Ask
from exchange.core.errors import Code
from exchange.core.heads import HEAD, varint
from exchange.journal.store import (
    AUTOMATIC,
    DAY_MS,
    RETENTION_MS,
    Filter,
    JournalStore,
    Line,
    NotAllowed,
    Reason,
)
from exchange.ports import Unavailable
from exchange.schemas import catalogue
from exchange.testing import START_MS, MemoryBroker, MemoryBus, MemoryRecord, VirtualClock
from tests.world import JEANNE, ScriptedApi, until

OPERATOR, RECIPIENT = "211300553", "21130055300016"
A, B = b"a" * 16, b"b" * 16


def line(offset: int = 0, at_ms: int = START_MS, **changes: Any) -> Line:
    made = Line("requested", at_ms, OPERATOR, RECIPIENT, "operator", bytes([offset % 256]) * 16, A, "cnaf.x.v1", "cantine", "", "",
                "requests.211300553.v1", 0, offset)  # fmt: skip
    return made._replace(**changes)


async def filled(*lines: Line) -> JournalStore:
    store = JournalStore(None)
    await store.add(lines)
    return store


def offsets(store: JournalStore, **wanted: Any) -> list[int]:
    return [found.offset for found in store.show(Filter(**wanted))]


def needles(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if b"needle" in path.read_bytes()]


class TestKeeping:
    """Each message seen once."""

    async def test_redelivery(self) -> None:
        """A chunk that comes again, whole or in part, adds nothing; a topic made anew, whose offsets start again, does."""
        lines = [line(n) for n in range(5)]
        store = await filled(*lines)
        await store.add([*lines[2:], line(5)])
        assert list(store.show(Filter())) == [*lines, line(5)]
        await store.add([line(0, START_MS + 1)])
        assert len(offsets(store)) == 7

    async def test_filters(self) -> None:
        """By operator, recipient (with all steps of its requests), request, agreement and period, the end excluded; the last few in order."""
        ended = line(1, START_MS + 5, step="ended", recipient="", request=bytes(16), topic="outcomes.211300553.v1")
        other = line(2, START_MS + 9, operator="999999999", recipient="1" * 14, authorisation=B)
        store = await filled(line(0), ended, other)
        assert offsets(store, operator=OPERATOR) == offsets(store, recipient=RECIPIENT) == [0, 1]
        assert (
            offsets(store, recipient="1" * 14)
            == offsets(store, authorisation=B)
            == offsets(store, request=b"\2" * 16)
            == [2]
        )
        assert offsets(store, since_ms=START_MS + 5, until_ms=START_MS + 9) == [1]
        assert offsets(store, operator=OPERATOR, authorisation=B) == []
        assert [found.offset for found in store.show(Filter(), limit=2)] == [1, 2]

    async def test_survives_its_process(self, tmp_path: Path) -> None:
        """What was added is in the file, which is nobody else's; opening it again loses nothing."""
        path = tmp_path / "journal" / "journal.db"
        await JournalStore(path).add([line()])
        assert path.parent.stat().st_mode & 0o777 == 0o700
        assert list(JournalStore(path).show(Filter())) == [line()]

    def test_not_a_database(self, tmp_path: Path) -> None:
        """A file that is something else is unavailable, and left as it is."""
        path = tmp_path / "journal.db"
        path.write_bytes(b"not a database" * 100)
        with pytest.raises(Unavailable):
            JournalStore(path)
        assert path.read_bytes() == b"not a database" * 100

    async def test_two_workers(self, tmp_path: Path) -> None:
        """Two processes' worth of writers on one file, with the same messages: each is kept once."""
        stores = [JournalStore(tmp_path / "journal.db") for _ in range(2)]
        chunks = [[line(n) for n in range(start, start + 50)] for start in range(0, 1000, 50)]
        threads = [threading.Thread(target=lambda s=s: [s._add(chunk) for chunk in chunks]) for s in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(offsets(stores[0])) == list(range(1000))


class TestPurge:
    """Twelve months, then gone; sooner only for a reason."""

    async def test_retention(self) -> None:
        """What is older than 12 months goes, to the millisecond; the purge says how many, from when to when, why and by whom."""
        now_ms = START_MS + RETENTION_MS
        store = await filled(line(0, START_MS - 2), line(1, START_MS - 1), line(2, START_MS))
        done = store.purge(now_ms, Reason.RETENTION, "dpo")
        assert (done.removed, done.first_ms, done.last_ms, done.until_ms) == (2, START_MS - 2, START_MS - 1, START_MS)
        assert (done.reason, done.by, done.at_ms, done.held) == ("retention", "dpo", now_ms, 0)
        assert offsets(store) == [2] and store.purges() == [done]

    async def test_not_sooner(self) -> None:
        """Retention is no reason for what is younger; nothing goes without an author, nor all of it at once; refusals remove nothing."""
        store = await filled(line(0))
        for reason, by, within, code in [
            (Reason.RETENTION, "dpo", Filter(until_ms=START_MS + 1), "too_early"),
            (Reason.COURT_ORDER, "dpo", Filter(), "unbounded"),
            (Reason.ERASURE, " ", Filter(authorisation=A), "no_author"),
        ]:
            with pytest.raises(NotAllowed, match=code):
                store.purge(START_MS + RETENTION_MS, reason, by, within)
        assert offsets(store) == [0] and store.purges() == []

    async def test_for_a_reason(self) -> None:
        """An erasure takes one agreement's entries, whatever their age, and its record does not name the agreement."""
        store = await filled(line(0), line(1, authorisation=B))
        done = store.purge(START_MS + 1, Reason.ERASURE, "dpo", Filter(authorisation=A))
        assert offsets(store) == [1]
        assert (done.removed, done.scope, done.reason) == (1, "authorisation", "erasure")

    async def test_hold(self) -> None:
        """A held period outlives its 12 months and every other reason; the purge says how many it kept; once released it goes."""
        late_ms = START_MS + 3 * RETENTION_MS
        store = await filled(line(0, START_MS), line(1, START_MS + 1), line(2, START_MS + 2))
        held = store.hold(START_MS, START_MS + 1, START_MS + 2, "enquête 12", "procureur")
        done = store.purge(late_ms, Reason.RETENTION, "dpo")
        assert (done.removed, done.held) == (2, 1) and offsets(store) == [1]
        assert store.purge(late_ms, Reason.COURT_ORDER, "juge", Filter(authorisation=A)).held == 1
        store.release(late_ms, held.id, "procureur")
        assert store.holds() == [held._replace(released_ms=late_ms, released_by="procureur")]
        assert store.purge(late_ms, Reason.RETENTION, "dpo").removed == 1 and offsets(store) == []

    async def test_bad_holds(self) -> None:
        """No empty period, no hold without who and why, no release of what does not hold."""
        store = JournalStore(None)
        for since_ms, until_ms, why, by in [(2, 2, "w", "b"), (3, 2, "w", "b"), (1, 2, "", "b"), (1, 2, "w", "")]:
            with pytest.raises(NotAllowed):
                store.hold(0, since_ms, until_ms, why, by)
        number = store.hold(0, 1, 2, "w", "b").id
        store.release(0, number, "b")
        for absent in (number, 99):
            with pytest.raises(NotAllowed, match="no_hold"):
                store.release(0, absent, "b")

    async def test_daily(self) -> None:
        """Made once a day by whoever is first, also when it finds nothing; a clock stepped back makes none."""
        store = await filled(line(0))
        first = await store.purge_due(START_MS)
        assert first is not None and (first.removed, first.by) == (0, AUTOMATIC)
        assert await store.purge_due(START_MS + DAY_MS - 1) is None
        assert await store.purge_due(START_MS - DAY_MS) is None
        late = await store.purge_due(START_MS + RETENTION_MS + 1)
        assert late is not None and late.removed == 1

    async def test_bytes_are_gone(self, tmp_path: Path) -> None:
        """After a purge no file of the journal holds the removed request's id."""
        store = JournalStore(tmp_path / "journal.db")
        await store.add([line(n, request=b"needle-request!!", authorisation=b"needle-agreement") for n in range(200)])
        assert needles(tmp_path)
        store.purge(START_MS, Reason.ERASURE, "dpo", Filter(request=b"needle-request!!"))
        assert not needles(tmp_path)

    async def test_apart_from_the_ledger(self, tmp_path: Path) -> None:
        """The journal's file has its own three tables and no other."""
        JournalStore(tmp_path / "journal.db").close()
        with sqlite3.connect(tmp_path / "journal.db") as connection:
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert found == {"entry", "hold", "purge"}


def request(ask: Ask, request: bytes = b"r" * 16) -> bytes:
    body = wire.write_ask(ask)
    return (
        HEAD.pack(catalogue().prefix("exchange-request"), request, A, bytes(32), 60_000)
        + varint(len(body))
        + body
        + varint(1)
        + b"x"
    )


class TestAgent:
    """What passes becomes entries, in the store first, then on the topic."""

    def setup_method(self) -> None:
        self.clock, self.store = VirtualClock(), JournalStore(None)
        self.broker = MemoryBroker(self.clock)
        self.broker.create([topics.TopicSpec(topics.JOURNAL, 1), topics.TopicSpec(topics.DEAD_LETTERS, 1)])
        self.agent = Journal(self.broker, self.store, self.clock)

    def record(self, topic: str, value: bytes | None, offset: int = 0, key: bytes = A) -> MemoryRecord:
        return MemoryRecord(topic, 0, offset, START_MS, key, value, [])

    def told(self) -> list[dict[str, Any]]:
        return [wire.read("journal-entry", record.value) for record in self.broker.records(topics.JOURNAL)]

    def letters(self) -> list[str]:
        return [wire.read("dead-letter", r.value)["reason"] for r in self.broker.records(topics.DEAD_LETTERS)]

    async def test_request_and_verdict(self) -> None:
        """Who asked what under which agreement, and who refused it and why; the topic's lines name no agreement."""
        ask = Ask(RECIPIENT, "cnaf.quotient-familial.v1", "cantine", ("cnaf_enfants",), ())
        verdict = Verdict(RequestKey(OPERATOR, A, b"r" * 16), bytes(32), START_MS, "refused", Code.WITHDRAWN)
        await self.agent.handle([self.record(topics.requests(OPERATOR), request(ask), 3)])
        await self.agent.handle([self.record(topics.VERDICTS, wire.write_verdict(verdict, "gate"), 4)])
        asked, judged = self.store.show(Filter())
        assert asked == Line("requested", START_MS, OPERATOR, RECIPIENT, "operator", b"r" * 16, A, "cnaf.quotient-familial.v1", "cantine",
                             "", "", topics.requests(OPERATOR), 0, 3)  # fmt: skip
        assert judged == Line(
            "judged",
            START_MS,
            OPERATOR,
            "",
            "gate",
            b"r" * 16,
            A,
            "",
            "",
            "refused",
            "withdrawn",
            topics.VERDICTS,
            0,
            4,
        )
        assert [found["step"] for found in self.told()] == ["requested", "judged"]
        assert all(A not in (r.value or b"") for r in self.broker.records(topics.JOURNAL))

    async def test_redelivered(self) -> None:
        """A chunk that comes again after the store and before the topic: kept once, told."""
        chunk = [self.record(topics.requests(OPERATOR), request(Ask(RECIPIENT, "d.v1", "p", (), ())))]
        self.broker.fail_next = 1
        with pytest.raises(Unavailable):
            await self.agent.handle(chunk)
        await self.agent.handle(chunk)
        assert len(list(self.store.show(Filter()))) == 1 == len(self.told())

    async def test_free_words_are_not_kept(self) -> None:
        """A caller's purpose, data set or recipient that has not the shape of one is left out, here and on the topic."""
        ask = Ask("Mme Trévarin", "les données de Jeanne", "pour Jeanne MARTIN", ("x",), ())
        await self.agent.handle([self.record(topics.requests(OPERATOR), request(ask))])
        (found,) = self.store.show(Filter())
        assert (found.recipient, found.data_set, found.purpose) == ("", "", "")
        assert (self.told()[0]["recipient"], self.told()[0]["purpose"]) == ("", "")

    @pytest.mark.parametrize("value", [None, b"", b"garbage", bytes(400)])
    async def test_bad_bytes(self, value: bytes | None) -> None:
        """Outcomes nobody can read go to the dead letters; what gate and release bury is left to them; nothing stops."""
        good = self.record(topics.requests(OPERATOR), request(Ask(RECIPIENT, "d.v1", "p", (), ())), 9)
        for topic, buried in ((topics.requests(OPERATOR), 0), (topics.VERDICTS, 0), (topics.outcomes(OPERATOR), 1)):
            self.setup_method()
            await self.agent.handle([self.record(topic, value), good])
            assert len(list(self.store.show(Filter()))) == 1
            assert self.letters() == [Code.BAD_FRAME] * buried or self.letters() == [Code.BAD_AVRO] * buried

    async def test_daily_purge(self) -> None:
        """The agent purges what is old by itself, when it starts and each day."""
        await self.store.add([line(0, START_MS - RETENTION_MS - 1), line(1)])
        await self.agent.tick()
        assert offsets(self.store) == [1]
        self.clock.advance(DAY_MS)
        await self.agent.tick()
        assert [purge.by for purge in self.store.purges()] == [AUTOMATIC] * 2

    async def test_a_full_disk_loses_nothing(self) -> None:
        """While the store cannot write, the chunk is not done: nothing is told, and it comes again."""

        class Full(JournalStore):
            async def add(self, lines: Any) -> None:
                raise Unavailable("full")

        agent = Journal(self.broker, Full(None), self.clock)
        with pytest.raises(Unavailable):
            await agent.handle([self.record(topics.requests(OPERATOR), request(Ask(RECIPIENT, "d.v1", "p", (), ())))])
        assert self.told() == []


async def test_on_a_whole_bus() -> None:
    """An answered request: asked and ended, under its agreement and for its recipient; nothing of the person in any line."""
    async with MemoryBus(ScriptedApi()) as bus:
        consent = await bus.give(JEANNE)
        request = await bus.sdk.request("cnaf.quotient-familial.v1", consent=consent, purpose="tarification-cantine")
        assert (await request.answer()).status == "found"
        found = await until(
            bus, lambda: f if len(f := list(bus.journal.show(Filter(authorisation=consent)))) == 2 else None
        )
        assert [(f.step, f.origin, f.code) for f in found] == [
            ("requested", "operator", ""),
            ("ended", "release", "released"),
        ]
        assert found == list(bus.journal.show(Filter(recipient=bus.recipient, request=request.key.request)))
        assert not any(
            "MARTIN" in str(value).upper() or "JEANNE" in str(value).upper() for line in found for value in line
        )

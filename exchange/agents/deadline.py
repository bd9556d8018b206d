"""Deadlines: every request without a confirmed outcome when its time is over gets `expired` proposed, again and again.

It watches publication, not the terminal row: a zombie may have committed a row and frozen (protocol §3.6). The proposer's clock
decides nothing: the ledger drops a proposal that comes too early. What is pending is held back from the commit, so a restart
reads it again; what of it was released and is not confirmed a minute later is an alarm.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from consent.core.facts import RequestKey, Submission, Verdict
from exchange import wire
from exchange.agents.base import UNHURRIED_S, Outgoing, Prompt
from exchange.core.decision import TTL_MAX_MS
from exchange.core.errors import Code
from exchange.core.heads import BadRequest, read_head
from exchange.core.sealing import ask_hash, request_digest
from exchange.core.topics import ALL_REQUESTS, VERDICTS, operator_of
from exchange.ports import Clock, Ledger, Outbox, Record, Unavailable
from exchange.schemas import catalogue

FIRST_LOOK_MS = 2_000
AGAIN_MS = 2_000
BATCH = 1_000
ALARM_MS = 60_000
_Place = tuple[str, int, int]


class _Pending(NamedTuple):
    """A request being watched: where it lies, since when, and when its time is over."""

    topic: str
    partition: int
    submission: Submission
    asked_ms: int
    deadline_ms: int


class Deadline(Prompt):
    """Watches requests until their outcome is published."""

    name = "deadline"
    topics = (ALL_REQUESTS,)
    patience_s = UNHURRIED_S

    def __init__(self, ledger: Ledger, outbox: Outbox, clock: Clock) -> None:
        self._ledger, self._outbox, self._clock = ledger, outbox, clock
        self._prefix = catalogue().prefix("exchange-request")
        self._pending: dict[tuple[str, int], dict[int, _Pending]] = {}
        self._looks: list[tuple[int, _Place]] = []
        self._late: set[_Place] = set()
        self._alarm_at_ms = 0

    async def handle(self, chunk: Sequence[Record]) -> None:
        if not operator_of(chunk[0].topic):
            return  # a topic that is nobody's
        first_ms = self._clock.now_ms() + FIRST_LOOK_MS
        pending = self._pending.setdefault((chunk[0].topic, chunk[0].partition), {})
        operator = operator_of(chunk[0].topic)
        for record in chunk:
            try:
                head = read_head(record.value, self._prefix)
            except BadRequest:
                continue  # the gate buries it
            digest = request_digest(operator, head.authorisation, head.request, ask_hash(head.ask))
            submission = Submission(RequestKey(operator, head.authorisation, head.request), digest)
            deadline_ms = record.timestamp + min(head.ttl_ms, TTL_MAX_MS)
            pending[record.offset] = _Pending(record.topic, record.partition, submission, record.timestamp, deadline_ms)
            heapq.heappush(self._looks, (min(first_ms, deadline_ms), (record.topic, record.partition, record.offset)))

    async def tick(self) -> None:
        now_ms = self._clock.now_ms()
        while self._looks and self._looks[0][0] <= now_ms:
            await self._look(now_ms)
        if now_ms >= self._alarm_at_ms:
            self._alarm_at_ms = now_ms + AGAIN_MS
            if late := len(self._late):
                structlog.get_logger().warning("released_unconfirmed", count=late, older_than_s=ALARM_MS // 1000)

    async def _look(self, now_ms: int) -> None:
        """One batch of requests whose turn has come: forget those told, propose `expired` for those whose time is over."""
        looks: list[tuple[int, _Place]] = []
        while self._looks and self._looks[0][0] <= now_ms and len(looks) < BATCH:
            looks.append(heapq.heappop(self._looks))
        watched = [(place, found) for _, place in looks if (found := self._pending.get(place[:2], {}).get(place[2]))]
        try:
            open_ones = await self._ledger.unconfirmed([found.submission for _, found in watched])
            late = await self._overdue(
                [one for one, still_open in zip(watched, open_ones, strict=True) if still_open], now_ms
            )
        except Unavailable:
            for look in looks:
                heapq.heappush(self._looks, look)
            raise
        self._late = self._late - {place for place, _ in watched} | late
        outgoing = Outgoing(self._outbox)
        for (place, found), still_open in zip(watched, open_ones, strict=True):
            if not still_open:
                self._pending.get(place[:2], {}).pop(place[2], None)  # revoked meanwhile, or looked at twice
                continue
            due = now_ms >= found.deadline_ms
            if due:
                self._propose(outgoing, found)
            heapq.heappush(
                self._looks, (now_ms + AGAIN_MS if due else min(found.deadline_ms, now_ms + 4 * AGAIN_MS), place)
            )
        await outgoing.send()

    async def _overdue(self, waiting: Sequence[tuple[_Place, _Pending]], now_ms: int) -> set[_Place]:
        """Those that were released too long ago; who was asked since was not, so that as a rule nobody is asked about."""
        old = [(place, found) for place, found in waiting if found.asked_ms < now_ms - ALARM_MS]
        if not old:
            return set()
        late = await self._ledger.overdue([found.submission for _, found in old], ALARM_MS)
        return {place for (place, _), yes in zip(old, late, strict=True) if yes}

    def _propose(self, outgoing: Outgoing, found: _Pending) -> None:
        key = found.submission.key
        verdict = Verdict(key, found.submission.digest, found.deadline_ms, "expired", Code.DEADLINE_PASSED)
        message = wire.message("verdict", key.authorisation, wire.write_verdict(verdict, "deadline"), key.request.hex())
        outgoing.add(VERDICTS, _Here(found.topic, found.partition), message)  # type: ignore[arg-type]  # only the partition is read

    def held(self, topic: str, partition: int) -> int | None:
        return next(iter(self._pending.get((topic, partition), ())), None)

    def revoked(self, partitions: set[tuple[str, int]]) -> None:
        for place in partitions:
            self._pending.pop(place, None)
        self._late = {place for place in self._late if place[:2] not in partitions}


class _Here(NamedTuple):
    topic: str
    partition: int

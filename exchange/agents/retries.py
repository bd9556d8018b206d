"""Tasks that wait: each goes back from `retries.<provider>` to `tasks.<provider>` when its time has come.

What waits is held back from the commit, so a restart reads it again (ADR 0007). It then asks the ledger which requests still have no
confirmed outcome: what was done meanwhile is not done again. It needs no key of a provider, and is the one besides the gate that
writes tasks.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from consent.core.facts import RequestKey, Submission
from exchange import wire
from exchange.agents.base import UNHURRIED_S, Outgoing, Prompt
from exchange.core.errors import Code
from exchange.core.sealing import ask_hash, request_digest
from exchange.core.topics import ALL_RETRIES, middle, tasks
from exchange.ports import Clock, Headers, Ledger, Message, Outbox, Record, Unavailable
from exchange.tracing import carried

BATCH = 500
WAITING_MAX_BYTES = 256 << 20
"""More are left on their topic until there is room: the chunk comes again."""
CALLS_HEADER = "accord_calls"
"""How often the State was called for a task before it waited; a hint, the ledger counts."""
_Place = tuple[str, int, int]


class _Waiting(NamedTuple):
    """A task to send again, and the record it came in."""

    record: Record
    submission: Submission
    message: Message
    due_ms: int


class Retries(Prompt):
    """Sends tasks again when they are due."""

    name = "retries"
    topics = (ALL_RETRIES,)
    patience_s = UNHURRIED_S

    def __init__(self, ledger: Ledger, outbox: Outbox, clock: Clock, size_max_bytes: int = WAITING_MAX_BYTES) -> None:
        self._ledger, self._outbox, self._clock = ledger, outbox, clock
        self._waiting: dict[tuple[str, int], dict[int, _Waiting]] = {}
        self._due: list[tuple[int, _Place]] = []
        self._size_bytes, self._size_max_bytes = 0, size_max_bytes

    async def handle(self, chunk: Sequence[Record]) -> None:
        if self._size_bytes > self._size_max_bytes:
            raise Unavailable("too many tasks are waiting")
        outgoing = Outgoing(self._outbox)
        waiting = self._waiting.setdefault((chunk[0].topic, chunk[0].partition), {})
        for record in chunk:
            try:
                found = _read(record)
            except wire.BadBytes as bad:
                outgoing.bury(record, bad.code)
                continue
            if record.offset not in waiting:
                waiting[record.offset] = found
                self._size_bytes += len(found.message.value)
                heapq.heappush(self._due, (found.due_ms, (record.topic, record.partition, record.offset)))
        await outgoing.send()

    async def tick(self) -> None:
        while self._due and self._due[0][0] <= self._clock.now_ms():
            await self._send_due()

    async def _send_due(self) -> None:
        """One batch of those whose time has come."""
        now_ms, looks = self._clock.now_ms(), list[tuple[int, _Place]]()
        while self._due and self._due[0][0] <= now_ms and len(looks) < BATCH:
            looks.append(heapq.heappop(self._due))
        found = [one for _, place in looks if (one := self._waiting.get(place[:2], {}).get(place[2]))]
        once = {
            (one.submission.key, one.submission.digest): one for one in found
        }  # one request may wait twice, if a chunk came again
        outgoing = Outgoing(self._outbox)
        try:
            still_open = await self._ledger.unconfirmed([one.submission for one in once.values()])
            for one, open_ in zip(once.values(), still_open, strict=True):
                if open_:
                    outgoing.add(tasks(middle(one.record.topic)), one.record, one.message)
            await outgoing.send()
        except BaseException:
            for look in looks:
                heapq.heappush(self._due, look)
            raise
        for one in found:
            self._forget(one)

    def _forget(self, one: _Waiting) -> None:
        place = one.record.topic, one.record.partition
        if self._waiting.get(place, {}).pop(one.record.offset, None):
            self._size_bytes -= len(one.message.value)

    def held(self, topic: str, partition: int) -> int | None:
        return min(self._waiting.get((topic, partition), ()), default=None)

    def revoked(self, partitions: set[tuple[str, int]]) -> None:
        for place in partitions:
            for one in list(self._waiting.get(place, {}).values()):
                self._forget(one)


def calls_before(headers: Headers) -> int:
    """How often the State was called for this task; 0 where nobody says."""
    said = next((value for name, value in headers if name == CALLS_HEADER), b"")
    return int(said) if said in (b"1", b"2") else 0


def calls_header(calls: int) -> list[tuple[str, bytes]]:
    return [(CALLS_HEADER, b"%d" % calls)] if calls else []


def _read(record: Record) -> _Waiting:
    """A task behind the time it waits for. BadBytes."""
    body = wire.read("exchange-retry", record.value)
    due_ms, task = wire.time_ms(body["due_ms"]), wire.read("exchange-task", body["task"])
    key: RequestKey = wire.request_key(task)
    if record.key != key.authorisation:
        raise wire.BadBytes(Code.BAD_KEY)
    due_ms = min(due_ms, wire.time_ms(task["deadline_ms"]))
    digest = request_digest(key.operator, key.authorisation, key.request, ask_hash(task["ask"]))
    calls = calls_before(record.headers)
    extra = [*carried(record.headers), *calls_header(calls)]
    message = wire.message("exchange-task", key.authorisation, body["task"], key.request.hex(), extra)
    return _Waiting(record, Submission(key, digest), message, due_ms)

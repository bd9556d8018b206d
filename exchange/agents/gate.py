"""The gate: from `requests.<operator>` to `tasks.<provider>`, or a refusal to `verdicts.v1`. It writes no outcome itself.

The way of a chunk: judge from memory, a slice at a time, each sent while the next is judged; read the ledger once for all that memory
does not allow; judge those again; send; when all is durable, commit.
"""

from __future__ import annotations

import asyncio
import struct
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from consent.core.facts import RequestKey, Verdict
from exchange import wire
from exchange.agents.base import Outgoing, Quiet, ended
from exchange.core import gate
from exchange.core.batches import Fetched, in_place, length, written_headers
from exchange.core.errors import Code
from exchange.core.frame import PREFIX_SIZE_BYTES
from exchange.core.memory import Memory
from exchange.core.topics import ALL_REQUESTS, VERDICTS, operator_of, tasks
from exchange.data_sets import DATA_SETS
from exchange.ports import Clock, Ledger, Outbox, Record
from exchange.schemas import catalogue
from exchange.tracing import Tracing

SLICE = 1_000
"""Requests judged before the event loop has its turn: some ms."""
_VERDICT_HEAD = struct.Struct(">5s16s16s9s32sQ")
"""Frame, request id, authorisation id, operator, digest, deadline."""
_KEY_SIZE, _ID_SIZE = length(16), 32
"""Of a task's key, as a record says it; of an event's id, in hexadecimal."""
_TRACED = b"traceparent"


class Gate(Quiet):
    """Decides whether a request may go to the provider."""

    name = "gate"
    topics = (ALL_REQUESTS,)

    def __init__(self, ledger: Ledger, outbox: Outbox, clock: Clock, memory: Memory, tracing: Tracing) -> None:
        self._ledger, self._outbox, self._clock, self._memory, self._tracing = ledger, outbox, clock, memory, tracing
        prefix = catalogue().prefix
        self._rules = gate.Rules(prefix("exchange-request"), prefix("exchange-task"), DATA_SETS, wire.read_ask)
        self._headers = {subject: _headers(subject) for subject in ("exchange-task", "verdict")}

    async def handle(self, chunk: Sequence[Record]) -> None:
        fetched, misses, sending = in_place(chunk), list[int](), list[asyncio.Task[None]]()
        operator = operator_of(fetched.topic)
        try:
            for begin in range(0, len(fetched), SLICE):
                now_ms, part = self._clock.now_ms(), range(begin, min(begin + SLICE, len(fetched)))
                views = self._memory.trusted(now_ms)
                judged = gate.judge(fetched, part, operator, views, self._rules, now_ms, fresh=False)
                misses += judged.misses
                sending.append(asyncio.create_task(self._outgoing(fetched, operator, judged).send()))
                await asyncio.sleep(0)
            if misses:
                judged = await self._again(fetched, misses, operator)
                sending.append(asyncio.create_task(self._outgoing(fetched, operator, judged).send()))
        except BaseException:  # also a cancellation, which no error of a send may hide
            await ended(sending)
            raise
        if error := await ended(sending):
            raise error

    async def _again(self, chunk: Fetched, misses: Sequence[int], operator: str) -> gate.Judged:
        """What memory does not allow, judged on what the ledger says now: read once for all."""
        asked = {chunk.entries[place][2] or b"" for place in misses}
        found = await self._ledger.lookup(list(asked))
        fresh = self._memory.learn(held for held in found if held is not None)
        return gate.judge(chunk, misses, operator, fresh, self._rules, self._clock.now_ms(), fresh=True)

    def _outgoing(self, chunk: Fetched, operator: str, judged: gate.Judged) -> Outgoing:
        """The messages that follow from a judgement: all of one chunk go to the partitions that follow from its own."""
        outgoing, verdicts = Outgoing(self._outbox), list[bytes]()
        found: defaultdict[str, list[bytes]] = defaultdict(list)
        headers = self._traced if _TRACED in chunk.data else self._plain
        for place, provider, authorisation, request, parts in judged.tasks:
            size, after = length(sum(map(len, parts))), headers("exchange-task", chunk, place, request)
            found[provider].append(b"".join((_KEY_SIZE, authorisation, size, *parts, after)))
        for refusal in judged.refusals:
            value, after = _verdict(operator, refusal), headers("verdict", chunk, refusal.place, refusal.request)
            verdicts.append(b"".join((_KEY_SIZE, refusal.authorisation, length(len(value)), value, after)))
        for provider, bodies in found.items():
            outgoing.extend(tasks(provider), chunk.partition, bodies)
        outgoing.extend(VERDICTS, chunk.partition, verdicts)
        for place, code in judged.bad:
            outgoing.bury(chunk[place], code)
        return outgoing

    def _plain(self, subject: str, _chunk: Fetched, _place: int, request: bytes) -> bytes:
        """The headers of what follows from a request that bears no trace."""
        return self._headers[subject] + request.hex().encode()

    def _traced(self, subject: str, chunk: Fetched, place: int, request: bytes) -> bytes:
        """The trace goes on where there is one."""
        record = chunk[place]
        trace = self._tracing.mark("gate", record.headers, record.topic, request)
        return written_headers(wire.event_headers(subject, request.hex().encode(), trace))


def _headers(subject: str) -> bytes:
    """Those of a message without a trace, but for the id of its event, which comes last."""
    return written_headers(wire.event_headers(subject, bytes(_ID_SIZE)))[:-_ID_SIZE]


def _verdict(operator: str, refusal: gate.Refusal) -> bytes:
    """`wire.write_verdict`, with what is the same for every refusal of a kind written once: five times as fast."""
    prefix, tail = _frame_and_tail(refusal.code, refusal.reason)
    head = (refusal.request, refusal.authorisation, operator.encode(), refusal.digest, refusal.deadline_ms)
    return _VERDICT_HEAD.pack(prefix, *head) + tail


@lru_cache(maxsize=256)
def _frame_and_tail(code: Literal["refused", "expired"], reason: Code) -> tuple[bytes, bytes]:
    written = wire.write_verdict(Verdict(RequestKey("0" * 9, bytes(16), bytes(16)), bytes(32), 0, code, reason), "gate")
    return written[:PREFIX_SIZE_BYTES], written[_VERDICT_HEAD.size :]


class Listener:
    """Keeps the gate's memory true to `consent.events.v1`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def handle(self, chunk: Sequence[Record]) -> None:
        for record in chunk:
            try:
                event = wire.read("consent-event", record.value)
            except wire.BadBytes:
                continue  # this topic's writer is the ledger's relay; what is not its own says nothing
            if event["kind"] == "heartbeat":
                self._memory.beat(record.timestamp)
            else:
                told_ms = min(record.timestamp, event["at_ms"])  # an old change, told late, says nothing of now
                self._memory.hear(event["authorisation_id"], event["version"], told_ms)

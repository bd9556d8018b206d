"""The gate: from `requests.<operator>` to `tasks.<provider>`, or a refusal to `verdicts.v1`. It writes no outcome itself.

The way of a chunk: judge from memory; read the ledger once for all that memory does not allow; judge those again; send; commit.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import lru_cache
from typing import Literal

from consent.core.facts import RequestKey, Verdict
from exchange import wire
from exchange.agents.base import Outgoing, Quiet
from exchange.core import gate
from exchange.core.errors import Code
from exchange.core.frame import PREFIX_SIZE_BYTES
from exchange.core.memory import Memory
from exchange.core.topics import ALL_REQUESTS, VERDICTS, operator_of, tasks
from exchange.data_sets import DATA_SETS
from exchange.ports import Clock, Headers, Ledger, Message, Outbox, Record
from exchange.schemas import catalogue
from exchange.tracing import Tracing

_VERDICT_HEAD = struct.Struct(">5s16s16s9s32sQ")
"""Frame, request id, authorisation id, operator, digest, deadline."""


class Gate(Quiet):
    """Decides whether a request may go to the provider."""

    name = "gate"
    topics = (ALL_REQUESTS,)

    def __init__(self, ledger: Ledger, outbox: Outbox, clock: Clock, memory: Memory, tracing: Tracing) -> None:
        self._ledger, self._outbox, self._clock, self._memory, self._tracing = ledger, outbox, clock, memory, tracing
        prefix = catalogue().prefix
        self._rules = gate.Rules(prefix("exchange-request"), prefix("exchange-task"), DATA_SETS, wire.read_ask)
        self._task_headers, self._verdict_headers = wire.headers_of("exchange-task"), wire.headers_of("verdict")
        self._found: dict[Hashable, gate.Known] = {}

    async def handle(self, chunk: Sequence[Record]) -> None:
        operator, now_ms = operator_of(chunk[0].topic), self._clock.now_ms()
        views = self._memory.trusted(now_ms)
        judged = gate.judge(chunk, range(len(chunk)), operator, views, self._rules, now_ms, fresh=False)
        outgoing = Outgoing(self._outbox)
        self._add(outgoing, chunk, operator, judged)
        if judged.misses:
            found = await self._ledger.lookup(list({chunk[place].key or b"" for place in judged.misses}))
            fresh = self._memory.learn(held for held in found if held is not None)
            gate.share(fresh.values(), self._found)
            again = gate.judge(chunk, judged.misses, operator, fresh, self._rules, self._clock.now_ms(), fresh=True)
            self._add(outgoing, chunk, operator, again)
        await outgoing.send()

    def _add(self, outgoing: Outgoing, chunk: Sequence[Record], operator: str, judged: gate.Judged) -> None:
        """The messages that follow from a judgement: all of one chunk go to the partitions that follow from its own."""
        found: defaultdict[str, list[Message]] = defaultdict(list)
        for place, provider, request, value in judged.tasks:
            record = chunk[place]
            headers = [*self._task_headers, ("ce_id", request.hex().encode()), *self._trace(record, request)]
            found[provider].append(Message(record.key, value, headers))
        for provider, messages in found.items():
            outgoing.extend(tasks(provider), chunk[0], messages)
        for refusal in judged.refusals:
            record, request = chunk[refusal.place], refusal.request
            headers = [*self._verdict_headers, ("ce_id", request.hex().encode()), *self._trace(record, request)]
            outgoing.add(VERDICTS, record, Message(record.key, _verdict(operator, refusal), headers))
        for place, code in judged.bad:
            outgoing.bury(chunk[place], code)

    def _trace(self, record: Record, request: bytes) -> Headers:
        """The trace goes on where there is one. A plain loop: most requests have none."""
        for name, _ in record.headers:
            if name == "traceparent":
                return self._tracing.mark("gate", record.headers, record.topic, request)
        return ()


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

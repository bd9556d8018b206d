"""The gate: from `requests.<operator>` to `tasks.<provider>`, or a refusal to `verdicts.v1`. It writes no outcome itself.

The way of a chunk: judge from memory; read the ledger once for all that memory does not allow; judge those again; send; commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from consent.core.facts import RequestKey, Verdict
from exchange import wire
from exchange.agents.base import Outgoing, Quiet
from exchange.core import gate
from exchange.core.memory import Memory
from exchange.core.topics import ALL_REQUESTS, VERDICTS, middle, tasks
from exchange.data_sets import DATA_SETS
from exchange.ports import Clock, Ledger, Message, Outbox, Record
from exchange.schemas import catalogue
from exchange.tracing import Tracing


class Gate(Quiet):
    """Decides whether a request may go to the provider."""

    name = "gate"
    topics = (ALL_REQUESTS,)

    def __init__(self, ledger: Ledger, outbox: Outbox, clock: Clock, memory: Memory, tracing: Tracing) -> None:
        self._ledger, self._outbox, self._clock, self._memory, self._tracing = ledger, outbox, clock, memory, tracing
        prefix = catalogue().prefix
        self._rules = gate.Rules(prefix("exchange-request"), prefix("exchange-task"), DATA_SETS, wire.read_ask)
        self._task_headers = [h for h in wire.message("exchange-task", None, b"", "").headers if h[0] != "ce_id"]

    async def handle(self, chunk: Sequence[Record]) -> None:
        operator, now_ms = middle(chunk[0].topic), self._clock.now_ms()
        views = self._memory.trusted(now_ms)
        judged = gate.judge(chunk, range(len(chunk)), operator, views, self._rules, now_ms, fresh=False)
        outgoing = Outgoing(self._outbox)
        self._add(outgoing, chunk, operator, judged)
        if judged.misses:
            found = await self._ledger.lookup(list({chunk[place].key or b"" for place in judged.misses}))
            fresh = self._memory.learn(held for held in found if held is not None)
            again = gate.judge(chunk, judged.misses, operator, fresh, self._rules, self._clock.now_ms(), fresh=True)
            self._add(outgoing, chunk, operator, again)
        await outgoing.send()

    def _add(self, outgoing: Outgoing, chunk: Sequence[Record], operator: str, judged: gate.Judged) -> None:
        topics = {provider: tasks(provider) for _, provider, _, _ in judged.tasks}
        for place, provider, request, value in judged.tasks:
            record = chunk[place]
            headers = [*self._task_headers, ("ce_id", request.hex().encode())]
            if record.headers:
                headers += self._tracing.mark("gate", record.headers, record.topic, request)
            outgoing.add(topics[provider], record, Message(record.key, value, headers))
        for refusal in judged.refusals:
            record = chunk[refusal.place]
            key = RequestKey(operator, refusal.authorisation, refusal.request)
            verdict = Verdict(key, refusal.digest, refusal.deadline_ms, refusal.code, refusal.reason)  # type: ignore[arg-type]  # refused or expired
            headers = self._tracing.mark("gate", record.headers, record.topic, refusal.request)
            value = wire.write_verdict(verdict, "gate")
            outgoing.add(VERDICTS, record, wire.message("verdict", record.key, value, refusal.request.hex(), headers))
        for place, code in judged.bad:
            outgoing.bury(chunk[place], code)


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
                self._memory.hear(event["authorisation_id"], event["version"], record.timestamp)

"""The gate: from `requests.<operator>` to `tasks.<provider>`, or a refusal to `verdicts.v1`. It writes no outcome itself.

The way of a chunk: what memory allows, at once, is sent; for the rest the ledger is read, once; what that allows, and what it says to
be closed for good, the same way; what is left is judged one by one, on all that the ledger says; send; when all is durable, commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Literal

from consent.core.facts import Authorisation, RequestKey, Verdict
from exchange import wire
from exchange.agents.base import Outgoing, Quiet, ended
from exchange.core import gate
from exchange.core.allowing import Allowed, Asks, allow, batches, bodies
from exchange.core.batches import Fetched, in_place, sized, written_headers
from exchange.core.columns import Requests, plain, requests
from exchange.core.errors import Code
from exchange.core.frame import PREFIX_SIZE_BYTES
from exchange.core.memory import Memory
from exchange.core.refusing import Refused, refuse
from exchange.core.refusing import bodies as verdicts
from exchange.core.topics import ALL_REQUESTS, VERDICTS, operator_of, tasks
from exchange.data_sets import DATA_SETS
from exchange.ports import Clock, Ledger, Outbox, Record
from exchange.schemas import catalogue
from exchange.tracing import Tracing

_TRACED = b"traceparent"
After = Callable[[str, Fetched, int, bytes], bytes]
"""(subject, chunk, place, request) -> the headers of what follows from a request."""


class Gate(Quiet):
    """Decides whether a request may go to the provider."""

    name = "gate"
    topics = (ALL_REQUESTS,)
    timed, paced, at_once, fetch_bytes = False, True, 3, 3 << 20

    def __init__(self, ledger: Ledger, outbox: Outbox, clock: Clock, memory: Memory, tracing: Tracing) -> None:
        self._ledger, self._outbox, self._clock, self._memory, self._tracing = ledger, outbox, clock, memory, tracing
        prefix = catalogue().prefix
        self._rules = gate.Rules(prefix("exchange-request"), prefix("exchange-task"), DATA_SETS, wire.read_ask)
        self._asks: dict[str, Asks] = {}

    async def handle(self, chunk: Sequence[Record]) -> None:
        fetched = in_place(chunk)
        operator, found = operator_of(fetched.topic), requests(fetched, self._rules.request_prefix)
        asks = self._asks.setdefault(operator, Asks(operator, self._rules))
        now_ms, first, rest = self._clock.now_ms(), list[Allowed](), found
        if self._memory.trusted(now_ms):
            first, rest = allow(found, fetched.data, asks, self._memory, now_ms)
        usual = plain(fetched, wire.headers_before_id("exchange-request"), wire.EVENT_ID_SIZE)
        after = self._plain if usual or _TRACED not in fetched.data else self._traced
        sending = [asyncio.create_task(self._allowed(fetched, operator, first, after).send())]
        try:
            await asyncio.sleep(0)
            if len(rest.place) or len(found.place) < len(fetched):
                outgoing = await self._others(fetched, operator, rest, found.others(len(fetched)), asks, after)
                sending.append(asyncio.create_task(outgoing.send()))
        except BaseException:  # also a cancellation, which no error of a send may hide
            await ended(sending)
            raise
        if error := await ended(sending):
            raise error

    async def _others(
        self, chunk: Fetched, operator: str, rest: Requests, odd: Sequence[int], asks: Asks, after: After
    ) -> Outgoing:
        """What memory does not allow, and what has no usual shape (`odd`), on what the ledger says now."""
        if ids := list(set(rest.authorisations)):
            with self._memory.asking() as named:
                now_ms = self._clock.now_ms()
                self._memory.learn(ids, await self._ledger.glance(ids), now_ms, named)
        again, left = allow(rest, chunk.data, asks, self._memory, self._clock.now_ms())
        shut, left = refuse(left, chunk.data, asks, self._memory)
        outgoing = self._allowed(chunk, operator, again, after)
        self._refused(chunk, operator, shut, after, outgoing)
        asked, bad = gate.read(chunk, [*odd, *left.place.tolist()], self._rules)
        held = await self._held({one.authorisation for one in asked})
        allowed, refused = gate.judge(asked, operator, held, self._rules, self._clock.now_ms())
        for task in allowed:
            headers = after("exchange-task", chunk, task.place, task.request)
            outgoing.extend(tasks(task.provider), chunk.partition, [_body(task.authorisation, task.value, headers)])
        told = [(one, after("verdict", chunk, one.place, one.request)) for one in refused]
        laid = [_body(one.authorisation, _verdict(operator, one), headers) for one, headers in told]
        outgoing.extend(VERDICTS, chunk.partition, laid)
        for place, code in bad:
            outgoing.bury(chunk[place], code)
        return outgoing

    async def _held(self, ids: Collection[bytes]) -> dict[bytes, Authorisation]:
        """All that the ledger says now of these."""
        found = await self._ledger.lookup(list(ids)) if ids else []
        return {held.id: held for held in found if held is not None}

    def _allowed(self, chunk: Fetched, operator: str, allowed: Iterable[Allowed], after: After) -> Outgoing:
        """The tasks of requests allowed at once: all of one chunk go to the partitions that follow from its own."""
        outgoing, plain = Outgoing(self._outbox), wire.headers_before_id("exchange-task")
        for provider, own in allowed:
            common = own, chunk.data, operator, self._rules.task_prefix
            if after == self._plain:
                outgoing.whole(tasks(provider), chunk.partition, batches(*common, plain))
            else:
                ids = zip(own.place.tolist(), own.ids, strict=True)
                headers = [after("exchange-task", chunk, place, request) for place, request in ids]
                outgoing.extend(tasks(provider), chunk.partition, bodies(*common, headers))
        return outgoing

    def _refused(
        self, chunk: Fetched, operator: str, shut: Iterable[Refused], after: After, outgoing: Outgoing
    ) -> None:
        """The verdicts of requests refused at once."""
        for reason, own in shut:
            prefix, tail = _frame_and_tail("refused", reason)
            ids = zip(own.place.tolist(), own.ids, strict=True)
            headers = [after("verdict", chunk, place, request) for place, request in ids]
            laid = verdicts(own, chunk.data, operator, prefix, tail, headers)
            outgoing.extend(VERDICTS, chunk.partition, laid)

    def _plain(self, subject: str, _chunk: Fetched, _place: int, request: bytes) -> bytes:
        """The headers of what follows from a request that bears no trace."""
        return wire.headers_before_id(subject) + request.hex().encode()

    def _traced(self, subject: str, chunk: Fetched, place: int, request: bytes) -> bytes:
        """The trace goes on where there is one."""
        record = chunk[place]
        trace = self._tracing.mark("gate", record.headers, record.topic, request)
        return written_headers(wire.event_headers(subject, request.hex().encode(), trace))


def _body(key: bytes, value: bytes, headers: bytes) -> bytes:
    return sized(key) + sized(value) + headers


def _verdict(operator: str, refusal: gate.Refusal) -> bytes:
    """`wire.write_verdict`, with what is the same for every refusal of a kind written once: five times as fast."""
    prefix, tail = _frame_and_tail(refusal.code, refusal.reason)
    head = (refusal.request, refusal.authorisation, operator.encode(), refusal.digest, refusal.deadline_ms)
    return gate.VERDICT_HEAD.pack(prefix, *head) + tail


@lru_cache(maxsize=256)
def _frame_and_tail(code: Literal["refused", "expired"], reason: Code) -> tuple[bytes, bytes]:
    written = wire.write_verdict(Verdict(RequestKey("0" * 9, bytes(16), bytes(16)), bytes(32), 0, code, reason), "gate")
    return written[:PREFIX_SIZE_BYTES], written[gate.VERDICT_HEAD.size :]


class Listener:
    """Keeps the gate's memory true to `consent.events.v1`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def handle(self, chunk: Sequence[Record]) -> None:
        told = list(_events(chunk))
        for told_ms, event in told:
            if event["kind"] == "heartbeat":
                self._memory.beat(told_ms)
        if changes := [(told_ms, event) for told_ms, event in told if event["kind"] != "heartbeat"]:
            ids = [event["authorisation_id"] for _, event in changes]
            # an old change, told late, says nothing of now
            self._memory.hear(ids, max(min(told_ms, event["at_ms"]) for told_ms, event in changes))


def _events(chunk: Sequence[Record]) -> Iterator[tuple[int, dict[str, Any]]]:
    """When each was written (ms), and what it says. This topic's writer is the ledger's relay; what is not its own says nothing."""
    for record in chunk:
        with suppress(wire.BadBytes):
            yield record.timestamp, wire.read("consent-event", record.value)

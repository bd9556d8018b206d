"""Release: from `answers.<provider>` and `verdicts.v1` to `outcomes.<operator>`, of which it is the only writer. An answer that is to be
pulled goes no further than the ledger: what is told is that it waits, and its outcome once the ledger has one. So does one that its person
has to let through; once they have, it is released here, or announced to who pulls.

The order of durability, and what a crash leaves:
1. the lease starts (monotonic clock), then T-release commits in the ledger — a crash here: the chunk comes again, and the same
   fates are told again, with their keys while the authorisation's key exists;
2. the outcomes are sent within the lease, or the opened answers are dropped and the ledger is asked again;
3. the ledger is told which outcomes the broker acknowledged, with what is released next, or alone after 100 ms — a crash before it: told
   again, the collectivity keeps the first;
4. only then are their records committed (`held`).

Three slices are under way at a time: one is opened, one is in its transaction or on its way, one waits for either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from consent.core.facts import Answer, Confirmation, DeadLetter, Dropped, Outcome, Submission, Verdict, Waiting
from exchange import wire
from exchange.agents.base import Outgoing, Quiet, ended, partitions, slices
from exchange.agents.confirming import CONFIRM_S, Confirming
from exchange.core.batches import body
from exchange.core.errors import Code
from exchange.core.topics import ALL_ANSWERS, VERDICTS, outcomes
from exchange.ports import LEASE_MS, Clock, Ledger, Message, Outbox, Record, Unavailable
from exchange.tracing import Tracing

SLICE, AT_ONCE = 300, 3
"""Items a transaction, and slices at once: an item costs about 0.1 ms in all, and the lease is 500 ms."""
TRIES = 5

Item = Answer | Verdict
_WITH_KEY = {"key": True, "cut": False, "none": None}
"""What the broker's acknowledgement of an outcome told in a tick says of its key."""


class Release(Quiet):
    """Gives each request its one outcome."""

    name = "release"
    topics = (ALL_ANSWERS, VERDICTS)
    together = True

    def __init__(
        self,
        ledger: Ledger,
        outbox: Outbox,
        clock: Clock,
        tracing: Tracing,
        worker: str = "release",
        confirm_s: float = CONFIRM_S,
    ) -> None:
        """`confirm_s`: how long what was told may wait to be confirmed with something else; 0: not at all."""
        self._ledger, self._outbox, self._clock, self._tracing, self._worker = ledger, outbox, clock, tracing, worker
        self._confirming, self._confirm_s = Confirming(ledger), confirm_s
        self._alone: asyncio.Task[None] | None = None

    async def handle(self, chunk: Sequence[Record]) -> None:
        turns = asyncio.Semaphore(AT_ONCE)

        async def settled(part: Sequence[Record]) -> None:
            async with turns:
                await self._settle(part)

        error = await ended(map(settled, slices(chunk, SLICE)))
        if not self._confirm_s:
            await self._confirming.confirm()
        elif self._confirming and (self._alone is None or self._alone.done()):
            self._alone = asyncio.create_task(self._confirm_alone())
        if error is not None:
            raise error

    async def _confirm_alone(self) -> None:
        """What then still waits, and what came meanwhile; whatever goes wrong here is met again by the next tick."""
        with suppress(Unavailable):
            while self._confirming:
                await self._clock.sleep(self._confirm_s)
                await self._confirming.confirm()

    def held(self, topic: str, partition: int) -> int | None:
        return self._confirming.held(topic, partition)

    async def tick(self) -> None:
        """Outcomes of answers that were opened, or can wait no longer: told without their keys. What its person let through goes on, within
        its lease or at the next tick."""
        await self._confirming.confirm()
        started_ms = self._clock.monotonic_ms()
        outgoing, told = Outgoing(self._outbox), await self._ledger.over(self._worker)
        with_key = any(isinstance(one, Outcome) and one.delivery == "key" for one in told)
        left_ms = LEASE_MS - (self._clock.monotonic_ms() - started_ms)
        if not told or (with_key and left_ms <= 0):
            return
        for one in told:
            topic, request = _topic(one.key.operator), one.key.request
            headers = self._tracing.mark("release", [], topic, request)
            outgoing.extend(topic, one.key.authorisation[0], [body(*_message(one, headers))])
        await outgoing.send(left_ms if with_key else None)
        ended = [Confirmation(o.key, o.digest, _WITH_KEY[o.delivery]) for o in told if isinstance(o, Outcome)]
        if ended:
            await self._ledger.release([], ended)
        if announced := [Submission(one.key, one.digest) for one in told if isinstance(one, Waiting)]:
            await self._ledger.announced(announced)

    async def _settle(self, part: Sequence[Record]) -> None:
        buried = Outgoing(self._outbox)
        items: list[Item] = []
        records: list[Record] = []
        for record in part:
            try:
                item = wire.read_verdict(record) if record.topic == VERDICTS else wire.read_answer(record)
                if not await partitions(self._outbox, _topic(item.key.operator)):
                    raise wire.BadBytes(Code.DELEGATION_ABSENT)  # nobody could be told
                items.append(item)
                records.append(record)
            except wire.BadBytes as bad:
                buried.bury(record, bad.code)
        for record, dead in await self._release(items, records):
            buried.bury(record, Code(dead.reason))
        await buried.send()

    async def _release(self, items: list[Item], records: list[Record]) -> list[tuple[Record, DeadLetter]]:
        """The dead letters among them."""
        for _ in range(TRIES if items else 0):
            started_ms = self._clock.monotonic_ms()
            results = await self._confirming.release(items, self._worker)
            outgoing, told, dead = self._told(results, records)
            left_ms = LEASE_MS - (self._clock.monotonic_ms() - started_ms)
            with_key = any(outcome.delivery == "key" for outcome, _ in told)
            if with_key and left_ms <= 0:
                continue  # the lease is over: these answers are dropped here and asked for again
            try:
                await outgoing.send(left_ms if with_key else None)
            except Unavailable:
                continue
            self._confirming.add(told)
            return dead
        if items:
            raise Unavailable("release")
        return []

    def _told(
        self, results: Sequence[Outcome | Waiting | Dropped | DeadLetter], records: list[Record]
    ) -> tuple[Outgoing, list[tuple[Outcome, Record]], list[tuple[Record, DeadLetter]]]:
        outgoing, told, dead = Outgoing(self._outbox), [], []
        for result, record in zip(results, records, strict=True):
            if isinstance(result, DeadLetter):
                dead.append((record, result))
            elif isinstance(result, Outcome | Waiting):
                headers = self._tracing.mark("release", record.headers, record.topic, result.key.request)
                outgoing.add(_topic(result.key.operator), record, _message(result, headers))
            if isinstance(result, Outcome):
                told.append((result, record))
        return outgoing, told, dead


def _message(told: Outcome | Waiting, headers: list[tuple[str, bytes]]) -> Message:
    value = wire.write_outcome(told) if isinstance(told, Outcome) else wire.write_waiting(told)
    return wire.message(wire.event_of(told), told.key.authorisation, value, told.key.request.hex(), headers)


def _topic(operator: str) -> str:
    try:
        return outcomes(operator)
    except ValueError:
        return ""

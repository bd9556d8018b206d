"""A provider's watches: each look in its time, from `watches.<provider>` to `answers.<provider>` if the answer changed (ADR 0019).

The record of a watch holds its next look and, once, the answer to send now: the two are written together or not at all, so no crash
lets a change be missed or told otherwise than it is remembered. What waits is held back from the commit (ADR 0007), at most a day: then
it is written again. Of two records of one watch the later look wins, and of two of one look the first; so doubles never last.

Each look passes steps (1)–(9) of a task (`connectors.agent`), T-attempt before the call included: whatever ends the authorisation ends
the watch, which says so in a verdict. Looks yield: they are made in turns that nobody else has used.
"""

from __future__ import annotations

import heapq
import hmac
from collections.abc import Sequence
from typing import NamedTuple

from connectors.agent import Connector
from connectors.contract import Failure, Reading, Retry
from connectors.sdk.certificates import borne
from connectors.sdk.task import Head, Refused, Task, Unbegun, bearing
from connectors.sdk.watch import TooLarge, Waiting, read, write
from consent.core.facts import CALLS_MAX, Attempted, Submission
from exchange import wire
from exchange.agents.base import Outgoing, Prompt
from exchange.core.avro import BadAvro
from exchange.core.errors import Code
from exchange.core.topics import answers, watches
from exchange.core.watch import HOP_MS, Look, fingerprint
from exchange.ports import Clock, Message, Outbox, Record, Unavailable
from exchange.together import side_by_side
from exchange.tracing import OutHeaders, Tracing, carried

AT_ONCE = 4
"""Looks made side by side."""
TICK_MS = 5_000
"""How long one tick goes on: the chunk that comes meanwhile waits for it."""
BUSY_MS = 1_000
RETRY_LEAST_MS = 60_000
WAITING_MAX_BYTES = 256 << 20
"""More are left on their topic until there is room: the chunk comes again."""
_Place = tuple[str, int, int]


class _Step(NamedTuple):
    """What a look leads to: something to say, or nothing any more."""

    topic: str = ""
    message: Message | None = None


_OVER = _Step()


class _Busy(Exception):
    """The State's API is needed for people now."""


class Watcher(Prompt):
    """Makes the looks of one provider's watches."""

    def __init__(
        self, connector: Connector, outbox: Outbox, clock: Clock, tracing: Tracing, size_max_bytes: int = WAITING_MAX_BYTES
    ) -> None:  # fmt: skip
        self.name, self.topics = f"watch.{connector.provider}", (watches(connector.provider),)
        self._connector, self._outbox, self._clock, self._tracing = connector, outbox, clock, tracing
        self._waiting: dict[Submission, Waiting] = {}
        self._offsets: dict[tuple[str, int], dict[int, Submission]] = {}
        self._due: list[tuple[int, _Place]] = []
        self._size_bytes, self._size_max_bytes = 0, size_max_bytes

    async def handle(self, chunk: Sequence[Record]) -> None:
        if self._size_bytes > self._size_max_bytes:
            raise Unavailable("too many watches are waiting")
        outgoing = Outgoing(self._outbox)
        for record in chunk:
            try:
                one, answer = read(self._connector.secret, record)
            except wire.BadBytes as bad:
                outgoing.bury(record, bad.code)
                continue
            if self._kept(one) and answer:
                outgoing.add(answers(self._connector.provider), record, _answer(one, answer))
        await outgoing.send()

    def _kept(self, one: Waiting) -> bool:
        """Whether this record is the one its watch goes on from."""
        known, place = self._waiting.get(one.watch.first), _place(one)
        if known is not None and known.look.number >= one.look.number:
            return _place(known) == place  # a chunk that comes again
        if known is not None:
            self._forget(known)
        self._waiting[one.watch.first] = one
        self._offsets.setdefault(place[:2], {})[place[2]] = one.watch.first
        self._size_bytes += one.size_bytes
        self._wake(one, min(one.due_ms, one.record.timestamp + HOP_MS))
        return True

    def _forget(self, one: Waiting) -> None:
        """Its offset may be committed."""
        topic, partition, offset = _place(one)
        if self._offsets.get((topic, partition), {}).pop(offset, None) is not None:
            del self._waiting[one.watch.first]
            self._size_bytes -= one.size_bytes

    async def tick(self) -> None:
        until_ms, going = self._clock.now_ms() + TICK_MS, True
        while going and self._due and self._due[0][0] <= self._clock.now_ms() < until_ms:
            going = await self._some()

    async def _some(self) -> bool:
        """A few of the looks that are due; whether there was a turn for any."""
        found = self._taken()
        steps = await side_by_side(self._step(one) for one in found)
        outgoing, done, failed = Outgoing(self._outbox), list[Waiting](), list[BaseException]()
        for one, step in zip(found, steps, strict=True):
            if isinstance(step, BaseException):
                self._wake(one, self._clock.now_ms() + BUSY_MS)
                failed.append(step)
                continue
            done.append(one)
            if step.message is not None:
                outgoing.add(step.topic, one.record, step.message)
        await self._settle(done, outgoing)
        for error in failed:
            if not isinstance(error, _Busy):
                raise error
        return bool(done) or not found

    def _taken(self) -> list[Waiting]:
        now_ms, found = self._clock.now_ms(), list[Waiting]()
        while self._due and self._due[0][0] <= now_ms and len(found) < AT_ONCE:
            place = heapq.heappop(self._due)[1]
            if (first := self._offsets.get(place[:2], {}).get(place[2])) is not None:
                found.append(self._waiting[first])
        return found

    async def _settle(self, done: Sequence[Waiting], outgoing: Outgoing) -> None:
        """These records are done with, once what follows from them is written."""
        try:
            await outgoing.send()
        except BaseException:
            for one in done:
                self._wake(one, self._clock.now_ms() + BUSY_MS)
            raise
        for one in done:
            self._forget(one)

    def _wake(self, one: Waiting, at_ms: int) -> None:
        heapq.heappush(self._due, (at_ms, _place(one)))

    async def _step(self, one: Waiting) -> _Step:
        """The look that is due, or its record written again. Raises _Busy, and what the ledger raises."""
        watch, now_ms = one.watch, self._clock.now_ms()
        number = watch.current(one.look.number, now_ms)
        if watch.over(number):
            return _OVER
        if now_ms < one.due_ms:
            return self._goes_on(one, one.look, one.due_ms, b"", carried(one.record.headers))
        look = one.look if number == one.look.number else one.look._replace(number=number, calls=0)
        asked, last = watch.submission(number), watch.submission(look.sent)
        deadline_ms = watch.answer_by_ms(number, now_ms)
        head = Head(one.record, asked.key, asked.digest, deadline_ms, watch.first.digest, last)
        try:
            return await self._look(one, look, self._connector.prepare(head, one.body, borne(one.body, {})))
        except Unbegun:
            return _OVER
        except (Refused, BadAvro, TooLarge) as error:
            if not isinstance(error, Refused) or error.code != "refused" or error.reason == Code.ATTEMPTS_EXHAUSTED:
                return self._next(one, look)
            if error.reason == Code.CERTIFICATE_OUTDATED and (step := await self._under_the_next(one, look)):
                return step
            said = self._connector.refusal(head, error)
            return _Step(said.topic, said.message)

    async def _under_the_next(self, one: Waiting, look: Look) -> _Step | None:
        """The same look under the certificate that replaced the task's, if it allows the same; None if it does not."""
        authorisation, body = one.watch.first.key.authorisation, one.body
        certificate = await self._connector.successor(authorisation, body["certificate"])
        if certificate is None:
            return None
        renewed = one._replace(task=wire.write("exchange-task", body | bearing(certificate)))
        return self._goes_on(renewed, look, self._clock.now_ms(), b"", carried(one.record.headers))

    async def _look(self, one: Waiting, look: Look, task: Task) -> _Step:
        asked, now_ms = task.asking(), self._clock.now_ms()
        if not asked.idle(now_ms) or asked.turn_ms(now_ms, now_ms) > now_ms or not asked.entered(now_ms):
            raise _Busy
        async with asked.at_once:
            reading, granted = await self._connector.attempted(task, asked, look.calls, "")
        if isinstance(reading, Failure):
            return self._next(one, look)
        if isinstance(reading, Retry):
            return self._again(one, look, reading)
        return self._read(one, look, task, reading, granted)

    def _read(self, one: Waiting, look: Look, task: Task, reading: Reading, granted: Attempted) -> _Step:
        """Nothing is sent of an answer that is the one last sent, and released."""
        secret, head, said = self._connector.secret, task.head, task.plain(reading, 0)
        known = fingerprint(secret, head.last.digest, said) if head.last and granted.told else b""
        if hmac.compare_digest(known, look.fingerprint):
            return self._next(one, look)
        (answer,), record = self._connector.seal([self._connector.reply(task, granted, reading)]), one.record
        if isinstance(answer, Refused):
            raise answer
        headers = self._tracing.mark("watch", record.headers, record.topic, head.key.request)
        after = Look(look.number + 1, look.number, fingerprint(secret, head.digest, said))
        return self._goes_on(one, after, one.watch.due_ms(after.number), answer, headers)

    def _again(self, one: Waiting, look: Look, reading: Retry) -> _Step:
        """The State asks to come back: within this look's period, or at the next look."""
        due_ms = self._clock.now_ms() + max(int(1000 * reading.after_s), RETRY_LEAST_MS)
        if look.calls + 1 >= CALLS_MAX or due_ms >= one.watch.due_ms(look.number + 1):
            return self._next(one, look)
        return self._goes_on(one, look._replace(calls=look.calls + 1), due_ms, b"", carried(one.record.headers))

    def _next(self, one: Waiting, look: Look) -> _Step:
        """Nothing to tell this time."""
        number = look.number + 1
        if one.watch.over(number):
            return _OVER
        after, due_ms = look._replace(number=number, calls=0), one.watch.due_ms(number)
        return self._goes_on(one, after, due_ms, b"", carried(one.record.headers))

    def _goes_on(self, one: Waiting, look: Look, due_ms: int, answer: bytes, headers: OutHeaders) -> _Step:
        message = write(self._connector.secret, one.watch, look, due_ms, one.task, answer, headers)
        return _Step(one.record.topic, message)

    def held(self, topic: str, partition: int) -> int | None:
        return min(self._offsets.get((topic, partition), ()), default=None)

    def revoked(self, partitions: set[tuple[str, int]]) -> None:
        for place in partitions:
            for first in list(self._offsets.get(place, {}).values()):
                self._forget(self._waiting[first])


def _place(one: Waiting) -> _Place:
    return one.record.topic, one.record.partition, one.record.offset


def _answer(one: Waiting, answer: bytes) -> Message:
    key = one.watch.submission(one.look.sent).key
    return wire.message("exchange-answer", key.authorisation, answer, key.request.hex(), carried(one.record.headers))

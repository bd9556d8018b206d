"""What each operator asked and was told: its two topics of the last seven days, followed and kept in memory within bounds.

Nothing here is an authority's word of its own: after a restart the topics say it all again. An operator's topics are followed from the
first call made for it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from consent.core.facts import Outcome, RequestKey, Waiting
from exchange import wire
from exchange.core import topics
from exchange.core.decision import TTL_MAX_MS
from exchange.core.heads import BadRequest, read_head
from exchange.core.sealing import ask_hash, request_digest
from exchange.hearing import awaits_person
from exchange.ports import Clock, Record, Unavailable
from exchange.schemas import catalogue
from exchange.sdk import ReaderFactory
from portal.core.submissions import Accepted

T = TypeVar("T")
KEPT_BYTES = 64 << 20
"""Of one operator's outcomes; older ones are read from the topic again when they are asked for."""
ACCEPTED_MAX = 200_000
READY_S = 20.0
QUIET_READS = 3
READ_AGAIN_S = 0.5


class Lapsed(Exception):
    """What follows these offsets is no longer kept."""


class Told(NamedTuple):
    """What was told of a request, and where that lies. `message` is its framed bytes."""

    partition: int
    offset: int
    at_ms: int
    told: Outcome | Waiting
    message: bytes


class Feeds:
    """One feed for each operator that somebody calls for. Once `closing` is set nobody waits for anything more."""

    def __init__(self, reader: ReaderFactory, clock: Clock) -> None:
        self._reader, self._clock, self.closing = reader, clock, asyncio.Event()
        self._feeds: dict[str, Feed] = {}

    def of(self, operator: str) -> Feed:
        """That of an operator, followed from now on; `ready` may have to be awaited."""
        if operator not in self._feeds:
            self._feeds[operator] = Feed(self._reader, self._clock, operator, self.closing)
        return self._feeds[operator]

    async def close(self) -> None:
        for feed in self._feeds.values():
            await feed.close()
        self._feeds.clear()


class Feed:
    """One operator's requests and outcomes."""

    def __init__(self, reader: ReaderFactory, clock: Clock, operator: str, closing: asyncio.Event) -> None:
        self._reader, self._clock, self.operator, self._closing = reader, clock, operator, closing
        self._accepted = OrderedDict[bytes, Accepted]()
        self._told: dict[int, list[Told]] = {}
        self._by_request: dict[bytes, list[Told]] = {}
        self._order, self._size_bytes, self._first = deque[Told](), 0, dict[int, int]()
        self._oldest, self._heard = dict[int, int](), dict[int, int]()
        self._grown = asyncio.Event()
        self._prefix = catalogue().prefix("exchange-request")
        self._caught_up = (asyncio.Event(), asyncio.Event())
        self._outcomes = topics.outcomes(operator)
        followed = ((topics.requests(operator), self._hear_request), (self._outcomes, self._hear_outcome))
        self._tasks = [
            asyncio.create_task(self._follow(topic, hear, ready))
            for (topic, hear), ready in zip(followed, self._caught_up, strict=True)
        ]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ready(self) -> None:
        """Until what the topics held when it began was read; `Unavailable` if that takes too long."""
        for event in self._caught_up:
            if not event.is_set() and not await self._in_time(event.wait(), READY_S):
                raise Unavailable("topics not read yet")

    # What is asked

    def accept(self, one: Accepted) -> None:
        """A request this door has just published: known before it is read back."""
        self._accepted.setdefault(one.key.request, one)

    async def find(self, request: bytes) -> tuple[Accepted, Told | None] | None:
        """A request and its outcome, if it has one yet; None where there is none within seven days."""
        await self.ready()
        found = self._accepted.get(request)
        if found is None and len(self._accepted) >= ACCEPTED_MAX:
            found = await self._accepted_long_ago(request)
        return None if found is None else (found, await self._end_of(found))

    async def ended(self, one: Accepted, timeout_s: float) -> Told | None:
        """The outcome of a request, or that its answer may be opened, once that is told; what was told before if that takes longer, None
        if nothing was."""
        await self.ready()

        def own() -> Told | None:
            return self._own(one, self._by_request.get(one.key.request, ()))

        await self._awaited(lambda: (told := own()) is not None and not awaits_person(told.told), timeout_s)
        return own()

    async def after(self, offsets: Mapping[int, int], limit: int, timeout_s: float = 0) -> list[Told]:
        """The outcomes that follow these offsets, oldest first within each partition; those that come in time where there are none yet."""
        await self.ready()
        if any(offsets.get(partition, 0) < first for partition, first in self._first.items()):
            return await self._from_topic(offsets, limit)
        return await self._awaited(lambda: self._next(offsets, limit), timeout_s)

    async def placed(self, offsets: Mapping[int, int]) -> dict[int, int]:
        """These offsets, with the oldest kept of every partition that they do not name; `Lapsed` where something between was lost."""
        await self.ready()
        oldest = self._oldest
        if any(offsets.get(partition, first) < first for partition, first in self._first.items()):
            oldest = oldest | await self._oldest_of_topic()
        if any(offset < oldest.get(partition, 0) for partition, offset in offsets.items()):
            raise Lapsed
        return {**oldest, **offsets}

    async def ends(self) -> dict[int, int]:
        """Where the outcomes end now, by partition."""
        async with self._reader(self._outcomes, {}) as reader:
            return await reader.end_offsets()

    # How it is known

    def _next(self, offsets: Mapping[int, int], limit: int) -> list[Told]:
        found = list[Told]()
        for partition, told in self._told.items():
            at = bisect_left(told, offsets.get(partition, 0), key=lambda one: one.offset)
            found += told[at : at + limit]
        found.sort(key=lambda one: (one.at_ms, one.partition, one.offset))
        return found[:limit]

    async def _end_of(self, one: Accepted) -> Told | None:
        told = self._own(one, self._by_request.get(one.key.request, ()))
        if told is None and self._first and one.deadline_ms < self._clock.now_ms():
            return await self._told_long_ago(one)
        return told

    @staticmethod
    def _own(one: Accepted, told: Sequence[Told]) -> Told | None:
        """What was told of this submission last: its outcome, or else that it waits. One that conflicts with another under its id has an
        outcome of its own."""
        own = [each for each in told if (each.told.key, each.told.digest) == (one.key, one.digest)]
        return next((each for each in own if isinstance(each.told, Outcome)), own[-1] if own else None)

    async def _awaited(self, what: Callable[[], T], timeout_s: float) -> T:
        until_ms = self._clock.monotonic_ms() + round(1000 * timeout_s)
        while not (found := what()):
            left_s = (until_ms - self._clock.monotonic_ms()) / 1000
            if left_s <= 0 or not await self._in_time(self._grown.wait(), left_s):
                return what()
        return found

    async def _in_time(self, wait: Coroutine[Any, Any, object], timeout_s: float) -> bool:
        """Whether it came before so much of the clock's time had passed, and before the portal stopped."""
        ends = (wait, self._clock.sleep(timeout_s), self._closing.wait())
        coming, *others = (asyncio.ensure_future(each) for each in ends)
        try:
            await asyncio.wait((coming, *others), return_when=asyncio.FIRST_COMPLETED)
            return coming.done()
        finally:
            for each in (coming, *others):
                each.cancel()

    async def _follow(self, topic: str, hear: Callable[[Record], None], caught_up: asyncio.Event) -> None:
        """For ever, from the oldest kept: a broker that was away is read again from where it left."""
        offsets, quiet = dict[int, int](), 0
        while True:
            with suppress(Unavailable):
                async with self._reader(topic, dict(offsets)) as reader:
                    ends = await reader.end_offsets()
                    while True:
                        if quiet >= QUIET_READS or all(offsets.get(p, 0) >= end for p, end in ends.items()):
                            if topic == self._outcomes and not caught_up.is_set():
                                self._oldest = ends | self._oldest  # of a partition that holds nothing: its end
                            caught_up.set()
                        chunks = await reader.next()
                        quiet = 0 if chunks else quiet + 1
                        for chunk in chunks:
                            for record in chunk:
                                hear(record)
                                offsets[record.partition] = record.offset + 1
                        self._ring()
            await self._clock.sleep(READ_AGAIN_S)

    def _ring(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

    def _hear_request(self, record: Record) -> None:
        found = self._accepted_in(record)
        if found is not None:
            self._accepted.setdefault(found.key.request, found)
            if len(self._accepted) > ACCEPTED_MAX:
                self._accepted.popitem(last=False)

    def _accepted_in(self, record: Record) -> Accepted | None:
        try:
            head = read_head(record.value, self._prefix)
        except BadRequest:
            return None  # the gate buries it
        digest = request_digest(self.operator, head.authorisation, head.request, ask_hash(head.ask))
        key = RequestKey(self.operator, head.authorisation, head.request)
        return Accepted(key, digest, record.timestamp, record.timestamp + min(head.ttl_ms, TTL_MAX_MS))

    def _hear_outcome(self, record: Record) -> None:
        if self._heard.get(record.partition) != record.offset:  # the first, or others before it were lost
            self._oldest[record.partition] = record.offset
        self._heard[record.partition] = record.offset + 1
        told = _told(record)
        if told is None:
            return
        self._told.setdefault(told.partition, []).append(told)
        self._by_request.setdefault(told.told.key.request, []).append(told)
        self._order.append(told)
        self._size_bytes += len(told.message)
        while self._size_bytes > KEPT_BYTES:
            self._forget(self._order.popleft())

    def _forget(self, told: Told) -> None:
        self._size_bytes -= len(told.message)
        self._told[told.partition].remove(told)
        self._first[told.partition] = told.offset + 1
        request = told.told.key.request
        kept = [one for one in self._by_request[request] if one is not told]
        if kept:
            self._by_request[request] = kept
        else:
            del self._by_request[request]

    # What memory no longer holds

    async def _from_topic(self, offsets: Mapping[int, int], limit: int) -> list[Told]:
        async with self._reader(self._outcomes, dict(offsets)) as reader:
            for _ in range(QUIET_READS):
                found = [told for chunk in await reader.next() for record in chunk if (told := _told(record))]
                if found:
                    return found[:limit]  # each partition's from its offset on, without a gap
        return []

    async def _oldest_of_topic(self) -> dict[int, int]:
        """Where the topic begins now, as far as one read says."""
        async with self._reader(self._outcomes, {}) as reader:
            for _ in range(QUIET_READS):
                if found := await reader.next():
                    return {chunk[0].partition: chunk[0].offset for chunk in found}
        return {}

    async def _told_long_ago(self, one: Accepted) -> Told | None:
        async for record in self._whole(self._outcomes):
            if (told := _told(record)) and self._own(one, (told,)):
                return told
        return None

    async def _accepted_long_ago(self, request: bytes) -> Accepted | None:
        async for record in self._whole(topics.requests(self.operator)):
            if (found := self._accepted_in(record)) and found.key.request == request:
                return found
        return None

    async def _whole(self, topic: str) -> AsyncIterator[Record]:
        """A topic up to where it ends now."""
        quiet = 0
        async with self._reader(topic, {}) as reader:
            ends, offsets = await reader.end_offsets(), dict[int, int]()
            while quiet < QUIET_READS and any(offsets.get(p, 0) < end for p, end in ends.items()):
                chunks = await reader.next()
                quiet = 0 if chunks else quiet + 1
                for chunk in chunks:
                    for record in chunk:
                        offsets[record.partition] = record.offset + 1
                        yield record


def _told(record: Record) -> Told | None:
    try:
        return Told(record.partition, record.offset, record.timestamp, wire.read_told(record), record.value or b"")
    except wire.BadBytes:
        return None

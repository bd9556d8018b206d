"""aiokafka's producer, batch by batch: who sends to one partition takes turns, and who waits goes along with the next.

aiokafka lets those who wait for a partition starve and time out; it makes twenty objects of a record; and it sends a broker nothing before
that one has answered what it was sent last. So batches are laid out here (`exchange.core.batches`), it is given whole ones, and each
partition has one under way, whatever others have.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from crc32c import crc32c

from exchange.clock import SystemClock
from exchange.core.batches import HEAD_BYTES, RECORD_MOST_BYTES, Numbered, Sections, bodies, numbered, written
from exchange.ports import Message, Unavailable

BATCH_BYTES = 1 << 20
BODY_BYTES = BATCH_BYTES - HEAD_BYTES - RECORD_MOST_BYTES
"""Of the largest message: key, value, headers and their lengths, under the broker's usual limit of 1 MiB for a batch."""


@dataclass(eq=False, slots=True)
class Sending:
    """One caller's messages for one partition. Once `taken`, they may be written; `lost`: no further than its `acks`."""

    messages: Sequence[Message]
    acks: list[asyncio.Future[object]] = field(default_factory=list)
    taken: bool = False
    lost: bool = False


class _NoBrokers(set[int]):
    """The brokers that aiokafka holds to be busy, and sends nothing: none. That it asks for busy partitions too is all that order needs, for a
    broker takes the requests of a connection as they come."""

    def add(self, element: int) -> None: ...

    def remove(self, element: int) -> None: ...


class Producer:
    """One producer of aiokafka that was started, and who waits for it, by partition."""

    def __init__(self, producer: Any) -> None:
        self.producer = producer
        producer._sender._in_flight = _NoBrokers()
        self._turns: defaultdict[tuple[str, int], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._waiting: defaultdict[tuple[str, int], list[Sending]] = defaultdict(list)

    async def send(self, place: tuple[str, int], one: Sending) -> None:
        """In this partition's turn: whose turn it is takes along all who wait. `Unavailable` where it was lost."""
        waiting = self._waiting[place]
        waiting.append(one)
        try:
            async with self._turns[place]:
                if not one.taken:
                    taken = waiting.copy()
                    waiting.clear()
                    await self._write(place, taken)
        finally:
            if not one.taken:
                waiting.remove(one)
        if one.lost:
            raise Unavailable("abandoned")

    async def _write(self, place: tuple[str, int], taken: Sequence[Sending]) -> None:
        try:
            for one in taken:
                one.taken = True
            if len(taken) == 1 and isinstance(whole := taken[0].messages, Sections):
                for batch in whole.batches:
                    await self._close(place, batch, taken)
            else:
                await self._together(place, taken)
        except BaseException:
            for one in taken:
                one.lost = True
            raise

    async def _together(self, place: tuple[str, int], taken: Sequence[Sending]) -> None:
        """In as few batches as they fit into."""
        laid, within, size = list[bytes](), list[Sending](), HEAD_BYTES
        for one in taken:
            for body in bodies(one.messages):
                size += len(body) + RECORD_MOST_BYTES
                if size > BATCH_BYTES:
                    await self._close(place, numbered(laid), within)
                    laid, within, size = [], [], HEAD_BYTES + len(body) + RECORD_MOST_BYTES
                laid.append(body)
                if not within or within[-1] is not one:
                    within.append(one)
        await self._close(place, numbered(laid), within)

    async def _close(self, place: tuple[str, int], batch: Numbered, within: Sequence[Sending]) -> None:
        ack = await self.producer.send_batch(_Batch(batch), place[0], partition=place[1])
        for one in within:
            one.acks.append(ack)


class _Batch:
    """A whole batch, as aiokafka wants its own builder of batches to be; each of its records bears the time at which it is made."""

    def __init__(self, batch: Numbered) -> None:
        self._batch, self._made_ms = batch, SystemClock().now_ms()
        self._producer = (-1, -1, -1)
        self._whole = bytearray()

    def _set_producer_state(self, producer_id: int, producer_epoch: int, base_sequence: int) -> None:
        self._producer = producer_id, producer_epoch, base_sequence

    def _build(self) -> bytearray:
        """The same whenever it is asked for: a batch that is sent again must be."""
        if not self._whole:
            self._whole = written(self._batch, self._made_ms, self._producer, crc32c)
            self._batch = self._batch._replace(parts=())
        return self._whole

    def record_count(self) -> int:
        return self._batch.records

    def closed(self) -> bool:
        return True

    def close(self) -> None: ...

"""aiokafka's consumer, whose fetches stay the bytes they came in (`exchange.core.batches`).

aiokafka offers no such thing, so this takes the place of what turns a fetch into records: of one class of its own, which here also
keeps its bytes, and of what the fetcher puts aside for a partition. Checksums and aborted transactions are looked at all the same.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Any

import aiokafka
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.memory_records import MemoryRecords
from crc32c import crc32c

from exchange.adapters import frames
from exchange.adapters.kafka import take_all_first
from exchange.adapters.pacing import Pacing
from exchange.core.batches import BadBatch, Entry, Fetched, Head, checked, entries, heads, lay
from exchange.core.columns import located

_ABORT = bytes(4)
"""The key of the record that ends an aborted transaction: version 0, kind 0 (KIP-98, "Control Messages")."""


class _Kept(MemoryRecords):  # type: ignore[misc]  # nothing of aiokafka is typed
    """aiokafka's, with its bytes."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.data = data


fetcher.MemoryRecords = _Kept
frames.use()


class Consumer(aiokafka.AIOKafkaConsumer):  # type: ignore[misc]  # nothing of aiokafka is typed
    """Its fetcher's `fetched_records` gives for each partition one `Fetched`, or nothing. With a `pacing`, it rests before it asks for more."""

    def __init__(self, *topics: str, pacing: Pacing | None = None, **named: Any) -> None:
        super().__init__(*topics, **named)
        self._pacing = pacing

    async def start(self) -> None:
        await super().start()
        self._fetcher._records = _Results()
        take_all_first(self)
        if self._pacing is not None:
            self._fetcher._proc_fetch_request = partial(_rested, self._pacing, self._fetcher._proc_fetch_request)


async def _rested(pacing: Pacing, fetch: Callable[..., Awaitable[bool]], *asked: Any) -> bool:
    """A fetch, when it is time; cancelled, it has brought nothing, as aiokafka's own."""
    try:
        await pacing.rest()
    except asyncio.CancelledError:
        return False
    return await fetch(*asked)


class _Results(OrderedDict[Any, Any]):
    """What was fetched and not yet taken, by partition."""

    def __setitem__(self, partition: Any, result: Any) -> None:
        if isinstance(result, fetcher.FetchResult):
            result._partition_records = _Whole(result._partition_records)
        super().__setitem__(partition, result)


class _Whole:
    """What one fetch brought of a partition: at most one `Fetched`, and where the next fetch begins once it was asked for."""

    def __init__(self, found: Any) -> None:
        self._place, self._data, self._aborted = found._tp, found._records.data, found._aborted_transactions
        self.next_fetch_offset: int = found.next_fetch_offset
        found._records_iterator = None  # it refers to what refers to it

    def __iter__(self) -> Iterator[Fetched]:
        """Raises `CorruptRecordException`, and then again: nothing is passed over."""
        try:
            data, found, after = _read(self._data, self._aborted)
        except BadBatch:
            raise CorruptRecordException from None
        first, self.next_fetch_offset = self.next_fetch_offset, after or self.next_fetch_offset
        if len(found) and found[0][0] < first:
            found = found[next((n for n, entry in enumerate(found) if entry[0] >= first), len(found)) :]
        if len(found):
            yield Fetched(self._place.topic, self._place.partition, data, found)


def _read(data: bytes, aborted: Sequence[tuple[int, int]]) -> tuple[bytes, Sequence[Entry], int]:
    """The records for us in a fetch, and the offset after it. `aborted`: transactions by producer and first offset, in order of these.

    Neither a transaction's marker nor what was aborted is for us. What was compressed is laid out after the rest."""
    plain, compressed, after = list[Head](), list[Head](), 0
    coming, aborting = deque(aborted), set[int]()
    for head in heads(data):
        if crc32c(checked(data, head)) != head.crc:
            raise BadBatch
        while coming and coming[0][1] <= head.base_offset:
            aborting.add(coming.popleft()[0])
        if head.is_control:
            if any((key or b"")[:4] == _ABORT for _, _, key, *_ in entries(data, head)):
                aborting.discard(head.producer)
        elif not (head.is_transactional and head.producer in aborting):
            (compressed if head.is_compressed else plain).append(head)
        after = head.next_offset
    if compressed:
        return *_laid(data, [*plain, *compressed]), after
    quickly = located(data, plain)
    return data, quickly if quickly is not None else [one for head in plain for one in entries(data, head)], after


def _laid(data: bytes, kept: Sequence[Head]) -> tuple[bytes, list[Entry]]:
    """Those of batches of which some are compressed: what was, after the rest."""
    found, more, size = list[Entry](), list[bytes](), len(data)
    for head in sorted(kept):
        if head.is_compressed:
            part, some = lay(MemoryRecords(data[head.at : head.end]).next_batch(), size)
            more.append(part)
            size += len(part)
            found += some
        else:
            found += entries(data, head)
    return data + b"".join(more), found

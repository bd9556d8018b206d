"""Kafka's record batches, many records at a time: a fetch is read in place, what is sent is written at once.

aiokafka makes twenty objects of a record it reads and as many of one it writes; the gate wants three fields of it. So a fetch stays
the bytes it came in, with the places of its records (`Fetched`); and what an agent sends is laid out when it is made (`Bodies`).
Layout: Kafka's protocol, "Record Batch" (format 2) and "Record"; all its varints are zig-zag.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, overload

from exchange.core.heads import SIZES, varint
from exchange.ports import Headers, Message, Record

_HEAD = struct.Struct(">qiibIhiqqqhii")
_ENVELOPE_BYTES, _CRC_AT, _ATTRIBUTES_AT = 12, 17, 21
"""Offset and length, which the length does not count; what the checksum is of begins at the attributes."""
_COMPRESSED, _LOG_APPEND_TIME, _TRANSACTIONAL, _CONTROL = 0x07, 0x08, 0x10, 0x20
_FORMAT = 2
_VARINTS = [varint(number) for number in range(1 << 13)]
_AT_ONCE = b"\0\0"
"""No attributes, no time but the batch's."""
_PLACES = [_AT_ONCE + number for number in _VARINTS]
"""`place_of` each."""
_NULL, _KEY_SIZE = b"\x01", varint(16)[0]
RECORD_MOST_BYTES = 5 + 2 + 5
"""What a batch adds to a body."""
HEAD_BYTES = _HEAD.size


class BadBatch(ValueError):
    """Bytes that are no batch."""


class Head(NamedTuple):
    """The head of a batch whose records lie in `[begin, end)` of what was fetched; times in ms."""

    begin: int
    end: int
    base_offset: int
    next_offset: int
    crc: int
    attributes: int
    first_ms: int
    max_ms: int
    producer: int
    records: int

    @property
    def at(self) -> int:
        """Where the batch itself begins."""
        return self.begin - HEAD_BYTES

    @property
    def is_compressed(self) -> bool:
        """Then its records cannot be read where they are."""
        return bool(self.attributes & _COMPRESSED)

    @property
    def has_append_time(self) -> bool:
        """Whether all its records bear the broker's time, `max_ms`."""
        return bool(self.attributes & _LOG_APPEND_TIME)

    @property
    def is_control(self) -> bool:
        return bool(self.attributes & _CONTROL)

    @property
    def is_transactional(self) -> bool:
        return bool(self.attributes & _TRANSACTIONAL)


Entry = tuple[int, int, bytes | None, int, int, int]
"""A record's offset, time in ms and key; its value in `[value_at, value_end)`, where -1 begins none; its headers from there to the end.
A plain tuple: there is one of every record."""


class Read(NamedTuple):
    """A record by itself (`exchange.ports.Record`)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Fetched(Sequence[Record]):
    """Records of one partition, over the bytes they came in. Each is made when it is asked for."""

    __slots__ = ("data", "entries", "partition", "topic")

    def __init__(self, topic: str, partition: int, data: bytes, entries: Sequence[Entry]) -> None:
        self.topic, self.partition, self.data, self.entries = topic, partition, data, entries

    def __len__(self) -> int:
        return len(self.entries)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Fetched: ...
    def __getitem__(self, place: int | slice) -> Record | Fetched:
        if isinstance(place, slice):
            return Fetched(self.topic, self.partition, self.data, self.entries[place])
        return self._record(self.entries[place])

    def __iter__(self) -> Iterator[Record]:
        return map(self._record, self.entries)

    @property
    def first_offset(self) -> int:
        return self.entries[0][0]

    @property
    def last_offset(self) -> int:
        return self.entries[-1][0]

    @property
    def last_ms(self) -> int:
        """The time of the last."""
        return self.entries[-1][1]

    def _record(self, entry: Entry) -> Record:
        offset, timestamp, key, at, value_end, end = entry
        value = self.data[at:value_end] if at >= 0 else None
        return Read(self.topic, self.partition, offset, timestamp, key, value, _headers(self.data, value_end, end))


def in_place(records: Sequence[Record]) -> Fetched:
    """The same records of one partition as one fetch; made so where they are not."""
    if isinstance(records, Fetched):
        return records
    data, entries = lay(records, 0)
    return Fetched(records[0].topic, records[0].partition, data, entries)


def lay(records: Iterable[Any], at: int) -> tuple[bytes, list[Entry]]:
    """Records that aiokafka read, laid out to be read in place from `at` on."""
    parts, entries = list[bytes](), list[Entry]()
    for record in records:
        value, headers = record.value, written_headers(record.headers)
        value_end = at + len(value or b"")
        end = value_end + len(headers)
        entries.append((record.offset, record.timestamp, record.key, -1 if value is None else at, value_end, end))
        parts += (value or b"", headers)
        at = end
    return b"".join(parts), entries


def heads(data: bytes) -> Iterator[Head]:
    """The heads of the batches that are there whole: a fetch may end in the middle of one."""
    at = 0
    while len(data) - at >= HEAD_BYTES:
        base, size, _, magic, crc, attributes, last, first_ms, max_ms, producer, _, _, count = _HEAD.unpack_from(
            data, at
        )
        end = at + _ENVELOPE_BYTES + size
        if end > len(data):
            return
        if size < HEAD_BYTES - _ENVELOPE_BYTES or magic != _FORMAT:
            raise BadBatch
        yield Head(at + HEAD_BYTES, end, base, base + last + 1, crc, attributes, first_ms, max_ms, producer, count)
        at = end


def checked(data: bytes, head: Head) -> memoryview:
    """What `head.crc` is the CRC-32C of."""
    return memoryview(data)[head.at + _ATTRIBUTES_AT : head.end]


def entries(data: bytes, head: Head) -> list[Entry]:
    """Where the records of an uncompressed batch lie; BadBatch unless they fill it exactly. One loop, written out: every record of the
    bus goes through it."""
    at, sizes, found = head.begin, SIZES, list[Entry]()
    push, append_ms = found.append, head.max_ms if head.has_append_time else None
    contiguous = head.next_offset - head.base_offset == head.records
    try:
        for number in range(head.records):
            if (size := sizes.get(data[at : at + 2])) is not None:
                at += 3
            else:
                size, at = _varint(data, at)
                at += 1
            end = at - 1 + size
            if append_ms is not None and contiguous:  # the usual case: what these two say is known
                timestamp, offset = append_ms, head.base_offset + number
                while data[at] > 0x7F:
                    at += 1
                at += 1
                while data[at] > 0x7F:
                    at += 1
                at += 1
            else:
                delta_ms, at = _varint(data, at)
                delta, at = _varint(data, at)
                timestamp, offset = (
                    head.first_ms + delta_ms if append_ms is None else append_ms,
                    head.base_offset + delta,
                )
            key, at = (data[at + 1 : at + 17], at + 17) if data[at] == _KEY_SIZE else _bytes(data, at)
            if (size := sizes.get(data[at : at + 2])) is not None:
                at += 2
            else:
                size, at = _varint(data, at)
            value_at, at = (at, at + size) if size >= 0 else (-1, at)
            push((offset, timestamp, key, value_at, at, end))
            if not at < end <= head.end:
                raise BadBatch
            at = end
    except IndexError:
        raise BadBatch from None
    if at != head.end:
        raise BadBatch
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A zig-zag varint of up to 64 bits and where it ends; IndexError beyond the data."""
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at
        shift += 7
        if shift > 63:
            raise BadBatch


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    size, at = _varint(data, at)
    return (data[at : at + size], at + size) if size >= 0 else (None, at)


def _headers(data: bytes, at: int, end: int) -> Headers:
    """Those of a record; none where the bytes are none: a broker checks them, and nothing of ours rests on them."""
    found: list[tuple[str, bytes]] = []
    try:
        count, at = _varint(data, at)
        for _ in range(count):
            name, at = _bytes(data, at)
            value, at = _bytes(data, at)
            found.append(((name or b"").decode("utf-8", "replace"), value or b""))
    except (IndexError, BadBatch):
        return ()
    return tuple(found) if at == end else ()


def sized(value: bytes | None) -> bytes:
    """Bytes after their length; -1 for none."""
    return _NULL if value is None else length(len(value)) + value


def length(size: int) -> bytes:
    """The varint of a length."""
    return _VARINTS[size] if size < len(_VARINTS) else varint(size)


def written_headers(headers: Headers) -> bytes:
    """A record's headers, after their number."""
    return length(len(headers)) + b"".join([sized(name.encode()) + sized(value) for name, value in headers])


def body(key: bytes | None, value: bytes, headers: Headers) -> bytes:
    """A record but for what depends on its place in a batch."""
    return sized(key) + sized(value) + written_headers(headers)


class Bodies(Sequence[Message]):
    """Messages laid out already (`body`); each is made again when it is asked for."""

    __slots__ = ("laid",)

    def __init__(self, laid: Sequence[bytes]) -> None:
        self.laid = laid

    def __len__(self) -> int:
        return len(self.laid)

    @overload
    def __getitem__(self, place: int) -> Message: ...
    @overload
    def __getitem__(self, place: slice) -> Bodies: ...
    def __getitem__(self, place: int | slice) -> Message | Bodies:
        if isinstance(place, slice):
            return Bodies(self.laid[place])
        laid = self.laid[place]
        key, at = _bytes(laid, 0)
        value, at = _bytes(laid, at)
        return Message(key, value or b"", list(_headers(laid, at, len(laid))))


class Numbered(NamedTuple):
    """The records of a batch to send, in parts to be joined: each has its length, and its place from 0 on."""

    records: int
    parts: Sequence[bytes]

    def bodies(self) -> Iterator[bytes]:
        """Its records but for their places."""
        whole, at = b"".join(self.parts), 0
        while at < len(whole):
            size, at = _varint(whole, at)
            end = at + size
            at = _varint(whole, at + len(_AT_ONCE))[1]
            yield whole[at:end]
            at = end


class Sections(Bodies):
    """Messages in batches laid out whole, each of which a broker takes. Only a writer that has other messages for the same place looks at
    them one by one."""

    def __init__(self, batches: Sequence[Numbered]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return sum(batch.records for batch in self.batches)

    @cached_property
    def laid(self) -> Sequence[bytes]:  # type: ignore[override]  # made when it is asked for
        return [body for batch in self.batches for body in batch.bodies()]


def bodies(messages: Sequence[Message]) -> Sequence[bytes]:
    """The bodies of messages."""
    return messages.laid if isinstance(messages, Bodies) else [body(*message) for message in messages]


def numbered(laid: Sequence[bytes]) -> Numbered:
    """A batch of these bodies."""
    count = len(laid)
    places = _PLACES[:count] + [place_of(number) for number in range(len(_PLACES), count)]
    parts = [b""] * (3 * count)
    parts[::3] = [length(len(place) + len(one)) for place, one in zip(places, laid, strict=True)]
    parts[1::3], parts[2::3] = places, laid
    return Numbered(count, parts)


def place_of(number: int) -> bytes:
    """What a record says after its length: no attributes, no time but the batch's, how far it is from the first."""
    return _AT_ONCE + varint(number)


def written(
    batch: Numbered, now_ms: int, producer: tuple[int, int, int], crc32c: Callable[[memoryview], int]
) -> bytearray:
    """A batch, its records all of this time, by this producer: id, epoch, sequence of the first record. Copied once."""
    whole, count = bytearray().join((bytes(HEAD_BYTES), *batch.parts)), batch.records
    size = len(whole) - _ENVELOPE_BYTES
    _HEAD.pack_into(whole, 0, 0, size, -1, _FORMAT, 0, 0, count - 1, now_ms, now_ms, *producer, count)
    whole[_CRC_AT:_ATTRIBUTES_AT] = crc32c(memoryview(whole)[_ATTRIBUTES_AT:]).to_bytes(4, "big")
    return whole

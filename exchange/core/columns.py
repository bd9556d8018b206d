"""Many records at once: where those of a fetch lie, and what their requests say, as arrays with one element a record.

This is an index, not a rule. What does not have the usual shape is left out, for `exchange.core.batches` and `exchange.core.gate` to read
one by one; `tests/unit/test_columns.py` holds both ways equal. One loop is left in Python, from one record's length to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from exchange.core.batches import Entry, Fetched, Head
from exchange.core.heads import SIZES, TAIL_AT

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

LEAST = 32
"""Records from which on arrays are quicker than a loop."""
_KEY_BYTES, _KEY_SIZE = 16, 0x20
"""How long a key is, and how a record says it."""
ONE_BYTE_MAX, TWO_BYTES_MAX = (1 << 6) - 1, (1 << 13) - 1
"""The greatest lengths that take one byte, and two."""
REQUEST = np.dtype(
    [
        ("magic", "u1"), ("schema", ">u4"), ("request", "V16"), ("authorisation", "<u8", 2), ("certificate", "<u8", 4), ("ttl_ms", ">u4"),
    ]
)  # fmt: skip
"""The head of a request (`exchange.core.heads.HEAD`)."""
_LEAST_BYTES = TAIL_AT + 2 * (2 + 64)
assert REQUEST.itemsize == TAIL_AT


class Located(Sequence[Entry]):
    """The records of a fetch by place. All have a key of 16 bytes and a value; offsets and times (ms) are the broker's."""

    __slots__ = ("data", "end", "key_at", "offset", "timestamp", "value_at", "value_end")

    def __init__(self, data: bytes, offset: Ints, timestamp: Ints, key_at: Ints, value_at: Ints, value_end: Ints, end: Ints) -> None:  # fmt: skip
        self.data, self.offset, self.timestamp, self.key_at = data, offset, timestamp, key_at
        self.value_at, self.value_end, self.end = value_at, value_end, end

    def columns(self) -> tuple[Ints, ...]:
        return self.offset, self.timestamp, self.key_at, self.value_at, self.value_end, self.end

    def __len__(self) -> int:
        return len(self.offset)

    @overload
    def __getitem__(self, place: int) -> Entry: ...
    @overload
    def __getitem__(self, place: slice) -> Located: ...
    def __getitem__(self, place: int | slice) -> Entry | Located:
        if isinstance(place, slice):
            return self.only(place)
        offset, timestamp, key_at, *value = (int(column[place]) for column in self.columns())
        return offset, timestamp, self.data[key_at : key_at + 16], value[0], value[1], value[2]

    def __iter__(self) -> Iterator[Entry]:
        data = self.data
        for offset, timestamp, key_at, *value in zip(*(column.tolist() for column in self.columns()), strict=True):
            yield offset, timestamp, data[key_at : key_at + 16], value[0], value[1], value[2]

    def only(self, which: slice | Ints) -> Located:
        """Some of them, in order."""
        return Located(self.data, *(column[which] for column in self.columns()))


def entries_at(chunk: Fetched, places: Sequence[int]) -> Iterable[Entry]:
    """Where the records at these places lie."""
    entries = chunk.entries
    return entries.only(np.array(places, np.int64)) if isinstance(entries, Located) else [entries[n] for n in places]


def located(data: bytes, heads: Sequence[Head]) -> Located | None:
    """The records of these uncompressed batches; None where one of them is not as the broker writes them when it sets the time, or a
    record not as the bus does: key of 16 bytes, value of 64 to 8,191, a record of as many. Then `batches.entries` says what there is."""
    found = [_located(data, head) for head in heads]
    whole = [one for one in found if one is not None]
    if not whole or len(whole) < len(found):
        return None
    if len(whole) == 1:
        return whole[0]
    return Located(data, *(np.concatenate(columns) for columns in zip(*(one.columns() for one in whole), strict=True)))


def _located(data: bytes, head: Head) -> Located | None:
    if head.records < LEAST or not head.has_append_time or head.next_offset - head.base_offset != head.records:
        return None
    at, begins, push = head.begin, list[int](), list[int].append
    try:
        for _ in range(head.records):
            push(begins, at)
            at += 2 + SIZES[data[at : at + 2]]
    except KeyError:
        return None
    if at != head.end:
        return None
    octets, begin = np.frombuffer(data, np.uint8), np.array(begins)
    end = np.append(begin[1:], head.end)
    key = _after(octets, _after(octets, begin + 3, end), end)
    if (key + 19 >= end).any() or (octets[key] != _KEY_SIZE).any():
        return None
    size, usual = _sizes(data, key + 17)
    value_at = key + 19
    value_end = value_at + size
    if not usual.all() or (value_end >= end).any():
        return None
    offset = np.arange(head.base_offset, head.next_offset)
    return Located(data, offset, np.full(head.records, head.max_ms), key + 1, value_at, value_end, end)


def _after(octets: NDArray[np.uint8], at: Ints, end: Ints) -> Ints:
    """Where the varints that begin at `at` end; `end` for one that goes beyond it."""
    at = np.minimum(at, end - 1)
    more = octets[at] > 0x7F
    at = at + 1
    while more.any():
        at = np.minimum(at, end - 1)
        following = more & (octets[at] > 0x7F)
        at = at + more
        more = following & (at < end)
    return at


def _sizes(data: bytes, at: Ints) -> tuple[Ints, Bools]:
    """The lengths written at `at` in two bytes, and which are: zig-zag, not negative, minimal. `at` is not in the last byte."""
    pair = np.ndarray((len(data) - 1,), "<u2", data, strides=(1,))[at]
    usual = ((pair & 0x8081) == 0x80) & (pair > 0xFF)
    return ((pair & 0x7F) >> 1 | (pair >> 8) << 6).astype(np.int64), usual


class Requests(NamedTuple):
    """The requests of usual shape among some records: `place` of each, its head (`REQUEST`), and where its ask, its tail (ask and
    identity, with their lengths) and its end lie."""

    place: Ints
    head: NDArray[np.void]
    timestamp: Ints
    ask_at: Ints
    ask_end: Ints
    end: Ints

    @property
    def tail_at(self) -> Ints:
        return self.ask_at - 2

    @property
    def ids(self) -> list[bytes]:
        return each(self.head["request"])

    @property
    def authorisations(self) -> list[bytes]:
        return each(self.head["authorisation"])

    def others(self, count: int) -> list[int]:
        """Which of the places of `count` records are none of these."""
        free = np.ones(count, np.bool_)
        free[self.place] = False
        return np.flatnonzero(free).tolist()

    def only(self, which: slice | Ints | Bools) -> Requests:
        """Some of them, in order."""
        place, head, timestamp, ask_at, ask_end, end = self
        return Requests(place[which], taken(head, which), timestamp[which], ask_at[which], ask_end[which], end[which])


def plain(chunk: Fetched, headers: bytes, more_bytes: int) -> bool:
    """Whether it is known that each record bears these headers and so many bytes after them, and nothing else."""
    entries, size = chunk.entries, len(headers)
    if not isinstance(entries, Located) or (entries.end - entries.value_end != size + more_bytes).any():
        return False
    found = np.ndarray((len(chunk.data) - size + 1,), f"V{size}", chunk.data, strides=(1,))[entries.value_end]
    return found.tobytes() == headers * len(entries)


def same(some: NDArray[np.uint64], others: NDArray[np.uint64]) -> Bools:
    """Which have the same first 128 bits."""
    equal: Bools = (some[..., 0] == others[..., 0]) & (some[..., 1] == others[..., 1])
    return equal


def taken(rows: NDArray[np.void], which: Any) -> NDArray[np.void]:
    """`rows[which]`, each row copied whole: numpy copies them field by field."""
    found: NDArray[np.void] = rows.view(np.dtype((np.void, rows.itemsize)))[which].view(rows.dtype)
    return found


def put(rows: NDArray[np.void], which: Any, others: NDArray[np.void]) -> None:
    """`rows[which] = others`, likewise."""
    whole = np.dtype((np.void, rows.itemsize))
    rows.view(whole)[which] = others.view(whole)


def each(rows: NDArray[Any]) -> list[bytes]:
    """The bytes of each row."""
    whole, size = rows.tobytes(), rows.nbytes // max(1, len(rows))
    return [whole[at : at + size] for at in range(0, len(whole), size)] if whole else []


def two_bytes(size: Ints) -> NDArray[np.int64]:
    """Lengths of 64 to 8,191 as they are written."""
    return np.stack((size << 1 & 0x7F | 0x80, size >> 6), 1)


def requests(chunk: Fetched, prefix: bytes) -> Requests:
    """Those that begin with `prefix`, are keyed by their authorisation, and whose ask and identity have 64 to 8,191 bytes and fill them."""
    place, timestamp, key, at, end = _long_enough(chunk)
    data = chunk.data
    if not place.size:
        return Requests(place, np.empty(0, REQUEST), place, place, place, place)
    head = np.ndarray((len(data) - TAIL_AT + 1,), f"V{TAIL_AT}", data, strides=(1,))[at].view(REQUEST)
    ask_at = at + TAIL_AT + 2
    size, usual = _sizes(data, at + TAIL_AT)
    ask_end = np.minimum(ask_at + size, end - 2)
    identity, usual_too = _sizes(data, ask_end)
    whole = usual & usual_too & (ask_at + size == ask_end) & (ask_end + 2 + identity == end)
    ours = (head["magic"] == prefix[0]) & (head["schema"] == int.from_bytes(prefix[1:], "big"))
    kept = np.flatnonzero(whole & ours & same(key, head["authorisation"]) & (end - at <= TWO_BYTES_MAX))
    return Requests(place[kept], taken(head, kept), timestamp[kept], ask_at[kept], ask_end[kept], end[kept])


def _long_enough(chunk: Fetched) -> tuple[Ints, Ints, NDArray[np.uint64], Ints, Ints]:
    """Place, time, key, beginning and end of each value that may be a request of usual shape: its record has a key of 16 bytes."""
    entries = chunk.entries
    if isinstance(entries, Located):
        place = np.flatnonzero(entries.value_end - entries.value_at >= _LEAST_BYTES)
        key = np.ndarray((len(chunk.data) - 15, 2), "<u8", chunk.data, strides=(1, 8))[entries.key_at[place]]
        return place, entries.timestamp[place], key, entries.value_at[place], entries.value_end[place]
    found = [
        (place, timestamp, at, end, key)
        for place, (_, timestamp, key, at, end, _) in enumerate(entries)
        if key is not None and len(key) == _KEY_BYTES and at >= 0 and end - at >= _LEAST_BYTES
    ]
    columns = np.array([one[:4] for one in found], np.int64).reshape(-1, 4)
    keys = np.frombuffer(b"".join([one[4] for one in found]), "<u8").reshape(-1, 2)
    return columns[:, 0], columns[:, 1], keys, columns[:, 2], columns[:, 3]

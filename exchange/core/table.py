"""A table of open addressing: rows of 14 bytes, found by 32 bits of a salted hash.

It has shards, each with room reserved for its share of the most that there may be, of which as much is in use as its rows need: a shard
grows where it lies, and never are an old and a new table held together. What no row has touched takes no memory of the system's.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from math import ceil

import numpy as np
from numpy.typing import NDArray

from exchange.core.columns import Ints, put, taken

ROW = np.dtype([("tag", "<u4"), ("certificate", "<u4"), ("until_s", "<u4"), ("terms", "<u2")])
"""`terms` 0: nothing is there. `until_s` 0: forgotten."""
SHARDS, FILL = 16, 0.85
"""How many shards, and how much of their places is taken at most."""
_BITS = 28
_REST = (1 << _BITS) - 1
_LEAST, _AT_ONCE = 256, 1 << 16
_LARGE_PAGE_BYTES = 2 << 20
_WINDOW = 8
_NEXT = np.arange(1, _WINDOW + 1)
_FIRST = np.array([_WINDOW, *((bits & -bits).bit_length() - 1 for bits in range(1, 1 << _WINDOW))])
"""Of eight places as bits the first that is set, or eight."""

Tags = NDArray[np.uint32]
Rows = NDArray[np.void]


class Table:
    """Rows (`ROW`) by tag: at most `size_max`, some more or less."""

    def __init__(self, size_max: int) -> None:
        self._room = max(_WINDOW, ceil(size_max / FILL / SHARDS))
        self._size, self._used = min(self._room, _LEAST), np.zeros(SHARDS, np.int64)
        count = SHARDS * self._room
        self._held = mmap.mmap(-1, (count + _WINDOW) * ROW.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._rows = np.frombuffer(self._held, ROW, count)
        self._windows = np.ndarray((count + 1,), f"V{_WINDOW * ROW.itemsize}", self._held, strides=(ROW.itemsize,))
        self._large_pages(False)

    def _large_pages(self, large: bool) -> None:
        """Whether the system may hold it in pages of 2 MiB, of which each row here and there would take one; not all systems have them, and
        few for memory that is shared."""
        with suppress(AttributeError, OSError):
            self._held.madvise(mmap.MADV_HUGEPAGE if large else mmap.MADV_NOHUGEPAGE)

    def __len__(self) -> int:
        """How many places are taken, those of the forgotten too."""
        return int(self._used.sum())

    def find(self, tags: Tags) -> tuple[Ints, Rows]:
        """Where each is, or would be, and what lies there."""
        base, at = self._places(tags)
        found = taken(self._rows, base + at)
        left = np.flatnonzero((found["terms"] != 0) & (found["tag"] != tags))
        while left.size:  # nearly all of these lie in the next few places
            rows = self._next(base[left], at[left])
            here = (rows["terms"] == 0) | (rows["tag"] == tags[left, None])
            steps = _FIRST[np.packbits(here, axis=1, bitorder="little")[:, 0]]
            on = np.minimum(steps, _WINDOW - 1)
            put(found, left, taken(rows.reshape(-1), np.arange(0, rows.size, _WINDOW) + on))
            at[left] = self._within(at[left] + on + 1)
            left = left[steps == _WINDOW]
        return base + at, found

    def _next(self, base: Ints, at: Ints) -> Rows:
        """What lies in the next eight places after each."""
        found: Rows = self._windows[base + at + 1].view(ROW).reshape(-1, _WINDOW)
        if (over := at >= self._size - _WINDOW).any():  # a shard goes on at its beginning
            found[over] = taken(self._rows, base[over, None] + self._within(at[over, None] + _NEXT))
        return found

    def _within(self, at: Ints) -> Ints:
        """A place of a shard, of one at most once around: a remainder costs as much as all the rest."""
        within: Ints = np.where(at < self._size, at, at - self._size)
        return within

    def change(self, slots: Ints, rows: Rows) -> None:
        """Other rows where these lie (`find`), of the same tags."""
        put(self._rows, slots, rows)

    def forget(self, slots: Ints) -> None:
        """What lies there, if anything does."""
        self._rows["until_s"][slots] = 0

    def add(self, new: Rows) -> None:
        """Rows that are not there. A shard that is full loses what was forgotten, or else all; what is more than it can hold is left out."""
        wanted = np.bincount(new["tag"] >> _BITS, minlength=SHARDS)
        while self._size < self._room and (self._used + wanted > self._most()).any():
            before, self._size = self._size, min(2 * self._size, self._room)
            if self._size * ROW.itemsize >= _LARGE_PAGE_BYTES > before * ROW.itemsize:
                self._large_pages(True)
            for shard in range(SHARDS):
                self._lay_out(shard, before)
        for shard in np.flatnonzero(self._used + wanted > self._most()).tolist():
            self._lay_out(shard, self._size)
            if self._used[shard] + wanted[shard] > self._most():
                self._lay_out(shard, self._size, keep=False)
            if wanted[shard] > self._most():
                new = taken(new, new["tag"] >> _BITS != shard)
        self._insert(new)

    def _most(self) -> int:
        """Rows of a shard."""
        return int(FILL * self._size)

    def _places(self, tags: Tags) -> tuple[Ints, Ints]:
        """The first place of its shard, and which from there on is its own: in the order of tags, whatever the size."""
        wide = tags.astype(np.int64)
        return (wide >> _BITS) * self._room, (wide & _REST) * self._size >> _BITS

    def _lay_out(self, shard: int, size: int, *, keep: bool = True) -> None:
        """The rows of a shard of so many places at their places of now, without those forgotten; or none."""
        own = self._rows[shard * self._room : shard * self._room + size]
        kept = taken(own, (own["terms"] != 0) & (own["until_s"] != 0)) if keep else own[:0]
        own.view(np.uint8)[:] = 0
        self._used[shard] = 0
        self._insert(kept)

    def _insert(self, rows: Rows) -> None:
        for begin in range(0, len(rows), _AT_ONCE):
            new = rows[begin : begin + _AT_ONCE]
            while len(new):
                slots, found = self.find(new["tag"])
                put(self._rows, slots, new)  # of two on one place the last is there
                here = taken(self._rows, slots)["tag"] == new["tag"]
                fresh = new["tag"][here & (found["terms"] == 0)]
                self._used += np.bincount(fresh >> _BITS, minlength=SHARDS)
                new = taken(new, ~here)

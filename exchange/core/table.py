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
_NEXT = np.arange(1, 9)

Tags = NDArray[np.uint32]
Rows = NDArray[np.void]


class Table:
    """Rows (`ROW`) by tag: at most `size_max`, some more or less."""

    def __init__(self, size_max: int) -> None:
        self._room = max(2, ceil(size_max / FILL / SHARDS))
        self._size, self._used = min(self._room, _LEAST), np.zeros(SHARDS, np.int64)
        held = mmap.mmap(-1, SHARDS * self._room * ROW.itemsize)
        with suppress(AttributeError, OSError):  # not all systems have huge pages
            held.madvise(mmap.MADV_NOHUGEPAGE)  # a row here and there would else take 2 MiB each
        self._rows = np.frombuffer(held, ROW)

    def __len__(self) -> int:
        """How many places are taken, those of the forgotten too."""
        return int(self._used.sum())

    def find(self, tags: Tags) -> tuple[Ints, Rows]:
        """Where each is, or would be, and what lies there."""
        base, at = self._places(tags)
        slots = base + at
        found = taken(self._rows, slots)
        left = np.flatnonzero((found["terms"] != 0) & (found["tag"] != tags))
        while left.size:  # nearly all of these lie in the next few places
            near = base[left, None] + (at[left, None] + _NEXT) % self._size
            rows = taken(self._rows, near)
            here = (rows["terms"] == 0) | (rows["tag"] == tags[left, None])
            which = np.arange(len(left)), np.where(ended := here.any(1), here.argmax(1), len(_NEXT) - 1)
            slots[left] = near[which]
            put(found, left, taken(rows, which))
            at[left] = slots[left] - base[left]
            left = left[~ended]
        return slots, found

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

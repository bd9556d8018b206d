"""What the gate remembers of the ledger: bounded, corrected by events, and forgotten when the events fall silent.

It holds 48 bytes an authorisation, in a table of open addressing: id, the first half of the certificate's hash, whole seconds within its
validity, the number of its terms, its version. That is enough to *allow*, and to know which authorisations were closed for good, so that
the ledger is asked for their state alone; whatever else there is to say of an authorisation is read from the ledger.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from consent.core.facts import REGISTER, State
from consent.core.glance import NUMBERS, Glance, Shared
from consent.core.glance import ROW as GLANCED_ROW
from consent.core.rules import CLOSED
from exchange.core.columns import Bools, put, same, taken

SILENCE_MAX_MS = 5_000
SIZE_MAX = 2_500_000
"""Authorisations, in some 200 MB."""
_SLOTS_LEAST, _AT_ONCE = 1 << 12, 1 << 16
_NEXT = np.arange(1, 9)
_TERMS_MAX = 1 << 16
_SECONDS_MAX = (1 << 32) - 1
_LAST_S = _SECONDS_MAX - 256
"""The last second there is; what comes after stands for a state."""
_CLOSED_S = np.uint32(_LAST_S + 1)
_STATES = tuple(NUMBERS)
_CLOSED = np.array([state in CLOSED for state in _STATES])

Ids = NDArray[np.uint64]
"""Ids as pairs of 64 bits, little-endian."""
ROW = np.dtype(
    [("id", "<u8", 2), ("certificate", "<u8", 2), ("not_before_s", "<u4"), ("not_after_s", "<u4"), ("terms", "<u4"), ("version", "<u4")]
)  # fmt: skip
"""`terms` 0: nothing is there. `not_after_s` 0: forgotten, or closed where `not_before_s` is beyond all seconds."""
GLANCED = np.dtype([
    ("terms", ">u4"), ("version", ">u4"), ("not_before_ms", ">i8"), ("not_after_ms", ">i8"), ("certificate", "<u8", 2), ("state", "u1"),
    ("left", "u1"),
])  # fmt: skip
assert GLANCED.itemsize == GLANCED_ROW.size
_NOBODY = np.frombuffer(REGISTER, "<u8")


def is_closed(rows: NDArray[np.void]) -> Bools:
    """Which of these rows (`ROW`) were closed when the ledger last spoke of them."""
    closed: Bools = (rows["not_after_s"] == 0) & (rows["not_before_s"] > _LAST_S)
    return closed


def closed_states(rows: NDArray[np.void]) -> list[State]:
    """The state of each row that is closed."""
    return [_STATES[number] for number in (rows["not_before_s"] - _CLOSED_S).tolist()]


class Memory:
    """Rows by authorisation id. Full, it forgets all and begins again. `salt`: 32 bytes nobody can guess, so that nobody can choose ids
    that fall on one place."""

    def __init__(self, salt: bytes, size_max: int = SIZE_MAX) -> None:
        self._salt = np.frombuffer(salt, "<u8") | np.uint64(1)
        self._size_max, self._heard_ms, self._last = size_max, -SILENCE_MAX_MS, 0
        self.forget()

    def forget(self) -> None:
        """Everything. A number of terms is never given again."""
        self._rows, self._used = np.zeros(_SLOTS_LEAST, ROW), 0
        self.terms: dict[int, Shared] = {}
        self._numbers: dict[Shared, int] = {}

    def trusted(self, now_ms: int) -> bool:
        """Whether anything was heard from the ledger within 5 s; if not, nothing is remembered."""
        trusted = now_ms - self._heard_ms <= SILENCE_MAX_MS
        if not trusted and self._used:
            self.forget()
        return trusted

    def find(self, ids: Ids) -> NDArray[np.void]:
        """A row (`ROW`) for each id, of terms 0 where nothing is remembered."""
        return self._look(ids)[1]

    def learn(self, ids: Sequence[bytes], glance: Glance) -> None:
        """What the ledger has just said of these, all different: what may serve is remembered, and what never will again. The rest is forgotten."""
        seen = np.frombuffer(glance.rows, GLANCED)
        new, state = np.zeros(len(seen), ROW), seen["state"].astype(np.uint32)
        new["id"], new["certificate"] = np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2), seen["certificate"]
        new["not_before_s"] = np.clip(-(-seen["not_before_ms"].astype(np.int64) // 1000), 0, _LAST_S)
        new["not_after_s"] = np.clip(seen["not_after_ms"].astype(np.int64) // 1000, 0, _LAST_S)
        new["version"] = seen["version"]
        new["terms"] = np.array([0, *map(self._number, glance.shared)], np.uint32)[seen["terms"]]
        closed = (new["terms"] > 0) & _CLOSED[state]
        new["not_before_s"][closed], new["not_after_s"][closed] = _CLOSED_S + state[closed], 0
        serves = (state == NUMBERS[State.LIVE]) & (seen["left"] == 1) & (new["not_before_s"] < new["not_after_s"])
        kept, (slots, held) = closed | serves, self._look(new["id"])
        there = held["terms"] != 0
        self._rows["not_before_s"][gone := slots[there & ~kept]] = 0
        self._rows["not_after_s"][gone] = 0
        put(self._rows, slots[there & kept], taken(new, there & kept))
        new, slots = taken(new, fresh := kept & ~there), slots[fresh]
        if self._used + len(new) > self._size_max or len(self.terms) >= _TERMS_MAX:
            self.forget()  # what is new is learnt at its next sight
        elif len(new):
            self._put(new, slots)

    def hear(self, ids: Sequence[bytes], versions: Sequence[int], now_ms: int) -> None:
        """Events: only a greater version counts; one without authorisation says that who may ask has changed."""
        self.beat(now_ms)
        if REGISTER in ids:
            self.forget()
            return
        slots, rows = self._look(np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2))
        told = np.minimum(np.array(versions, np.int64), _SECONDS_MAX)
        self._rows["not_after_s"][slots[told > rows["version"]]] = 0

    def beat(self, now_ms: int) -> None:
        """A heartbeat."""
        self._heard_ms = max(self._heard_ms, now_ms)

    def __len__(self) -> int:
        """How many places are taken, those of the forgotten too."""
        return self._used

    def _number(self, shared: Shared) -> int:
        """Of these terms."""
        if (number := self._numbers.get(shared)) is None:
            self._last = number = self._numbers[shared] = self._last + 1
            self.terms[number] = shared
        return number

    def _put(self, new: NDArray[np.void], slots: NDArray[np.int64]) -> None:
        """Rows, at least one, that are not there, each at its place, which is free. Two thirds of the places are taken at most."""
        if 3 * (self._used + len(new)) > 2 * len(self._rows):
            self._rebuild(len(new))
            slots = self._look(new["id"])[0]
        while True:
            put(self._rows, slots, new)  # of two on one place the last is there
            left = ~same(taken(self._rows, slots)["id"], new["id"])
            self._used += len(new) - int(left.sum())
            if not left.any():
                return
            new = taken(new, left)
            slots = self._look(new["id"])[0]

    def _rebuild(self, more: int) -> None:
        """A table with room for as many again, without what was forgotten."""
        kept = taken(self._rows, (self._rows["not_after_s"] > 0) | is_closed(self._rows))
        self._rows, self._used = np.zeros(max(_SLOTS_LEAST, 1 << (2 * (len(kept) + more)).bit_length()), ROW), 0
        for at in range(0, len(kept), _AT_ONCE):
            some = kept[at : at + _AT_ONCE]
            self._put(some, self._look(some["id"])[0])

    def _look(self, ids: Ids) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Where each id is, or would be, and what lies there."""
        mask = len(self._rows) - 1
        slots = (self._hashed(ids) >> np.uint64(20)).astype(np.int64) & mask
        found = taken(self._rows, slots)
        left = np.flatnonzero((found["terms"] != 0) & ~same(found["id"], ids))
        while left.size:  # nearly all of these lie in the next few places
            near, wanted = (slots[left, None] + _NEXT) & mask, ids[left, None]
            rows = taken(self._rows, near)
            here = (rows["terms"] == 0) | same(rows["id"], wanted)
            at = np.arange(len(left)), np.where(ended := here.any(1), here.argmax(1), len(_NEXT) - 1)
            slots[left] = near[at]
            put(found, left, taken(rows, at))
            left = left[~ended]
        return slots, found

    def _hashed(self, ids: Ids) -> NDArray[np.uint64]:
        """Multiplied and folded, twice: each bit of an id counts for the place."""
        first, second, third, fourth = self._salt
        mixed = (ids[:, 0] ^ first) * second
        mixed = ((mixed ^ (mixed >> np.uint64(32))) + ids[:, 1]) * third
        mixed = (mixed ^ (mixed >> np.uint64(29))) * fourth
        folded: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(32))
        return folded

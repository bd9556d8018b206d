"""What the gate remembers of the ledger: bounded, corrected by events, and forgotten when the events fall silent.

It holds 14 bytes an authorisation (`exchange.core.table`): 32 bits of a salted hash of its id, 32 of its certificate's, until when it
serves, the number of its terms. That is enough to *allow*, and to know which authorisations were closed for good, so that the ledger is
asked for their state alone; whatever else there is to say of an authorisation is read from the ledger. That one is taken for another
takes both hashes alike: of what somebody makes up, one in 2^32, and who does not know the salt cannot look for it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from consent.core.facts import REGISTER, State
from consent.core.glance import NUMBERS, Glance, Shared
from consent.core.glance import ROW as GLANCED_ROW
from consent.core.rules import CLOSED
from exchange.core.columns import Bools, taken
from exchange.core.table import ROW, Rows, Table, Tags

SILENCE_MAX_MS = 5_000
SIZE_MAX = 10_000_000
"""Authorisations, in some 165 MB."""
TERMS_MAX = (1 << 16) - 1
"""Different terms: collectivities by data sets, purposes and scopes."""
_LAST_S = (1 << 32) - 1 - 256
"""The last second there is; what comes after stands for a state."""
_CLOSED_S = np.uint32(_LAST_S + 1)
_STATES = tuple(NUMBERS)
_CLOSED = np.array([state in CLOSED for state in _STATES])

Ids = NDArray[np.uint64]
"""Ids, or the beginnings of hashes, as 64 bits and 64 bits more, little-endian."""
GLANCED = np.dtype([
    ("terms", ">u4"), ("version", ">u4"), ("not_before_ms", ">i8"), ("not_after_ms", ">i8"), ("certificate", "<u8", 2), ("state", "u1"),
    ("left", "u1"),
])  # fmt: skip
assert GLANCED.itemsize == GLANCED_ROW.size
_NOTHING = np.zeros((), ROW)


def serving(rows: Rows, now_s: int) -> Bools:
    """Which of these rows (`ROW`) say that one may serve now."""
    found: Bools = (rows["until_s"] > now_s) & (rows["until_s"] <= _LAST_S)
    return found


def is_closed(rows: Rows) -> Bools:
    """Which were closed when the ledger last spoke of them."""
    closed: Bools = rows["until_s"] > _LAST_S
    return closed


def closed_states(rows: Rows) -> list[State]:
    """The state of each row that is closed."""
    return [_STATES[number] for number in (rows["until_s"] - _CLOSED_S).tolist()]


class Memory:
    """Rows by authorisation id. `salt`: 32 bytes nobody can guess, so that nobody can choose ids that fall on one place. `begun`: how often
    it has begun anew."""

    def __init__(self, salt: bytes, size_max: int = SIZE_MAX) -> None:
        self._salt = np.frombuffer(salt, "<u8") | np.uint64(1)
        self._size_max, self._heard_ms, self._asking = size_max, -SILENCE_MAX_MS, list[set[bytes]]()
        self.begun = 0
        self.forget()

    def forget(self) -> None:
        """Everything."""
        self._table, self._numbers = Table(self._size_max), dict[Shared, int]()
        self.begun += 1
        self._ask_terms_anew()

    def _ask_terms_anew(self) -> None:
        """Of no terms is it known who may ask within them."""
        self.terms, self._told = dict[int, Shared](), np.zeros(TERMS_MAX + 1, np.bool_)

    def trusted(self, now_ms: int) -> bool:
        """Whether anything was heard from the ledger within 5 s; if not, nothing is remembered."""
        trusted = now_ms - self._heard_ms <= SILENCE_MAX_MS
        if not trusted and len(self._table):
            self.forget()
        return trusted

    def find(self, ids: Ids) -> Rows:
        """A row (`ROW`) for each id, of terms 0 where nothing is remembered, or not who may ask."""
        rows = self._table.find(self._tags(ids))[1]
        if len(self.terms) < len(self._numbers):
            rows[~self._told[rows["terms"]]] = _NOTHING
        return rows

    def certified(self, rows: Rows, certificates: Ids) -> Bools:
        """Which rows are of these certificates, by their hashes."""
        same: Bools = rows["certificate"] == self._tags(certificates)
        return same

    @contextmanager
    def asking(self) -> Iterator[Collection[bytes]]:
        """Around a question to the ledger and what is learnt from its answer: the ids that events name meanwhile."""
        named = set[bytes]()
        self._asking.append(named)
        try:
            yield named
        finally:
            self._asking = [one for one in self._asking if one is not named]

    def learn(self, ids: Sequence[bytes], glance: Glance, now_ms: int, named: Collection[bytes] = ()) -> None:
        """What the ledger has just said of these, all different, at `now_ms` or later: what serves is remembered, and what never will again.
        The rest is forgotten, and what was `named` while it was asked: it may have changed after the answer."""
        if REGISTER in named or not ids:
            return
        seen, now_s = np.frombuffer(glance.rows, GLANCED), now_ms // 1000
        new, state = np.zeros(len(seen), ROW), seen["state"].astype(np.uint32)
        new["tag"], new["certificate"] = self._tags(_ids(ids)), self._tags(seen["certificate"])
        new["until_s"] = np.clip(seen["not_after_ms"].astype(np.int64) // 1000, 0, _LAST_S)
        new["terms"] = np.array([0, *map(self._number, glance.shared)], np.uint16)[seen["terms"]]
        serves = (
            (new["terms"] > 0)
            & (state == NUMBERS[State.LIVE])
            & (seen["left"] == 1)
            & (seen["not_before_ms"] <= now_ms)
            & serving(new, now_s)
        )
        closed = (new["terms"] > 0) & _CLOSED[state]
        new["until_s"][closed] = _CLOSED_S + state[closed]
        kept = closed | serves
        if named:
            kept &= np.array([id not in named for id in ids])
        slots, held = self._table.find(new["tag"])
        there = held["terms"] != 0
        self._table.forget(slots[there & ~kept])
        self._table.change(slots[there & kept], taken(new, there & kept))
        self._table.add(taken(new, kept & ~there))

    def hear(self, ids: Sequence[bytes], now_ms: int) -> None:
        """Events name these: what was remembered of them is forgotten. Where one is without authorisation, who may ask has changed: terms count
        again, for all under them, once the ledger has spoken of one."""
        self.beat(now_ms)
        for named in self._asking:
            named.update(ids)
        if REGISTER in ids:
            self._ask_terms_anew()
        self._table.forget(self._table.find(self._tags(_ids(ids)))[0])

    def beat(self, now_ms: int) -> None:
        """A heartbeat."""
        self._heard_ms = max(self._heard_ms, now_ms)

    def __len__(self) -> int:
        """How many places are taken, those of the forgotten too."""
        return len(self._table)

    @property
    def room(self) -> int:
        """How many more there is room for."""
        return self._size_max - len(self._table)

    def _number(self, shared: Shared) -> int:
        """Of these terms, whoever may ask within them; 0 for one too many, whose agreements are asked for each time."""
        alike = replace(shared, operators=(), habilitated=())
        number = self._numbers.get(alike, len(self._numbers) + 1)
        if number > TERMS_MAX:
            return 0
        self._numbers[alike], self.terms[number], self._told[number] = number, shared, True
        return number

    def _tags(self, ids: Ids) -> Tags:
        """Multiplied and folded, twice; then the upper half, on which each bit has told."""
        first, second, third, fourth = self._salt
        mixed = (ids[:, 0] ^ first) * second
        mixed = ((mixed ^ (mixed >> np.uint64(32))) + ids[:, 1]) * third
        mixed = (mixed ^ (mixed >> np.uint64(29))) * fourth
        tags: Tags = (mixed >> np.uint64(32)).astype(np.uint32)
        return tags


def _ids(ids: Sequence[bytes]) -> Ids:
    return np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2)

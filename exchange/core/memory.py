"""What the gate remembers of the ledger: bounded, corrected by events, and forgotten when the events fall silent.

It holds what may serve, 48 bytes an authorisation, in a table of open addressing: id, the first half of the certificate's hash, whole
seconds within its validity, the number of its terms, its version. That is enough to *allow*; whatever else there is to say of an
authorisation is read from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consent.core.facts import REGISTER, Authorisation, State
from exchange.core.columns import same

SILENCE_MAX_MS = 5_000
SIZE_MAX = 2_500_000
"""Authorisations, in some 200 MB."""
_SLOTS_LEAST, _AT_ONCE = 1 << 12, 1 << 16
_TERMS_MAX = 1 << 16
_SECONDS_MAX = (1 << 32) - 1

Ids = NDArray[np.uint64]
"""Ids as pairs of 64 bits, little-endian."""
ROW = np.dtype(
    [("id", "<u8", 2), ("certificate", "<u8", 2), ("not_before_s", "<u4"), ("not_after_s", "<u4"), ("terms", "<u4"), ("version", "<u4")]
)  # fmt: skip
"""`terms` 0: nothing is there. `not_after_s` 0: forgotten."""
_NOBODY = np.frombuffer(REGISTER, "<u8")


class Shared(NamedTuple):
    """What many authorisations have alike (fields as in `Authorisation`): kept once, and an ask is found within it once for all."""

    recipient: str
    provider: str
    data_set: str
    purpose: str
    scopes: tuple[str, ...]
    operators: tuple[str, ...]
    habilitated: tuple[str, ...]
    rule_hash: bytes
    watch_every_ms: int

    @classmethod
    def of(cls, held: Authorisation) -> Shared:
        return cls(
            held.recipient, held.provider, held.data_set, held.purpose, held.scopes, held.operators, held.habilitated, held.rule_hash,
            held.watch_every_ms,
        )  # fmt: skip


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
        return self._rows[self._slots(ids)]

    def learn(self, found: Iterable[Authorisation]) -> None:
        """What the ledger has just said. What cannot serve is not remembered: it would be read again before it is refused."""
        may = [
            one
            for one in found
            if one.state is State.LIVE and one.uses < one.max_uses and len(one.certificate_hash) == 32
        ]
        new = np.zeros(len(may), ROW)
        new["id"] = np.frombuffer(b"".join([one.id for one in may]), "<u8").reshape(-1, 2)
        new["certificate"] = np.frombuffer(b"".join([one.certificate_hash for one in may]), "<u8").reshape(-1, 4)[:, :2]
        new["not_before_s"] = [min(max(0, -(-one.not_before_ms // 1000)), _SECONDS_MAX) for one in may]
        new["not_after_s"] = [min(max(0, one.not_after_ms // 1000), _SECONDS_MAX) for one in may]
        new["version"] = [min(one.version, _SECONDS_MAX) for one in may]
        new["terms"] = [self._number(one) for one in may]
        new = new[new["not_before_s"] < new["not_after_s"]]
        if self._used + len(new) > self._size_max or len(self.terms) >= _TERMS_MAX:
            self.forget()  # what is new is learnt at its next sight
        elif len(new):
            self._put(new)

    def hear(self, ids: Sequence[bytes], versions: Sequence[int], now_ms: int) -> None:
        """Events: only a greater version counts; one without authorisation says that who may ask has changed."""
        self.beat(now_ms)
        if REGISTER in ids:
            self.forget()
            return
        slots = self._slots(np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2))
        told = np.minimum(np.array(versions, np.int64), _SECONDS_MAX)
        self._rows["not_after_s"][slots[told > self._rows["version"][slots]]] = 0

    def beat(self, now_ms: int) -> None:
        """A heartbeat."""
        self._heard_ms = max(self._heard_ms, now_ms)

    def __len__(self) -> int:
        """How many places are taken, those of the forgotten too."""
        return self._used

    def _number(self, held: Authorisation) -> int:
        """Of its terms."""
        shared = Shared.of(held)
        if (number := self._numbers.get(shared)) is None:
            self._last = number = self._numbers[shared] = self._last + 1
            self.terms[number] = shared
        return number

    def _put(self, new: NDArray[np.void]) -> None:
        """Two thirds of the places are taken at most."""
        if 3 * (self._used + len(new)) > 2 * len(self._rows):
            self._rebuild(len(new))
        left = np.arange(len(new))
        while left.size:
            slots = self._slots(new["id"][left])
            self._used += int((self._rows["terms"][np.unique(slots)] == 0).sum())
            self._rows[slots] = new[left]  # of two on one place the last is there
            left = left[~same(self._rows["id"][slots], new["id"][left])]

    def _rebuild(self, more: int) -> None:
        """A table with room for as many again, without what was forgotten."""
        kept = self._rows[self._rows["not_after_s"] > 0]
        self._rows, self._used = np.zeros(max(_SLOTS_LEAST, 1 << (2 * (len(kept) + more)).bit_length()), ROW), 0
        for at in range(0, len(kept), _AT_ONCE):
            self._put(kept[at : at + _AT_ONCE])

    def _slots(self, ids: Ids) -> NDArray[np.int64]:
        """Where each id is, or would be."""
        mask = len(self._rows) - 1
        slots = (self._hashed(ids) >> np.uint64(20)).astype(np.int64) & mask
        left = np.arange(len(slots))
        while left.size:
            rows = self._rows[slots[left]]
            left = left[(rows["terms"] != 0) & ~same(rows["id"], ids[left])]
            slots[left] = (slots[left] + 1) & mask
        return slots

    def _hashed(self, ids: Ids) -> NDArray[np.uint64]:
        """Multiplied and folded, twice: each bit of an id counts for the place."""
        first, second, third, fourth = self._salt
        mixed = (ids[:, 0] ^ first) * second
        mixed = ((mixed ^ (mixed >> np.uint64(32))) + ids[:, 1]) * third
        mixed = (mixed ^ (mixed >> np.uint64(29))) * fourth
        folded: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(32))
        return folded

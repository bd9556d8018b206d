"""Many requests allowed at once, from what the gate remembers: the way of nearly all of them (design, "The hot path").

It only ever allows, and nothing that `exchange.core.gate.judge` would refuse: whether an ask stands within terms is asked of the same
rule, once; what depends on the instant is compared over the whole chunk. `tests/unit/test_allowing.py` holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from consent.core.glance import Shared
from exchange.core.batches import RECORD_MOST_BYTES, Numbered, length
from exchange.core.columns import ONE_BYTE_MAX, TWO_BYTES_MAX, Bools, Ints, Requests, each, two_bytes
from exchange.core.decision import TTL_MAX_MS, TTL_MIN_MS, standing
from exchange.core.gate import TASK_HEAD, Rules
from exchange.core.memory import Memory, serving

REMEMBERED = 1 << 14
"""Most answers kept of whether an ask stands within some terms, for each operator."""
BATCH_BYTES = 1_000_000
"""Of the batches that are laid out here; a broker takes 1 MiB."""
MORE_BYTES = 1_024
"""More than a task's record has beside its tail."""
_ID_BYTES = 16
_HEAD = np.dtype([
    ("key_size", "u1"), ("key", "<u8", 2), ("value_size", "u1", 2), ("frame", "V5"), ("request", "V16"), ("authorisation", "<u8", 2),
    ("operator", "V9"), ("deadline_ms", ">u8"), ("certificate", "<u8", 4), ("no_certificate", "u1"),
])  # fmt: skip
"""What is before a task's tail in its message (`exchange.core.batches.body`): key, length of the value, `TASK_HEAD`."""
assert _HEAD.itemsize == 1 + _ID_BYTES + 2 + TASK_HEAD.size


class Allowed(NamedTuple):
    """Requests of a chunk that become tasks of one provider."""

    provider: str
    requests: Requests


class Asks:
    """Which asks of one operator stand within which terms: found out once by the rule, so that strictness costs nothing per event."""

    def __init__(self, operator: str, rules: Rules) -> None:
        self._operator, self._rules = operator, rules
        self._known: dict[Shared, dict[bytes, bool]] = {}

    def within(self, terms: dict[int, Shared], numbers: Sequence[int], asked: Sequence[bytes]) -> list[bool]:
        """For each ask, whether it stands within the terms of its number."""
        known, pairs = self._of(terms, numbers), list(zip(numbers, asked, strict=True))
        found = [known[number].get(ask) for number, ask in pairs]
        if None not in found:
            return found  # type: ignore[return-value]  # none is None
        if sum(map(len, self._known.values())) > REMEMBERED:
            self._known.clear()
            known = self._of(terms, numbers)
        for number, ask in pairs:
            if ask not in (own := known[number]):
                own[ask] = self._stands(terms[number], ask)
        return [known[number][ask] for number, ask in pairs]

    def _of(self, terms: dict[int, Shared], numbers: Sequence[int]) -> dict[int, dict[bytes, bool]]:
        """What is known of the terms of these numbers; a number may be another's tomorrow, terms are what they are."""
        return {number: self._known.setdefault(terms[number], {}) for number in set(numbers)}

    def stand(
        self, found: Requests, at: Ints, data: bytes, terms: dict[int, Shared], numbers: NDArray[np.uint16]
    ) -> Bools:
        """Which of the requests at these places ask within the terms of these numbers."""
        places = zip(found.ask_at[at].tolist(), found.ask_end[at].tolist(), strict=True)
        return np.array(self.within(terms, numbers.tolist(), [data[begin:end] for begin, end in places]), np.bool_)

    def _stands(self, terms: Shared, ask: bytes) -> bool:
        decoded = self._rules.read_ask(ask)
        return decoded is not None and standing(decoded, self._operator, terms, self._rules.data_sets).allowed


def allow(found: Requests, data: bytes, asks: Asks, memory: Memory, now_ms: int) -> tuple[list[Allowed], Requests]:
    """Those that may go on, by provider, and the others."""
    rows, ttl_ms, now_s = (
        memory.find(found.head["authorisation"]),
        found.head["ttl_ms"].astype(np.int64),
        now_ms // 1000,
    )
    may = (
        serving(rows, now_s) & memory.certified(rows, found.head["certificate"])
        & (ttl_ms >= TTL_MIN_MS) & (ttl_ms <= TTL_MAX_MS) & (now_ms < found.timestamp + ttl_ms)
        & (found.end - found.tail_at <= TWO_BYTES_MAX - MORE_BYTES)
    )  # fmt: skip
    at = np.flatnonzero(may)
    numbers = rows["terms"][at]
    stand = asks.stand(found, at, data, memory.terms, numbers)
    at, numbers = at[stand], numbers[stand]
    may[:] = False
    may[at] = True
    return list(_by_provider(found.only(at), numbers, memory.terms)), found.only(~may)


def _by_provider(allowed: Requests, numbers: NDArray[np.uint16], terms: dict[int, Shared]) -> Iterator[Allowed]:
    providers = {number: terms[number].provider for number in set(numbers.tolist())}
    for provider in dict.fromkeys(providers.values()):
        own = [number for number, each in providers.items() if each == provider]
        yield Allowed(provider, allowed if len(own) == len(providers) else allowed.only(np.isin(numbers, own)))


def bodies(allowed: Requests, data: bytes, operator: str, prefix: bytes, headers: Sequence[bytes]) -> list[bytes]:
    """Their tasks as messages laid out (`exchange.core.batches.Bodies`), each with its headers."""
    heads = np.zeros(len(allowed.place), _HEAD)
    _fill(heads, allowed, operator, prefix)
    tails = zip(allowed.tail_at.tolist(), allowed.end.tolist(), strict=True)
    whole = zip(each(heads), tails, headers, strict=True)
    return [head + data[begin:end] + after for head, (begin, end), after in whole]


def batches(allowed: Requests, data: bytes, operator: str, prefix: bytes, headers: bytes) -> Iterator[Numbered]:
    """The same in whole batches of at most `BATCH_BYTES`; all bear the same headers, and then their request's id in hexadecimal."""
    size = allowed.end - allowed.tail_at + _HEAD.itemsize + len(headers) + 2 * _ID_BYTES + RECORD_MOST_BYTES
    number = np.cumsum(size) // BATCH_BYTES
    for at in range(int(number[-1]) + 1 if len(number) else 0):
        if len(own := np.flatnonzero(number == at)):
            yield _batch(allowed.only(own), data, operator, prefix, headers)


def _batch(allowed: Requests, data: bytes, operator: str, prefix: bytes, headers: bytes) -> Numbered:
    """Between one tail and the next lies what is all of fixed lengths: the headers of one record, and the beginning of the next."""
    count, digits = len(allowed.place), np.frombuffer(allowed.head["request"].tobytes().hex().encode(), np.uint8)
    between, after, ids = list[bytes](), len(headers) + 2 * _ID_BYTES, digits.reshape(count, 2 * _ID_BYTES)
    before = np.concatenate((ids[-1:], ids[:-1]))
    for begin, end, place_bytes in ((0, ONE_BYTE_MAX + 1, 3), (ONE_BYTE_MAX + 1, count, 4)):
        if begin >= count:
            break
        some = allowed.only(slice(begin, end))
        rows = np.zeros(len(some.place), _between(len(headers), place_bytes))
        rows["headers"], rows["id"] = np.void(headers), before[begin:end]
        rows["size"] = two_bytes(some.end - some.tail_at + place_bytes + _HEAD.itemsize + after)
        number = np.arange(begin, begin + len(rows))
        rows["place"][:, 2:] = two_bytes(number) if begin else (number << 1).reshape(-1, 1)
        _fill(rows, some, operator, prefix)
        between += each(rows)
    parts = [b""] * (2 * count + 1)
    parts[:-1:2] = between
    parts[0], parts[-1] = between[0][after:], headers + ids[-1].tobytes()
    parts[1::2] = [data[at:end] for at, end in zip(allowed.tail_at.tolist(), allowed.end.tolist(), strict=True)]
    return Numbered(count, parts)


@cache
def _between(headers_bytes: int, place_bytes: int) -> np.dtype[np.void]:
    """The headers of the record before, and what is before a task's tail."""
    begins = [
        ("headers", f"V{headers_bytes}"),
        ("id", "u1", 2 * _ID_BYTES),
        ("size", "u1", 2),
        ("place", "u1", place_bytes),
    ]
    return np.dtype([*begins, *_HEAD.descr])


def _fill(made: NDArray[np.void], allowed: Requests, operator: str, prefix: bytes) -> None:
    """The fields of `_HEAD`."""
    head = allowed.head
    made["key_size"] = length(_ID_BYTES)[0]
    made["value_size"] = two_bytes(allowed.end - allowed.tail_at + TASK_HEAD.size)
    made["frame"], made["operator"] = np.void(prefix), np.void(operator.encode())
    made["deadline_ms"] = allowed.timestamp + head["ttl_ms"]
    made["key"] = made["authorisation"] = head["authorisation"]
    made["request"], made["certificate"] = head["request"], head["certificate"]

"""Many requests allowed at once, from what the gate remembers: the way of nearly all of them (design, "The hot path").

It only ever allows, and nothing that `exchange.core.gate.judge` would refuse: whether an ask stands within terms is asked of the same
rule, once; what depends on the instant is compared over the whole chunk. `tests/unit/test_allowing.py` holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from exchange.core.batches import length
from exchange.core.columns import TWO_BYTES_MAX, Requests
from exchange.core.decision import TTL_MAX_MS, TTL_MIN_MS, standing
from exchange.core.gate import TASK_HEAD, Rules
from exchange.core.memory import Memory, Shared

REMEMBERED = 1 << 14
"""Most answers kept of whether an ask stands within some terms, for each operator."""
_ID_BYTES = 16
_HEAD = np.dtype([
    ("key_size", "u1"), ("key", "<u8", 2), ("size", "u1", 2), ("frame", "V5"), ("request", "V16"), ("authorisation", "<u8", 2),
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
        self._known: dict[tuple[int, bytes], bool] = {}

    def within(self, terms: dict[int, Shared], asked: Sequence[tuple[int, bytes]]) -> list[bool]:
        """For each number of terms and ask."""
        known = self._known
        found = [known.get(pair) for pair in asked]
        if None not in found:
            return found  # type: ignore[return-value]  # none is None
        if len(known) > REMEMBERED:
            known.clear()
        known |= {pair: self._stands(terms[pair[0]], pair[1]) for pair in set(asked) - known.keys()}
        return [known[pair] for pair in asked]

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
        (rows["not_before_s"] <= now_s) & (now_s < rows["not_after_s"])
        & (rows["certificate"] == found.head["certificate"][:, :2]).all(1)
        & (ttl_ms >= TTL_MIN_MS) & (ttl_ms <= TTL_MAX_MS) & (now_ms < found.timestamp + ttl_ms)
        & (found.end - found.tail_at <= TWO_BYTES_MAX - TASK_HEAD.size)
    )  # fmt: skip
    at = np.flatnonzero(may)
    numbers = rows["terms"][at]
    places = zip(numbers.tolist(), found.ask_at[at].tolist(), found.ask_end[at].tolist(), strict=True)
    stand = np.array(asks.within(memory.terms, [(number, data[a:b]) for number, a, b in places]), np.bool_)
    at, numbers = at[stand], numbers[stand]
    may[:] = False
    may[at] = True
    return list(_by_provider(found.only(at), numbers, memory.terms)), found.only(~may)


def _by_provider(allowed: Requests, numbers: NDArray[np.uint32], terms: dict[int, Shared]) -> Iterator[Allowed]:
    providers = {number: terms[number].provider for number in np.unique(numbers).tolist()}
    for provider in dict.fromkeys(providers.values()):
        own = [number for number, each in providers.items() if each == provider]
        yield Allowed(provider, allowed if len(own) == len(providers) else allowed.only(np.isin(numbers, own)))


def bodies(allowed: Requests, data: bytes, operator: str, prefix: bytes, headers: Sequence[bytes]) -> list[bytes]:
    """Their tasks as messages laid out (`exchange.core.batches.Bodies`), each with its headers."""
    tails = list(zip(allowed.tail_at.tolist(), allowed.end.tolist(), strict=True))
    heads, size = _heads(allowed, operator, prefix).tobytes(), _HEAD.itemsize
    places = zip(range(0, len(heads), size), tails, headers, strict=True)
    return [heads[at : at + size] + data[begin:end] + after for at, (begin, end), after in places]


def _heads(allowed: Requests, operator: str, prefix: bytes) -> NDArray[np.void]:
    made, head = np.zeros(len(allowed.place), _HEAD), allowed.head
    size = allowed.end - allowed.tail_at + TASK_HEAD.size
    made["key_size"] = length(_ID_BYTES)[0]
    made["size"] = np.stack((size << 1 & 0x7F | 0x80, size >> 6), 1)
    made["frame"], made["operator"] = np.void(prefix), np.void(operator.encode())
    made["deadline_ms"] = allowed.timestamp + head["ttl_ms"]
    made["key"] = made["authorisation"] = head["authorisation"]
    made["request"], made["certificate"] = head["request"], head["certificate"]
    return made


def ending_with_ids(headers: bytes, allowed: Requests) -> list[bytes]:
    """For each, these bytes and its request's id in hexadecimal."""
    count, size = len(allowed.place), len(headers) + 2 * _ID_BYTES
    made = np.empty((count, size), np.uint8)
    made[:, : len(headers)] = np.frombuffer(headers, np.uint8)
    digits = allowed.head["request"].tobytes().hex().encode()
    made[:, len(headers) :] = np.frombuffer(digits, np.uint8).reshape(count, 2 * _ID_BYTES)
    whole = made.tobytes()
    return [whole[at : at + size] for at in range(0, len(whole), size)]

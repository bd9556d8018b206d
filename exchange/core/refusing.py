"""Many requests refused at once: those under authorisations closed for good, as the ledger has just said.

It refuses nothing that `exchange.core.gate.judge` would not, and for its reason: `tests/unit/test_refusing.py` holds the two together.
Whatever else is not allowed is judged one by one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from consent.core.rules import REFUSAL
from exchange.core.allowing import Asks
from exchange.core.batches import length
from exchange.core.columns import Requests, each, two_bytes
from exchange.core.decision import TTL_MAX_MS, TTL_MIN_MS
from exchange.core.errors import Code
from exchange.core.gate import VERDICT_HEAD
from exchange.core.memory import Memory, closed_states, is_closed
from exchange.core.sealing import ask_hash, request_digests

VERDICT = np.dtype([
    ("frame", "V5"), ("request", "V16"), ("authorisation", "<u8", 2), ("operator", "V9"), ("digest", "V32"), ("deadline_ms", ">u8"),
])  # fmt: skip
"""The head of a verdict (`exchange.core.gate.VERDICT_HEAD`); what follows is the same for all of a reason."""
assert VERDICT.itemsize == VERDICT_HEAD.size
_BODY = np.dtype([("key_size", "u1"), ("key", "<u8", 2), ("value_size", "u1", 2), *VERDICT.descr])


class Refused(NamedTuple):
    """Requests of a chunk refused for one reason."""

    reason: Code
    requests: Requests


def refuse(found: Requests, data: bytes, asks: Asks, memory: Memory) -> tuple[list[Refused], Requests]:
    """By reason, those under an authorisation that is closed, with nothing else to say against them; and all the others. Memory has just
    learnt what the ledger says of each: it refuses nothing by itself."""
    rows, ttl_ms = memory.find(found.head["authorisation"]), found.head["ttl_ms"]
    same = memory.certified(rows, found.head["certificate"])  # two ids may share a tag, not their certificates' as well
    may = is_closed(rows) & same & (ttl_ms >= TTL_MIN_MS) & (ttl_ms <= TTL_MAX_MS)
    at = np.flatnonzero(may)
    may[at] = stand = asks.stand(found, at, data, memory.terms, rows["terms"][at])
    at = at[stand]
    states = closed_states(rows[at])
    refused = [
        Refused(REFUSAL[state], found.only(at[np.array([one is state for one in states])]))
        for state in dict.fromkeys(states)
    ]
    return refused, found.only(~may)


def bodies(
    refused: Requests, data: bytes, operator: str, prefix: bytes, tail: bytes, headers: Iterable[bytes]
) -> list[bytes]:
    """Their verdicts as messages laid out (`exchange.core.batches.body`), each with its headers. `tail`: what follows `VERDICT`."""
    rows, head = np.zeros(len(refused.place), _BODY), refused.head
    rows["key_size"], rows["value_size"] = length(16)[0], two_bytes(np.array([VERDICT.itemsize + len(tail)]))[0]
    rows["frame"], rows["operator"] = np.void(prefix), np.void(operator.encode())
    rows["key"] = rows["authorisation"] = head["authorisation"]
    rows["request"], rows["deadline_ms"] = head["request"], refused.timestamp + head["ttl_ms"]
    rows["digest"] = np.frombuffer(b"".join(_digests(refused, data, operator)), "V32")
    return [row + tail + after for row, after in zip(each(rows), headers, strict=True)]


def _digests(refused: Requests, data: bytes, operator: str) -> list[bytes]:
    asks = [data[at:end] for at, end in zip(refused.ask_at.tolist(), refused.ask_end.tolist(), strict=True)]
    hashed = {ask: ask_hash(ask) for ask in set(asks)}
    hashes = [hashed[ask] for ask in asks]
    return request_digests(operator, zip(refused.authorisations, refused.ids, hashes, strict=True))

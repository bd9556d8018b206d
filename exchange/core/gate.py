"""Requests judged one by one, on what the ledger has just said: the rule, and all that is ever refused (protocol §3.3).

`exchange.core.allowing` spares it what may be allowed from memory.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from consent.core.facts import Authorisation
from exchange.core.batches import Fetched
from exchange.core.columns import entries_at
from exchange.core.decision import Ask, DataSet, instant, standing
from exchange.core.errors import Code
from exchange.core.heads import HEAD, SIZE_MAX_BYTES, SIZES, TAIL_AT, BadRequest, bytes_at
from exchange.core.sealing import ask_hash, request_digest

TASK_HEAD = struct.Struct(">5s16s16s9sQ32sx")
"""Frame, request id, authorisation id, operator, deadline, certificate hash; no certificate."""
VERDICT_HEAD = struct.Struct(">5s16s16s9s32sQ")
"""Frame, request id, authorisation id, operator, digest, deadline."""
_NOWHERE = 1 << 40
"""Beyond the end of any message."""


class Rules(NamedTuple):
    """What judging needs to know: frames, data sets, and the strict decoder of asks (memoised; None for bytes that are no ask)."""

    request_prefix: bytes
    task_prefix: bytes
    data_sets: Mapping[str, DataSet]
    read_ask: Callable[[bytes], Ask | None]


class Asked(NamedTuple):
    """A request read: its place in the chunk, its head, what it asks, and its tail (ask and identity, with their lengths)."""

    place: int
    request: bytes
    authorisation: bytes
    certificate_hash: bytes
    ttl_ms: int
    deadline_ms: int
    ask: Ask
    ask_hash: bytes
    tail: bytes


class Task(NamedTuple):
    """A request allowed: the message's value is its head and the request's tail."""

    place: int
    provider: str
    authorisation: bytes
    request: bytes
    value: bytes


class Refusal(NamedTuple):
    """A verdict to write: shapes as in verdict.v1.avsc; `place` is the record's place in the chunk."""

    place: int
    request: bytes
    authorisation: bytes
    digest: bytes
    deadline_ms: int
    code: Literal["refused", "expired"]
    reason: Code


Bad = tuple[int, Code]
"""A place whose bytes are no request, and why."""


def read(chunk: Fetched, places: Sequence[int], rules: Rules) -> tuple[list[Asked], list[Bad]]:
    """The requests at these places, decoded strictly, and what is none."""
    found, bad = list[Asked](), list[Bad]()
    data = chunk.data
    for place, (_, timestamp, key, at, end, _) in zip(places, entries_at(chunk, places), strict=True):
        try:
            frame, request, authorisation, certificate_hash, ttl_ms = HEAD.unpack_from(data, at)
            if frame != rules.request_prefix:
                raise BadRequest
            written = _ask_in(data, at + TAIL_AT, end)
            if key != authorisation:
                bad.append((place, Code.BAD_KEY))
                continue
            if (ask := rules.read_ask(written)) is None:
                raise BadRequest
        except (struct.error, BadRequest):
            bad.append((place, Code.BAD_AVRO))
            continue
        head = request, authorisation, certificate_hash, ttl_ms, timestamp + ttl_ms
        found.append(Asked(place, *head, ask, ask_hash(written), data[at + TAIL_AT : end]))
    return found, bad


def judge(
    asked: Iterable[Asked], operator: str, held: Mapping[bytes, Authorisation], rules: Rules, now_ms: int
) -> tuple[list[Task], list[Refusal]]:
    """`held`: all that the ledger has just said of the authorisations asked about."""
    tasks, refusals, siren = list[Task](), list[Refusal](), operator.encode()
    for one in asked:
        authorisation = held.get(one.authorisation)
        reason = standing(one.ask, operator, authorisation, rules.data_sets).reason
        if reason is None and authorisation is not None:
            reason = instant(authorisation, one.certificate_hash, one.ttl_ms, now_ms).reason
        if reason is None and authorisation is not None and now_ms < one.deadline_ms:
            ids = one.request, one.authorisation
            head = TASK_HEAD.pack(rules.task_prefix, *ids, siren, one.deadline_ms, one.certificate_hash)
            tasks.append(Task(one.place, authorisation.provider, one.authorisation, one.request, head + one.tail))
        else:
            refusals.append(_refusal(one, operator, reason))
    return tasks, refusals


def _ask_in(data: bytes, at: int, end: int) -> bytes:
    """The ask of a request whose two Avro `bytes` fill `[at, end)` exactly; BadRequest otherwise.

    The usual lengths take two bytes and are looked up in a table of the minimal ones; all else goes the long way.
    """
    begin = at + 2
    after = begin + SIZES.get(data[at:begin], _NOWHERE)
    if after + 2 + SIZES.get(data[after : after + 2], _NOWHERE) != end:
        begin, after = bytes_at(data, at, end)
        if bytes_at(data, after, end)[1] != end or end - at > SIZE_MAX_BYTES - TAIL_AT:
            raise BadRequest
    return data[begin:after]


def _refusal(one: Asked, operator: str, reason: Code | None) -> Refusal:
    """Without a reason the deadline has passed."""
    code: Literal["refused", "expired"] = "refused" if reason is not None else "expired"
    digest = request_digest(operator, one.authorisation, one.request, one.ask_hash)
    return Refusal(
        one.place, one.request, one.authorisation, digest, one.deadline_ms, code, reason or Code.DEADLINE_PASSED
    )

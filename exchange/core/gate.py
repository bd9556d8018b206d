"""A chunk of requests judged: bytes in, bytes out, one pass (design, "The hot path").

A request may be *allowed* from what the gate remembers; it is *refused* only on what the ledger has just said: whatever the
memory does not allow comes back as a miss, to be judged once more with `fresh` authorisations (protocol §3.3).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, NamedTuple

from consent.core.facts import Authorisation, State
from exchange.core.batches import Fetched
from exchange.core.decision import TTL_MAX_MS, TTL_MIN_MS, Ask, DataSet, instant, standing
from exchange.core.errors import Code
from exchange.core.heads import HEAD, SIZE_MAX_BYTES, SIZES, TAIL_AT, BadRequest, bytes_at
from exchange.core.sealing import ask_hash, request_digest

REMEMBERED = 4096
"""Most asks kept per terms."""

_TASK_HEAD = struct.Struct(">5s16s16s9sQ32sx")
"""Frame, request id, authorisation id, operator, deadline, certificate hash; no certificate."""
_NOWHERE = 1 << 40
"""Beyond the end of any message."""


Known = set[tuple[str, bytes]]
"""(operator, ask) pairs found within some terms."""


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
        return cls(*[getattr(held, name) for name in cls._fields])


class View:
    """What the gate remembers of one authorisation: the ledger's word, laid out for the loop, and the asks found within its terms."""

    __slots__ = (
        "asks",
        "certificate_hash",
        "held",
        "live",
        "not_after_ms",
        "not_before_ms",
        "provider",
    )

    def __init__(self, held: Authorisation, asks: Known) -> None:
        self.held, self.provider, self.asks = held, held.provider, asks
        self.live = held.state is State.LIVE and held.uses < held.max_uses
        self.not_before_ms, self.not_after_ms = held.not_before_ms, held.not_after_ms
        self.certificate_hash = held.certificate_hash


Task = tuple[int, str, bytes, bytes, tuple[bytes, bytes]]
"""Place in the chunk, provider, authorisation, request, and the parts of the message's value."""


class Refusal(NamedTuple):
    """A verdict to write: shapes as in verdict.v1.avsc; `place` is the record's place in the chunk."""

    place: int
    request: bytes
    authorisation: bytes
    digest: bytes
    deadline_ms: int
    code: Literal["refused", "expired"]
    reason: Code


class Judged(NamedTuple):
    """The chunk's fates, by place: tasks, refusals, misses, and bytes that are no request."""

    tasks: list[Task]
    refusals: list[Refusal]
    misses: list[int]
    bad: list[tuple[int, Code]]


class Rules(NamedTuple):
    """What judging needs to know: frames, data sets, and the strict decoder of asks (memoised; None for bytes that are no ask)."""

    request_prefix: bytes
    task_prefix: bytes
    data_sets: Mapping[str, DataSet]
    read_ask: Callable[[bytes], Ask | None]


def judge(
    chunk: Fetched,
    places: Iterable[int],
    operator: str,
    views: Mapping[bytes, View],
    rules: Rules,
    now_ms: int,
    *,
    fresh: bool,
) -> Judged:
    """Judge the records at `places`. `fresh`: the views were just read from the ledger, so a no is a refusal, not a miss."""
    judged = Judged([], [], [], [])
    tasks, misses, find, unpack, data, entries = (
        judged.tasks,
        judged.misses,
        views.get,
        HEAD.unpack_from,
        chunk.data,
        chunk.entries,
    )
    prefix, task_prefix, siren, pack = rules.request_prefix, rules.task_prefix, operator.encode(), _TASK_HEAD.pack
    for place in places:
        _, timestamp, key, at, end, _ = entries[place]
        try:
            frame, request, authorisation, certificate_hash, ttl_ms = unpack(data, at)
            if frame != prefix:
                raise BadRequest
            ask = _ask_in(data, at + TAIL_AT, end)
        except (struct.error, BadRequest):
            judged.bad.append((place, Code.BAD_AVRO))
            continue
        if key != authorisation:
            judged.bad.append((place, Code.BAD_KEY))
            continue
        view, deadline_ms = find(authorisation), timestamp + ttl_ms
        if (
            view is not None
            and view.live
            and view.certificate_hash == certificate_hash
            and view.not_before_ms <= now_ms < view.not_after_ms
            and TTL_MIN_MS <= ttl_ms <= TTL_MAX_MS
            and now_ms < deadline_ms
            and ((operator, ask) in view.asks or _within(view, operator, ask, rules))
        ):
            head = pack(task_prefix, request, authorisation, siren, deadline_ms, certificate_hash)
            tasks.append((place, view.provider, authorisation, request, (head, data[at + TAIL_AT : end])))
        elif fresh:
            asked = (request, authorisation, certificate_hash, ttl_ms, ask, deadline_ms)
            _refuse(judged, place, operator, view, rules, now_ms, asked)
        else:
            misses.append(place)
    return judged


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


def _within(view: View, operator: str, ask: bytes, rules: Rules) -> bool:
    """Whether the ask stands within the authorisation; remembered, so strictness costs nothing per event."""
    decoded = rules.read_ask(ask)
    if decoded is None or not standing(decoded, operator, view.held, rules.data_sets).allowed:
        return False
    if len(view.asks) >= REMEMBERED:
        view.asks.clear()
    view.asks.add((operator, ask))
    return True


def _refuse(
    judged: Judged,
    place: int,
    operator: str,
    view: View | None,
    rules: Rules,
    now_ms: int,
    head: tuple[bytes, bytes, bytes, int, bytes, int],
) -> None:
    request, authorisation, certificate_hash, ttl_ms, ask, deadline_ms = head
    decoded = rules.read_ask(ask)
    if decoded is None:
        judged.bad.append((place, Code.BAD_AVRO))
        return
    held = view.held if view is not None else None
    reason = standing(decoded, operator, held, rules.data_sets).reason
    if reason is None and held is not None:
        reason = instant(held, certificate_hash, ttl_ms, now_ms).reason
    code: Literal["refused", "expired"] = "refused"
    if reason is None:
        code, reason = "expired", Code.DEADLINE_PASSED
    digest = request_digest(operator, authorisation, request, ask_hash(ask))
    judged.refusals.append(Refusal(place, request, authorisation, digest, deadline_ms, code, reason))

"""A chunk of requests judged: bytes in, bytes out, one pass (design, "The hot path").

A request may be *allowed* from what the gate remembers; it is *refused* only on what the ledger has just said: whatever the
memory does not allow comes back as a miss, to be judged once more with `fresh` authorisations (protocol §3.3).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from consent.core.facts import Authorisation, State
from exchange.core.decision import TTL_MAX_MS, TTL_MIN_MS, Ask, DataSet, instant, standing
from exchange.core.errors import Code
from exchange.core.heads import HEAD, SIZE_MAX_BYTES, TAIL_AT, BadRequest, bytes_at, varint
from exchange.core.sealing import ask_hash, request_digest

REMEMBERED = 4096
"""Most asks kept per terms, and most terms."""

_TASK_HEAD = struct.Struct(">5s16s16s9sQ")
_SIZES = {varint(size): size for size in range(1 << 6, 1 << 13)}
_NOWHERE = 1 << 40
"""Beyond the end of any message."""


Known = set[tuple[str, bytes]]
"""(operator, ask) pairs found within some terms."""


class View:
    """What the gate remembers of one authorisation: the ledger's word, laid out for the loop, and the asks found within it."""

    __slots__ = ("asks", "certificate", "certificate_hash", "held", "live", "not_after_ms", "not_before_ms", "provider")

    def __init__(self, held: Authorisation) -> None:
        self.held, self.provider = held, held.provider
        self.live = held.state is State.LIVE and held.uses < held.max_uses
        self.not_before_ms, self.not_after_ms = held.not_before_ms, held.not_after_ms
        self.asks: Known = set()
        self.certificate, self.certificate_hash = (
            varint(len(held.certificate)) + held.certificate,
            held.certificate_hash,
        )


def share(views: Iterable[View], found: dict[Hashable, Known]) -> None:
    """Views under equal terms share what was found within them: an ask is decided once, not once per authorisation."""
    if len(found) > REMEMBERED:
        found.clear()
    for view in views:
        held = view.held
        terms = (
            held.operators, held.recipient, held.data_set, held.purpose, held.scopes, held.habilitated, held.rule_hash, held.watch_every_ms,
        )  # fmt: skip
        view.asks = found.setdefault(terms, view.asks)


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
    """The chunk's fates, by place: tasks (provider, bytes), refusals, misses, and bytes that are no request."""

    tasks: list[tuple[int, str, bytes, bytes]]
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
    records: Sequence[Any],
    places: Sequence[int],
    operator: str,
    views: Mapping[bytes, View],
    rules: Rules,
    now_ms: int,
    *,
    fresh: bool,
) -> Judged:
    """Judge the records at `places`. `fresh`: the views were just read from the ledger, so a no is a refusal, not a miss."""
    judged = Judged([], [], [], [])
    tasks, misses, find, unpack = judged.tasks, judged.misses, views.get, HEAD.unpack_from
    prefix, task_prefix, siren, pack = rules.request_prefix, rules.task_prefix, operator.encode(), _TASK_HEAD.pack
    for place in places:
        record = records[place]
        value = record.value
        try:
            frame, request, authorisation, certificate_hash, ttl_ms = unpack(value)
            if frame != prefix:
                raise BadRequest
            ask = _ask_in(value)
        except (struct.error, TypeError, BadRequest):
            judged.bad.append((place, Code.BAD_AVRO))
            continue
        if record.key != authorisation:
            judged.bad.append((place, Code.BAD_KEY))
            continue
        view, deadline_ms = find(authorisation), record.timestamp + ttl_ms
        if (
            view is not None
            and view.live
            and view.certificate_hash == certificate_hash
            and view.not_before_ms <= now_ms < view.not_after_ms
            and TTL_MIN_MS <= ttl_ms <= TTL_MAX_MS
            and now_ms < deadline_ms
            and ((operator, ask) in view.asks or _within(view, operator, ask, rules))
        ):
            head = pack(task_prefix, request, authorisation, siren, deadline_ms)
            tasks.append((place, view.provider, request, head + view.certificate + value[TAIL_AT:]))
        elif fresh:
            asked = (request, authorisation, certificate_hash, ttl_ms, ask, deadline_ms)
            _refuse(judged, place, operator, view, rules, now_ms, asked)
        else:
            misses.append(place)
    return judged


def _ask_in(value: bytes) -> bytes:
    """The ask of a request whose two Avro `bytes` fill it exactly; BadRequest otherwise.

    The usual lengths take two bytes and are looked up in a table of the minimal ones; all else goes the long way.
    """
    begin = TAIL_AT + 2
    end = begin + _SIZES.get(value[TAIL_AT:begin], _NOWHERE)
    if end + 2 + _SIZES.get(value[end : end + 2], _NOWHERE) != len(value):
        begin, end = bytes_at(value, TAIL_AT)
        if bytes_at(value, end)[1] != len(value) or len(value) > SIZE_MAX_BYTES:
            raise BadRequest
    return value[begin:end]


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

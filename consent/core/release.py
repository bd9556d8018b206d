"""The fate of each answer and verdict met by release: the request table of protocol §4, cell by cell.

`fold` decides a whole chunk in order: uses counted and fates decided earlier in the chunk count for the later ones. Where the answer is
to be pulled it waits instead of being released, and is decided by the same rule when the collectivity itself asks for it. Where its data
set asks for a preview it waits for the person first, whoever asks; let through, it goes on as any other (ADR 0031).
Left to `consent.releases`: seals (an answer that does not open is a dead letter and never comes here), time, the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from consent.core.facts import Answer, Authorisation, Awaits, Handover, RequestKey, Verdict
from consent.core.rules import usable, within
from exchange.core.errors import Code
from exchange.core.sealing import Context, bound_rule

FateCode = Literal["released", "refused", "failed", "expired", "cancelled"]


class Row(NamedTuple):
    """A request's terminal row, or the answer that waits where it has none: `awaits` says for whom."""

    digest: bytes
    code: FateCode | Literal["waiting"]
    reason: str
    provider_code: str
    answer_digest: bytes
    confirmed: bool
    awaits: Awaits = "collectivity"


class Held(NamedTuple):
    """An authorisation as the transaction reads it: the operators' current recipient key ids, the certificates whose key exists, the
    operators who open their answers themselves, how many answers wait, and whether its data set asks for a preview."""

    authorisation: Authorisation
    recipient_keys: Mapping[str, bytes]
    keyed: frozenset[bytes]
    pulling: frozenset[str] = frozenset()
    waiting: int = 0
    preview: bool = False


class Seen(NamedTuple):
    """An item after the checks made without locks. `inner` is None where no key opened it. Of an answer: the transcript of its context, and
    what tells it from another to the same request (`answer_digest`)."""

    item: Answer | Verdict
    context: Context | None = None
    inner: bytes | None = None
    transcript: bytes = b""
    answer_digest: bytes = b""


class Fate(NamedTuple):
    """What to do with an item: `insert` a row, tell it `again`, let it `wait` for whom `awaits` says, tell a `conflict`, or `drop` it."""

    action: Literal["insert", "again", "wait", "conflict", "drop"]
    code: FateCode = "refused"
    delivery: Literal["none", "key", "cut"] = "none"
    reason: str = ""
    provider_code: str = ""
    answer_digest: bytes = b""
    """Of the sealed answer a row is inserted for, or that waits."""
    awaits: Awaits = "collectivity"


DROP = Fate("drop")


def pulling(a: Authorisation, handover: Handover) -> frozenset[str]:
    """The operators who open its answers themselves: those whose delegation says so, all where its data set's `handover` does."""
    return frozenset(a.operators if handover == "pull" else a.pulling)


def fold(
    seen: Sequence[Seen],
    rows: Mapping[RequestKey, Row],
    held: Mapping[bytes, Held],
    now_ms: int,
    *,
    pulled: bool = False,
) -> tuple[list[Fate], dict[bytes, int]]:
    """A fate per item, in order, and the uses of each authorisation that was used. `pulled`: the collectivity asks for them itself, or
    they can wait no longer."""
    decided, fates = dict(rows), list[Fate]()
    uses, waiting = dict[bytes, int](), dict[bytes, int]()
    for one in seen:
        key, standing = one.item.key, held.get(one.item.key.authorisation)
        used = uses.get(key.authorisation, standing.authorisation.uses if standing else 0)
        waits = waiting.get(key.authorisation, standing.waiting if standing else 0)
        fate = _fate(one, decided.get(key), standing, used, waits, now_ms, pulled=pulled)
        if fate.action == "insert":
            decided[key] = Row(one.item.digest, fate.code, fate.reason, fate.provider_code, fate.answer_digest, False)
            if fate.code == "released":
                uses[key.authorisation] = used + 1
        elif fate.action == "wait" and key not in decided:
            decided[key] = Row(one.item.digest, "waiting", "", "", fate.answer_digest, False, fate.awaits)
            waiting[key.authorisation] = waits + 1
        fates.append(fate)
    return fates, uses


def _fate(
    seen: Seen, row: Row | None, held: Held | None, uses: int, waiting: int, now_ms: int, *, pulled: bool
) -> Fate:
    pending = _pending(row, held)
    waits = pending or (not pulled and held is not None and seen.item.key.operator in held.pulling)
    if row is not None and (row.code != "waiting" or row.digest != seen.item.digest):
        return _met_again(seen, row, held, waits=waits)
    if isinstance(seen.item, Verdict):
        return _judged(seen.item, row, now_ms)
    assert seen.context is not None  # an answer without an attempt is a dead letter
    told = seen.answer_digest
    if row is not None and told != row.answer_digest:
        return DROP  # the one that waits came first
    if now_ms >= seen.context.deadline_ms:
        return Fate("insert", "expired", "none", Code.DEADLINE_PASSED, answer_digest=told)
    reason = refusal(seen, held, uses + waiting if waits and row is None else uses, now_ms)
    if reason is not None:
        return Fate("insert", "refused", "none", reason, answer_digest=told)
    if waits:
        return Fate("wait", "released", "none", answer_digest=told, awaits="person" if pending else "collectivity")
    return Fate("insert", "released", "key", answer_digest=told)


def _pending(row: Row | None, held: Held | None) -> bool:
    """Whether the person has still to let it through: nothing else of what is asked may do without."""
    if row is None:
        return held is not None and held.preview
    return row.code == "waiting" and row.awaits == "person"


def _judged(verdict: Verdict, row: Row | None, now_ms: int) -> Fate:
    if verdict.code == "expired" and now_ms < verdict.deadline_ms:
        return DROP  # the proposer's clock is fast
    if verdict.code == "failed" and row is not None:
        return DROP  # an answer waits: whoever failed was asked again after it
    return Fate("insert", verdict.code, reason=verdict.reason, provider_code=verdict.provider_code)


def _met_again(seen: Seen, row: Row, held: Held | None, *, waits: bool) -> Fate:
    if row.digest != seen.item.digest:
        return Fate("conflict", reason=Code.CONFLICT)
    if row.confirmed:
        return DROP
    if row.code != "released" and row.code != "waiting":
        return Fate("again", row.code, reason=row.reason, provider_code=row.provider_code)
    if waits or isinstance(seen.item, Verdict) or seen.answer_digest != row.answer_digest:
        return DROP
    opened = seen.inner is not None and seen.context is not None
    keyed = opened and held is not None and seen.context.certificate_hash in held.keyed  # type: ignore[union-attr]  # opened says context is there
    return Fate("again", "released", "key" if keyed else "cut")


def refusal(seen: Seen, held: Held | None, uses: int, now_ms: int) -> Code | None:
    """Why this answer may not be opened, or None (T-release step 3)."""
    if held is None or seen.context is None:
        return Code.AUTHORISATION_UNKNOWN
    a, context, operator = held.authorisation, seen.context, seen.item.key.operator
    reason = usable(a.state, a.not_before_ms, a.not_after_ms, uses, a.max_uses, now_ms)
    if reason is not None:
        return reason
    if operator not in a.operators or held.recipient_keys.get(operator) != context.recipient_key:
        return Code.DELEGATION_ABSENT
    if not within(context.scopes, a.habilitated):
        return Code.HABILITATION_ABSENT
    if context.certificate_hash != a.certificate_hash or seen.inner is None:
        return Code.CERTIFICATE_OUTDATED
    if context.rule_hash != bound_rule(a.rule_hash):
        return Code.RULE_MISMATCH
    if not context.scopes or not within(context.scopes, a.scopes):
        return Code.SCOPE_EXCEEDED
    return None

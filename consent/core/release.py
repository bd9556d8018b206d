"""The fate of each answer and verdict met by release: the request table of protocol §4, cell by cell.

`fold` decides a whole chunk in order: uses counted and fates decided earlier in the chunk count for the later ones.
Left to `consent.releases`: seals (an answer that does not open is a dead letter and never comes here), time, the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from consent.core.facts import Answer, Authorisation, RequestKey, Verdict
from consent.core.rules import usable
from exchange.core.errors import Code
from exchange.core.sealing import Context, answer_digest, bound_rule

FateCode = Literal["released", "refused", "failed", "expired", "cancelled"]


class Row(NamedTuple):
    """A request's terminal row."""

    digest: bytes
    code: FateCode
    reason: str
    provider_code: str
    answer_digest: bytes
    confirmed: bool


class Held(NamedTuple):
    """An authorisation as the transaction reads it: the operators' current recipient key ids, the certificates whose key exists."""

    authorisation: Authorisation
    recipient_keys: Mapping[str, bytes]
    keyed: frozenset[bytes]


class Seen(NamedTuple):
    """An item after the checks made without locks. `inner` is None where no key opened it."""

    item: Answer | Verdict
    context: Context | None = None
    inner: bytes | None = None


class Fate(NamedTuple):
    """What to do with an item: `insert` a row, tell it `again`, tell a `conflict`, or `drop` it."""

    action: Literal["insert", "again", "conflict", "drop"]
    code: FateCode = "refused"
    delivery: Literal["none", "key", "cut"] = "none"
    reason: str = ""
    provider_code: str = ""
    answer_digest: bytes = b""
    """Of the sealed answer a row is inserted for."""


DROP = Fate("drop")


def fold(
    seen: Sequence[Seen], rows: Mapping[RequestKey, Row], held: Mapping[bytes, Held], now_ms: int
) -> tuple[list[Fate], dict[bytes, int]]:
    """A fate per item, in order, and the uses of each authorisation that was used."""
    decided, fates = dict(rows), list[Fate]()
    uses: dict[bytes, int] = {}
    for one in seen:
        key, standing = one.item.key, held.get(one.item.key.authorisation)
        used = uses.get(key.authorisation, standing.authorisation.uses if standing else 0)
        fate = _fate(one, decided.get(key), standing, used, now_ms)
        if fate.action == "insert":
            decided[key] = Row(one.item.digest, fate.code, fate.reason, fate.provider_code, fate.answer_digest, False)
            if fate.code == "released":
                uses[key.authorisation] = used + 1
        fates.append(fate)
    return fates, uses


def _fate(seen: Seen, row: Row | None, held: Held | None, uses: int, now_ms: int) -> Fate:
    if row is not None:
        return _met_again(seen, row, held)
    if isinstance(seen.item, Verdict):
        verdict = seen.item
        if verdict.code == "expired" and now_ms < verdict.deadline_ms:
            return DROP  # the proposer's clock is fast
        return Fate("insert", verdict.code, reason=verdict.reason, provider_code=verdict.provider_code)
    assert seen.context is not None  # an answer without an attempt is a dead letter
    told = answer_digest(seen.item.tag, seen.item.sealed_key, seen.item.outer)
    if now_ms >= seen.context.deadline_ms:
        return Fate("insert", "expired", "none", Code.DEADLINE_PASSED, answer_digest=told)
    reason = refusal(seen, held, uses, now_ms)
    if reason is not None:
        return Fate("insert", "refused", "none", reason, answer_digest=told)
    return Fate("insert", "released", "key", answer_digest=told)


def _met_again(seen: Seen, row: Row, held: Held | None) -> Fate:
    if row.digest != seen.item.digest:
        return Fate("conflict", reason=Code.CONFLICT)
    if row.confirmed:
        return DROP
    if row.code != "released":
        return Fate("again", row.code, reason=row.reason, provider_code=row.provider_code)
    item = seen.item
    if isinstance(item, Verdict) or answer_digest(item.tag, item.sealed_key, item.outer) != row.answer_digest:
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
    if not _within(context.scopes, a.habilitated):
        return Code.HABILITATION_ABSENT
    if context.certificate_hash != a.certificate_hash or seen.inner is None:
        return Code.CERTIFICATE_OUTDATED
    if context.rule_hash != bound_rule(a.rule_hash):
        return Code.RULE_MISMATCH
    if not context.scopes or not _within(context.scopes, a.scopes):
        return Code.SCOPE_EXCEEDED
    return None


@lru_cache(maxsize=1024)
def _within(scopes: tuple[str, ...], allowed: tuple[str, ...]) -> bool:
    return set(scopes) <= set(allowed)

"""Whether a request may go to the provider. Steps, in order; the first that says no gives the reason:

(1) the data set exists; (2) only its parameters are asked; (3) an authorisation exists; (4) the operator has the recipient's
delegation; (5) recipient, data set, purpose and rule are the authorisation's; (6) the scopes are within it; (7) the recipient has
the habilitation for them; (8) the certificate relied upon is the current one; (9) the authorisation is live and within its
validity and uses.

Not here: decoding and the topic's SIREN (`exchange.agents.gate`), the deadline (the ledger's clock), whether an answer may be
opened (`consent.core.release`, which asks (4)–(9) again and is the authority).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from consent.core.facts import Authorisation, Handover
from consent.core.rules import usable
from exchange.core import watch
from exchange.core.errors import Code
from exchange.core.rule import rule_hash

TTL_MIN_MS, TTL_MAX_MS = 1_000, 48 * 3_600_000


class DataSet(NamedTuple):
    """A catalogue entry: who answers, with which scopes, selected by which parameters, how answers are handed over, and whether the person
    is asked before each is."""

    name: str
    provider: str
    scopes: frozenset[str]
    parameters: frozenset[str]
    handover: Handover = "push"
    preview: bool = False


class Ask(NamedTuple):
    """What is asked, as decoded from the request. `rule`: the signed rule whose answer is asked, empty for the data themselves;
    `watch_every_ms`: look again this often, 0 for once, until `watch_until_ms`, 0 for as long as the authorisation lasts."""

    recipient: str
    data_set: str
    purpose: str
    scopes: tuple[str, ...]
    parameters: tuple[tuple[str, str], ...]
    rule: bytes = b""
    watch_every_ms: int = 0
    watch_until_ms: int = 0


class Agreed(Protocol):
    """Of an authorisation, all that does not depend on the instant (fields as in `Authorisation`)."""

    @property
    def recipient(self) -> str: ...
    @property
    def data_set(self) -> str: ...
    @property
    def purpose(self) -> str: ...
    @property
    def scopes(self) -> tuple[str, ...]: ...
    @property
    def operators(self) -> tuple[str, ...]: ...
    @property
    def habilitated(self) -> tuple[str, ...]: ...
    @property
    def rule_hash(self) -> bytes: ...
    @property
    def watch_every_ms(self) -> int: ...


class Decision(NamedTuple):
    """Allowed, or refused with its reason."""

    reason: Code | None

    @property
    def allowed(self) -> bool:
        return self.reason is None


ALLOWED = Decision(None)


def standing(ask: Ask, operator: str, held: Agreed | None, data_sets: Mapping[str, DataSet]) -> Decision:
    """Steps (1)–(7): what does not depend on the instant nor on the request, and may be remembered for an ask."""
    data_set = data_sets.get(ask.data_set)
    if data_set is None:  # (1)
        return Decision(Code.DATA_SET_UNKNOWN)
    if not {name for name, _ in ask.parameters} <= data_set.parameters:  # (2)
        return Decision(Code.PARAMETER_UNKNOWN)
    if held is None:  # (3)
        return Decision(Code.AUTHORISATION_UNKNOWN)
    if operator not in held.operators:  # (4)
        return Decision(Code.DELEGATION_ABSENT)
    if (mismatch := _mismatch(ask, held)) is not None:  # (5)
        return Decision(mismatch)
    if not set(ask.scopes) <= set(held.scopes) or not ask.scopes:  # (6)
        return Decision(Code.SCOPE_EXCEEDED)
    if not set(ask.scopes) <= set(held.habilitated):  # (7)
        return Decision(Code.HABILITATION_ABSENT)
    if not watch.allowed(ask.watch_every_ms, ask.watch_until_ms, held.watch_every_ms):
        return Decision(Code.WATCH_EXCEEDED)
    return ALLOWED


def _mismatch(ask: Ask, held: Agreed) -> Code | None:
    if ask.recipient != held.recipient:
        return Code.RECIPIENT_MISMATCH
    if ask.data_set != held.data_set:
        return Code.DATA_SET_MISMATCH
    if ask.purpose != held.purpose:
        return Code.PURPOSE_MISMATCH
    # Neither way: an agreement is to the data, or to this one answer (ADR 0018).
    if rule_hash(ask.rule) != held.rule_hash:
        return Code.RULE_MISMATCH
    return None


def instant(held: Authorisation, certificate_hash: bytes, ttl_ms: int, now_ms: int) -> Decision:
    """Steps (8) and (9): what may change between two requests."""
    if not TTL_MIN_MS <= ttl_ms <= TTL_MAX_MS:
        return Decision(Code.TTL_OUT_OF_BOUNDS)
    reason = usable(held.state, held.not_before_ms, held.not_after_ms, held.uses, held.max_uses, now_ms)  # (9)
    if reason is None and certificate_hash != held.certificate_hash:  # (8)
        return Decision(Code.CERTIFICATE_OUTDATED)
    return Decision(reason)

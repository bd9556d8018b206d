"""From rights in DataPass's words to habilitations in ours: which data sets and purposes a definition opens, and what must be written
in the ledger for it to hold that and no more."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec

from consent.core.facts import Habilitation
from exchange.core.datapass.events import Right
from exchange.core.referentials import is_purpose, is_siret

DAY_MS = 86_400_000
Key = tuple[str, str, str]
"""Recipient, data set, purpose."""
Reason = Literal["revoked", "changed", "approved", "renewed"]
_SPACES = re.compile(r"[\s.]+")
_LEGAL_MAX_CHARS = 300


class BadMapping(ValueError):
    """A mapping that names what does not exist; says what."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One definition opens one data set for some purposes; `scopes` renames those that have another name with us."""

    definition: str
    data_set: str
    purposes: tuple[str, ...]
    scopes: dict[str, str] = {}


class Legal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A legal basis that `contains` this (spaces and dots aside) is cited as `reference`."""

    contains: str
    reference: str


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The mapping file. An habilitation holds `validity_days` after DataPass last confirmed it; `excluded` recipients get none."""

    habilitations: tuple[Line, ...]
    legal_references: tuple[Legal, ...] = ()
    validity_days: int = 400
    excluded: tuple[str, ...] = ()


class Entitlement(NamedTuple):
    """What a recipient may ask of a data set for a purpose, by which text."""

    scopes: tuple[str, ...]
    legal_reference: str


class Act(NamedTuple):
    """A call of the ledger's `habilitate`, and why."""

    habilitation: Habilitation
    reason: Reason


def check(mapping: Rules, data_sets: Mapping[str, frozenset[str]]) -> Rules:
    """The same mapping; BadMapping unless all it names exists. `data_sets` are their scopes by name."""
    for one in mapping.habilitations:
        if one.data_set not in data_sets:
            raise BadMapping(f"data_set: {one.data_set}")
        unknown = [p for p in one.purposes if not is_purpose(p)] or [
            s for s in one.scopes.values() if s not in data_sets[one.data_set]
        ]
        if unknown or not one.purposes:
            raise BadMapping(f"{one.definition}: {', '.join(unknown) or 'purposes'}")
    if not 1 <= mapping.validity_days <= 3_650:
        raise BadMapping("validity_days")
    if not all(map(is_siret, mapping.excluded)):
        raise BadMapping("excluded")
    return mapping


def entitlements(
    rights: Iterable[Right], mapping: Rules, data_sets: Mapping[str, frozenset[str]]
) -> dict[Key, Entitlement]:
    """What these rights come to; several demandes add up. Of several legal bases the first in alphabetical order is cited."""
    found: dict[Key, tuple[set[str], set[str]]] = {}
    for right in rights:
        for key, scope in _opened(right, mapping, data_sets):
            given, texts = found.setdefault(key, (set(), set()))
            given.add(scope)
            texts.add(legal_reference(right.legal, mapping))
    return {key: Entitlement(tuple(sorted(given)), min(texts)) for key, (given, texts) in found.items()}


def _opened(right: Right, mapping: Rules, data_sets: Mapping[str, frozenset[str]]) -> Iterator[tuple[Key, str]]:
    if right.recipient in mapping.excluded:
        return
    for one in mapping.habilitations:
        scope = one.scopes.get(right.scope, right.scope)
        if one.definition == right.definition and scope in data_sets[one.data_set]:
            for purpose in one.purposes:
                yield (right.recipient, one.data_set, purpose), scope


def legal_reference(text: str, mapping: Rules) -> str:
    """How the ledger cites a legal basis; in its own words where no line of the mapping knows it."""
    plain = _plain(text)
    for known in mapping.legal_references:
        if _plain(known.contains) in plain:
            return known.reference
    return text[:_LEGAL_MAX_CHARS]


def _plain(text: str) -> str:
    return _SPACES.sub("", text.replace("\N{NON-BREAKING HYPHEN}", "-")).casefold()


def plan(
    keys: Iterable[Key], wanted: Mapping[Key, Entitlement], held: Iterable[Habilitation], now_ms: int, validity_ms: int
) -> list[Act]:
    """What must be written for the ledger to hold what is wanted, for these keys and no other; what takes away comes first. An
    habilitation is renewed once less than half its validity is left."""
    found = {(h.recipient, h.data_set, h.purpose): h for h in held}
    acts = [
        act for key in sorted(set(keys)) if (act := _act(key, wanted.get(key), found.get(key), now_ms, validity_ms))
    ]
    return sorted(acts, key=lambda act: act.reason not in ("revoked", "changed"))


def _act(key: Key, wanted: Entitlement | None, held: Habilitation | None, now_ms: int, validity_ms: int) -> Act | None:
    live = held is not None and bool(held.scopes)
    if wanted is None:
        ended = Habilitation(*key, (), held.legal_reference if held else "", now_ms)
        return Act(ended, "revoked") if live else None
    whole = Habilitation(*key, wanted.scopes, wanted.legal_reference, now_ms + validity_ms)
    if held is None or not live or held.not_after_ms <= now_ms:
        return Act(whole, "approved")
    if (held.scopes, held.legal_reference) != (wanted.scopes, wanted.legal_reference):
        return Act(whole, "changed")
    return Act(whole, "renewed") if held.not_after_ms < now_ms + validity_ms // 2 else None

"""Where the ledger and DataPass's monthly open data disagree (data.gouv.fr, « Habilitations Datapass validées »: active habilitations,
written on the first of the month; columns as of DataPass `docs/datagouv-habilitations-sync.md`)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from consent.core.facts import Habilitation
from exchange.core.datapass.events import Right, line, scopes
from exchange.core.datapass.mapping import Entitlement, Key, Rules
from exchange.core.referentials import is_siret

API, SIRET, SCOPES, LEGAL = "API ou Service demandé", "SIRET du demandeur", "Données demandées", "Fondement juridique"
Kind = Literal["missing", "extra", "scopes", "legal_reference"]
_ACRONYM, _WORD = re.compile(r"([A-Z]+)([A-Z][a-z])"), re.compile(r"([a-z\d])([A-Z])")


class BadTable(ValueError):
    """Not the open CSV; names the column that is not there."""


class Drift(NamedTuple):
    """One disagreement: in DataPass and not here (`missing`), here and not there (`extra`), or other scopes or another legal basis."""

    kind: Kind
    key: Key
    here: Entitlement | None
    there: Entitlement | None


class Table(NamedTuple):
    """The rights in the open CSV, and the numbers of lines left aside because their SIRET is none."""

    rights: tuple[Right, ...]
    aside: tuple[int, ...]


def read(lines: Iterable[str]) -> Table:
    """The open CSV; columns in any order, others left alone."""
    reader = csv.DictReader(lines)
    absent = [name for name in (API, SIRET, SCOPES, LEGAL) if name not in (reader.fieldnames or ())]
    if absent:
        raise BadTable(absent[0])
    found: list[Right] = []
    aside: list[int] = []
    try:
        for row in reader:
            siret = (row[SIRET] or "").strip()
            if not is_siret(siret):
                aside.append(reader.line_num)
                continue
            definition, legal = definition_of(row[API] or ""), line(row[LEGAL])
            found += [Right(siret, definition, scope, legal) for scope in scopes(row[SCOPES])]
    except csv.Error:
        raise BadTable(f"{reader.line_num}") from None
    return Table(tuple(found), tuple(aside))


def definition_of(name: str) -> str:
    """`api_particulier` of `APIParticulier`: the CSV names a definition by its class."""
    return _WORD.sub(r"\1_\2", _ACRONYM.sub(r"\1_\2", name.strip())).lower()


def compare(
    wanted: Mapping[Key, Entitlement],
    held: Iterable[Habilitation],
    rules: Rules,
    recipients: frozenset[str] | None,
    now_ms: int,
) -> list[Drift]:
    """All disagreements about what the mapping opens, in order. Of `recipients` only, where some are given: the open data are about all
    of France."""
    opened = {(one.data_set, purpose) for one in rules.habilitations for purpose in one.purposes}
    here = {
        (h.recipient, h.data_set, h.purpose): Entitlement(tuple(sorted(h.scopes)), h.legal_reference)
        for h in held
        if h.scopes and h.not_after_ms > now_ms and (h.data_set, h.purpose) in opened
    }
    keys = [key for key in sorted({*here, *wanted}) if recipients is None or key[0] in recipients]
    return [drift for key in keys for drift in _differences(key, here.get(key), wanted.get(key))]


def _differences(key: Key, here: Entitlement | None, there: Entitlement | None) -> list[Drift]:
    if here is None or there is None:
        return [Drift("missing" if here is None else "extra", key, here, there)]
    kinds: list[Kind] = []
    if here.scopes != there.scopes:
        kinds.append("scopes")
    if here.legal_reference != there.legal_reference:
        kinds.append("legal_reference")
    return [Drift(kind, key, here, there) for kind in kinds]

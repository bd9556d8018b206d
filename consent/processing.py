"""The register of processing activities (GDPR art. 30), derived: who may ask what and why from habilitations and delegations, what
it holds from the catalogue of schemas, how long and how often from the authorisations given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select

from consent.core.query import Activity, Register
from consent.officers import ask
from consent.queries import among
from consent.stores import tables as t
from consent.transaction import Transaction
from exchange.core.errors import Code
from exchange.data_sets import DATA_SETS
from exchange.schemas import UnknownSchema, catalogue

_Key = tuple[str, str, str]


def processing(tx: Transaction, officer: str, reason: str) -> Register | Code:
    """One activity for each habilitation of the perimeter, those that are over as well while authorisations of theirs remain."""
    head = ask(tx, officer, reason, {"act": "register"})
    if isinstance(head, Code):
        return head
    h = t.habilitation.c
    rows = tx.connection.execute(select(t.habilitation).order_by(h.recipient, h.data_set, h.purpose)).all()
    counts, processors = _counts(tx, head.recipients), _processors(tx)
    seen = [row for row in rows if not head.recipients or row.recipient in head.recipients]
    return Register(head, tuple(_activity(row, counts, processors.get(row.recipient, []), tx.now_ms) for row in seen))


def _counts(tx: Transaction, recipients: Sequence[str]) -> dict[_Key, list[Any]]:
    a = t.authorisation.c
    query = select(a.recipient, a.data_set, a.purpose, a.state, a.basis, func.count().label("count"),
                   func.min(a.data_life_days).label("shortest"), func.max(a.data_life_days).label("longest"))  # fmt: skip
    if recipients:
        query = query.where(among(recipients))
    counts: dict[_Key, list[Any]] = {}
    for row in tx.connection.execute(query.group_by(a.recipient, a.data_set, a.purpose, a.state, a.basis)):
        counts.setdefault((row.recipient, row.data_set, row.purpose), []).append(row)
    return counts


def _processors(tx: Transaction) -> dict[str, list[str]]:
    d, found = t.delegation.c, dict[str, list[str]]()
    for row in tx.connection.execute(select(t.delegation).where(d.not_after > tx.now_ms).order_by(d.operator)):
        found.setdefault(row.recipient, []).append(row.operator)
    return found


def _activity(row: Any, counts: Mapping[_Key, Sequence[Any]], processors: Sequence[str], now_ms: int) -> Activity:
    held, scopes = counts.get((row.recipient, row.data_set, row.purpose), []), json.loads(row.scopes)
    title, docs = _described(row.data_set)
    states: dict[str, int] = {}
    for line in held:
        states[line.state] = states.get(line.state, 0) + line.count
    known = DATA_SETS.get(row.data_set)
    return Activity(
        row.recipient, tuple(processors), row.purpose, row.data_set, title, known.provider if known else "",
        tuple((scope, docs.get(scope, "")) for scope in scopes), row.legal_reference, tuple(sorted({line.basis for line in held})),
        row.not_after, bool(scopes) and now_ms < row.not_after,
        (min((line.shortest for line in held), default=0), max((line.longest for line in held), default=0)), states,
    )  # fmt: skip


def _described(data_set: str) -> tuple[str, dict[str, str]]:
    """A data set's own words: what it is, and what each scope holds. A field's doc ends with `Scope <name>.`"""
    try:
        schema = catalogue().codec_of_data_set(data_set).schema
    except UnknownSchema:
        return data_set, {}
    docs = {}
    for field in schema["fields"]:
        doc, scope, name = str(field.get("doc", "")).partition(" Scope ")
        if scope:
            docs[name.rstrip(".")] = doc
    return str(schema.get("doc", data_set)).partition(". ")[0], docs

"""The data protection officer's questions, answered from the store in one transaction: the question is appended, a head is signed
that covers it, and what is read then is exactly the ledger of that head.

Each answers a code instead where the officer may not ask: the transaction is then committed all the same, for the leaf's sake.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from consent.attempts import row_key
from consent.core.facts import RequestKey
from consent.core.query import (
    Breach,
    Call,
    Found,
    Ground,
    Grounds,
    Head,
    Passed,
    Query,
    Touched,
    asked,
    cursor,
    delivery,
    inside,
    next_cursor,
    period,
)
from consent.officers import ask
from consent.sightings import facts, rows
from consent.stores import tables as t
from consent.stores.batch import select_rows
from consent.transaction import Transaction, read_scopes
from exchange.core.errors import Code
from exchange.core.identity import read, subject_reference
from exchange.core.topics import RETENTION_MS

_a = t.authorisation.c


def find(tx: Transaction, officer: str, reason: str, query: Query, proofs: bool) -> Found | Code:
    """A page of the authorisations that match, newest first."""
    about: dict[str, object] = {"act": "query", "query": asked(query)}
    head = ask(tx, officer, reason, about, recipient=query.recipient, subject=query.subject)
    if isinstance(head, Code):
        return head
    where = _where(query, head.recipients)
    total = int(tx.connection.execute(select(func.count()).select_from(t.authorisation).where(*where)).scalar_one())
    if query.after:
        at_ms, last = cursor(query.after)
        where.append((_a.at < at_ms) | ((_a.at == at_ms) & (_a.id < last)))
    page = select(t.authorisation).where(*where).order_by(_a.at.desc(), _a.id.desc()).limit(query.limit + 1)
    found = tx.connection.execute(page).all()
    told = rows(tx, head, found[: query.limit], proofs=proofs)
    return Found(head, total, tuple(told), next_cursor(told, len(found) > query.limit))


def _where(query: Query, recipients: Sequence[str]) -> list[ColumnElement[bool]]:
    equal = {
        _a.subject_ref: query.subject, _a.operator: query.operator, _a.data_set: query.data_set, _a.purpose: query.purpose,
        _a.basis: query.basis, _a.channel: query.channel, _a.state: query.state,
    }  # fmt: skip
    where = [column == value for column, value in equal.items() if value]
    if query.agent:
        where.append(t.by_agent(query.agent))
    if query.from_ms:
        where.append(_a.at >= query.from_ms)
    if query.to_ms:
        where.append(_a.at < query.to_ms)
    return where + ([among(recipients, indexed=not query.subject)] if recipients else [])


def among(recipients: Sequence[str], *, indexed: bool = True) -> ColumnElement[bool]:
    """Within a perimeter. Not `indexed`: a person's few rows are sought by their reference, not through all the recipient's."""
    column: ColumnElement[str] = _a.recipient if indexed else func.coalesce(_a.recipient, "")
    return column == recipients[0] if len(recipients) == 1 else column.in_(recipients)


def basis(tx: Transaction, officer: str, reason: str, request: bytes) -> Grounds | Code:
    """On what basis this request was released, or else how it ended; `NOTHING_FOUND` also where it is outside the perimeter."""
    ends = {row_key(r): r for r in tx.connection.execute(select(t.terminal).where(t.terminal.c.request == request))}
    calls: dict[RequestKey, list[Any]] = {}
    for row in tx.connection.execute(select(t.attempt).where(t.attempt.c.request == request).order_by(t.attempt.c.at)):
        calls.setdefault(row_key(row), []).append(row)
    keys = sorted(ends.keys() | calls.keys(), key=lambda k: (k.operator, k.authorisation))
    held = {r.id: r for r in select_rows(tx.connection, t.authorisation, "id", [k.authorisation for k in keys])}
    subjects = {row.subject_ref for row in held.values()}
    about: dict[str, object] = {"act": "basis", "request": request.hex()}
    head = ask(tx, officer, reason, about, subject=subjects.pop() if len(subjects) == 1 else b"")
    if isinstance(head, Code):
        return head
    seen = [k for k in keys if k.authorisation in held and inside(held[k.authorisation].recipient, head)]
    if not seen:
        return Code.NOTHING_FOUND
    return Grounds(
        head, tuple(_ground(tx, head, k, held[k.authorisation], ends.get(k), calls.get(k, [])) for k in seen)
    )


def _ground(tx: Transaction, head: Head, key: RequestKey, held: Any, end: Any, calls: Sequence[Any]) -> Ground:
    until = end.leaf_index if end is not None else tx.size
    before = t.about(key.authorisation) & (t.leaf.c.idx < until)
    own = tx.connection.execute(select(t.leaf).where(before | (t.leaf.c.idx == until))).all()
    told = facts(tx, head, [*_entitled(tx, held, key.operator, until), *own], proofs=True, contents=True)
    (seen,) = rows(tx, head, [held], proofs=True)
    return Ground(
        key.request, key.operator, end.code if end else "", end.reason if end else "", end.provider_code if end else "",
        delivery(end.code, end.with_key) if end else "none", end.at if end else 0,
        end.deadline if end else max(c.deadline for c in calls), (end.confirmed_at or 0) if end else 0, end.worker if end else "",
        seen, tuple(call(c) for c in calls), tuple(sorted(told, key=lambda f: f.index)),
    )  # fmt: skip


def _entitled(tx: Transaction, held: Any, operator: str, until: int) -> list[Any]:
    """The last habilitation and the last delegation before a leaf that this request rested on."""
    resting = {
        "habilitation": {"recipient": held.recipient, "data_set": held.data_set, "purpose": held.purpose},
        "delegation": {"recipient": held.recipient, "operator": operator},
    }
    found = []
    for kind, wanted in resting.items():
        registered = select(t.leaf).where(t.about(b""), t.leaf.c.kind == kind, t.leaf.c.idx < until)
        for row in tx.connection.execute(registered.order_by(t.leaf.c.idx.desc())):
            said = json.loads(tx.open_content(row)[1])
            if all(said[name] == value for name, value in wanted.items()):
                found.append(row)
                break
    return found


def call(row: Any) -> Call:
    """A call of the State's API."""
    return Call(
        row.n,
        row.at,
        row.worker,
        read_scopes(row.scopes),
        row.schema_hash,
        row.rule_hash,
        row.certificate_hash,
        row.deadline,
    )


def breach(tx: Transaction, officer: str, reason: str, worker: str, from_ms: int, to_ms: int) -> Breach | Code:
    """Which requests passed through a worker in a period: told or told again by it, or called for by it. An outcome told several
    times counts for the whole time between. ValueError if it is no period."""
    period(from_ms, to_ms)
    head = ask(tx, officer, reason, {"act": "breach", "worker": worker, "from_ms": from_ms, "to_ms": to_ms})
    if isinstance(head, Code):
        return head
    passed = sorted(
        _told(tx, worker, from_ms, to_ms) + _called(tx, worker, from_ms, to_ms), key=lambda r: (r[-3], r[0])
    )
    held = _named(tx, sorted({row[1] for row in passed}))
    seen = tuple(
        Passed(request, a, *held[a], *rest) for request, a, *rest in passed if a in held and inside(held[a][0], head)
    )
    return Breach(head, _touched(seen), seen)


def _told(tx: Transaction, worker: str, from_ms: int, to_ms: int) -> list[tuple[Any, ...]]:
    c = t.terminal.c
    within = select(t.terminal).where(
        c.at >= from_ms - RETENTION_MS, c.handed_at >= from_ms,
        or_(c.worker == worker, c.worker.contains(worker, autoescape=True)),
    )  # fmt: skip
    if to_ms:
        within = within.where(c.at < to_ms)
    return [
        (r.request, r.authorisation, "terminal", r.code, delivery(r.code, r.with_key), r.at, r.handed_at, r.leaf_index)
        for r in tx.connection.execute(within) if worker in r.worker.split("\n")
    ]  # fmt: skip


def _called(tx: Transaction, worker: str, from_ms: int, to_ms: int) -> list[tuple[Any, ...]]:
    c = t.attempt.c
    within = select(t.attempt).where(c.at >= from_ms, c.worker == worker)
    if to_ms:
        within = within.where(c.at < to_ms)
    return [(r.request, r.authorisation, "attempt", "", "none", r.at, r.at, -1) for r in tx.connection.execute(within)]


def _named(tx: Transaction, ids: Sequence[bytes]) -> dict[bytes, tuple[str, bytes]]:
    """Recipient and subject of authorisations."""
    rows = select_rows(tx.connection, t.authorisation, "id", ids, ("id", "recipient", "subject_ref"))
    return {row.id: (row.recipient, row.subject_ref) for row in rows}


def _touched(passed: Sequence[Passed]) -> tuple[Touched, ...]:
    by_recipient: dict[str, tuple[set[bytes], set[bytes], set[bytes]]] = {}
    for p in passed:
        seen = by_recipient.setdefault(p.recipient, (set(), set(), set()))
        for values, value in zip(seen, (p.request, p.authorisation, p.subject), strict=True):
            values.add(value)
    return tuple(Touched(recipient, *map(len, seen)) for recipient, seen in sorted(by_recipient.items()))


def refer(tx: Transaction, officer: str, reason: str, identity: bytes, recipient: str) -> bytes | Code:
    """The pairwise reference of a person (canonical identity) at a recipient, computed and forgotten. `BadIdentity` if it is none."""
    read(identity)
    subject = subject_reference(tx.keys.secrets["pseudonym.key"], recipient, identity)
    head = ask(tx, officer, reason, {"act": "refer", "recipient": recipient}, recipient=recipient, subject=subject)
    return head if isinstance(head, Code) else subject

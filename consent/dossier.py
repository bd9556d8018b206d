"""Everything about a person at one recipient, read in one transaction and signed (GDPR art. 15)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import chain
from typing import Any

from sqlalchemy import select

from consent.core import note
from consent.core.dossier import note_text, plain, write
from consent.core.query import Head, Signed, delivery
from consent.grants import person
from consent.officers import ask, file_of
from consent.queries import among, call
from consent.sightings import facts, of_authorisation, row
from consent.stores import tables as t
from consent.transaction import Transaction
from exchange.core.errors import Code
from exchange.core.identity import read

_a = t.authorisation.c


def dossier(tx: Transaction, officer: str, reason: str, subject: bytes, authorisation: bytes) -> Signed | Code:
    """Of the person of that reference, or of that authorisation; `NOTHING_FOUND` also where they are outside the perimeter."""
    if not subject and authorisation:
        found = tx.connection.execute(select(_a.subject_ref).where(_a.id == authorisation)).first()
        subject = found.subject_ref if found else b""
    about: dict[str, object] = {"act": "dossier", "subject": subject.hex(), "authorisation": authorisation.hex()}
    head = ask(tx, officer, reason, about, subject=subject)
    if isinstance(head, Code):
        return head
    rows = _rows(tx, head, _a.subject_ref == subject if subject else _a.id == authorisation)
    if not rows:
        return Code.NOTHING_FOUND
    leaves = [leaf for a in rows for leaf in of_authorisation(tx.connection, a.id)]
    leaves += of_authorisation(tx.connection, file_of(tx, subject)) if subject else []
    told = facts(tx, head, sorted(leaves, key=lambda leaf: int(leaf.idx)), proofs=True, contents=True)
    spoken = _rows(tx, head, _a.representative_ref == subject) if subject else []
    checkpoint = note.parse_checkpoint(note.split(head.checkpoint)[0])
    document = write(checkpoint, head.checkpoint, told, {
        "made_at_ms": tx.now_ms, "recipient": rows[0].recipient, "subject": subject.hex(), "person": _identity(tx, rows),
        "authorisations": [_authorisation(tx, a, told) for a in rows], "spoke_for": [a.id.hex() for a in spoken],
        "questions": [f.index for f in told if f.kind == "queried"],
    })  # fmt: skip
    return Signed(document, note.sign(note_text(checkpoint, document), tx.keys.origin, tx.keys.log))


def _rows(tx: Transaction, head: Head, which: Any) -> Sequence[Any]:
    query = select(t.authorisation).where(which).order_by(_a.grant_leaf)
    return tx.connection.execute(query.where(among(head.recipients, indexed=False)) if head.recipients else query).all()


def _identity(tx: Transaction, rows: Sequence[Any]) -> dict[str, Any] | None:
    """The identity held; None where there is none any more, or never was (a refusal)."""
    for a in rows:
        if a.person and tx.content_cipher(a.id):
            return asdict(read(person(tx, a)[1]))
    return None


def _authorisation(tx: Transaction, a: Any, told: Sequence[Any]) -> dict[str, Any]:
    k = t.attempt.c
    found = [tx.connection.execute(select(t.terminal).where(of(a.id))).all() for of in (t.releases, t.other_ends)]
    ends = sorted(chain(*found), key=lambda row: (row.at, row.leaf_index))
    calls = tx.connection.execute(select(t.attempt).where(k.authorisation == a.id).order_by(k.at)).all()
    requests: dict[bytes, dict[str, Any]] = {
        r.request: {"request": r.request.hex(), "operator": r.operator, "code": "", "calls": []}
        for r in [*calls, *ends]
    }
    for r in ends:
        requests[r.request] |= {
            "code": r.code, "reason": r.reason, "provider_code": r.provider_code, "decided_at_ms": r.at, "worker": r.worker,
            "delivery": delivery(r.code, r.with_key), "leaf_index": r.leaf_index,
        }  # fmt: skip
    for r in calls:
        requests[r.request]["calls"].append(plain(call(r)))
    first = next(f for f in told if f.index == a.grant_leaf)
    fields: dict[str, Any] = plain(row(a, first))
    del fields["fact"]
    return fields | {"leaf_index": a.grant_leaf, "requests": list(requests.values())}

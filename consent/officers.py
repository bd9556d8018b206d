"""Data protection officers: appointed by the registrar, and watched. Whatever an officer asks is a leaf, also what is refused.

What a question says (who, why, what) is encrypted like any fact, in a file of its own: one for each person asked about, whose key
dies with the person's erasure, and one for all other questions.
"""

from __future__ import annotations

import json
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, insert, select

from consent import heads
from consent.core.query import Head, Officer, check_officer, perimeter, stated
from consent.stores import tables as t
from consent.transaction import Leaf, Transaction
from exchange.core.encoding import digest
from exchange.core.errors import Code
from exchange.ports import Refused

T = TypeVar("T")
_SUBJECT = b"accord.officers.v1"
"""Whom the file without a person is about, for its key."""


def answered(answer: T | Code) -> T:
    """The answer of a transaction that is committed; `Refused` where it is a code."""
    if isinstance(answer, Code):
        raise Refused(answer)
    return answer


def appoint(tx: Transaction, officer: Officer) -> int:
    """From now on, until then, within that perimeter; a time in the past ends it. The leaf's index. ValueError if it names nobody."""
    check_officer(officer)
    values = {
        "name": officer.name,
        "recipients": json.dumps(sorted(officer.recipients)),
        "not_after": officer.not_after_ms,
    }
    tx.connection.execute(t.officer.delete().where(t.officer.c.name == officer.name))
    tx.connection.execute(insert(t.officer).values(values))
    return _append(tx, "officer", file_of(tx), b"", values).index


def held(connection: Connection, name: str) -> Officer | None:
    """The officer of that name, also one whose time is over."""
    row = connection.execute(select(t.officer).where(t.officer.c.name == name)).first()
    return Officer(row.name, tuple(json.loads(row.recipients)), row.not_after) if row else None


def ask(
    tx: Transaction, officer: str, reason: str, about: dict[str, object], *, recipient: str = "", subject: bytes = b""
) -> Head | Code:
    """A question, appended first, so that the checkpoint it is answered against covers it; a code where there is no answer, and
    the leaf stays. `Refused` without a reason: that is no question."""
    if stated(officer, reason):
        raise Refused(Code.REASON_MISSING)
    allowed = perimeter(held(tx.connection, officer), recipient, tx.now_ms)
    refusal = allowed if isinstance(allowed, Code) else None
    leaf = note(tx, officer, reason, about | ({"refused": refusal} if refusal else {}), subject)
    if isinstance(allowed, Code):
        return allowed
    tx.finish()
    return Head(heads.sign(tx).note, leaf.index, allowed)


def note(tx: Transaction, officer: str, reason: str, about: dict[str, object], subject: bytes = b"") -> Leaf:
    """A leaf on what an officer does, in the file of the person it is about if the ledger knows one."""
    known = bool(subject) and _known(tx.connection, subject)
    content = {"officer": officer, "reason": reason} | about
    return _append(tx, "queried", file_of(tx, subject if known else b""), subject if known else b"", content)


def file_of(tx: Transaction, subject: bytes = b"") -> bytes:
    """Where questions about a person are kept, 16 bytes in the place of an authorisation's id; that of all others without one."""
    return digest(_SUBJECT, tx.keys.secrets["pseudonym.key"], subject)[:16]


def _known(connection: Connection, subject: bytes) -> bool:
    c = t.authorisation.c
    return connection.execute(select(c.id).where(c.subject_ref == subject).limit(1)).first() is not None


def _append(tx: Transaction, kind: str, file: bytes, subject: bytes, content: dict[str, object]) -> Leaf:
    if tx.content_cipher(file) is None:
        tx.mint_content_key(file, subject)
    return tx.append(kind, file, msgspec.json.encode(content))

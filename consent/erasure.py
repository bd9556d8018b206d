"""Erasing a person at one recipient (GDPR art. 17): all their authorisations at once, and a signed certificate.

In order: (1) one transaction closes every authorisation, destroys every key, clears every reference, and keeps what step (3) needs;
(2) the caller scrubs the store and waits for leases; (3) acknowledgements and the certificate are signed and kept. After a crash,
asking again with the old reference goes on where it stopped: what is kept lies under a keyed digest of it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import func, insert, select, update

from consent import heads, withdrawals
from consent.core import note
from consent.core.facts import State
from consent.core.query import Erased
from consent.core.rules import Happening
from consent.officers import ask, file_of
from consent.stores import tables as t
from consent.transaction import Transaction
from consent.transitions import move
from consent.withdrawals import Closing
from exchange.core.errors import Code

_a, _k = t.authorisation.c, t.acknowledgement.c
T = TypeVar("T")


class Erasing(msgspec.Struct, frozen=True):
    """An erasure that is committed and not certified yet; `facts` is how many leaves became unreadable."""

    file: bytes
    recipient: str
    facts: int
    closings: tuple[Closing, ...]


class Certified(msgspec.Struct, frozen=True):
    """An erasure as it is kept."""

    recipient: str
    erased: Erased


def close(tx: Transaction, officer: str, reason: str, subject: bytes) -> Erasing | Erased | Code:
    """Step (1); what is kept where it was done before; `NOTHING_FOUND` also where the person is outside the perimeter."""
    head = ask(tx, officer, reason, {"act": "erase"})
    if isinstance(head, Code):
        return head
    file = file_of(tx, subject)
    certified, pending = _kept(tx, file, Certified), _kept(tx, file, Erasing)
    rows = tx.connection.execute(select(t.authorisation).where(_a.subject_ref == subject)).all() if subject else []
    recipient = rows[0].recipient if rows else getattr(pending or certified, "recipient", None)
    if recipient is None or (head.recipients and recipient not in head.recipients):
        return Code.NOTHING_FOUND
    if rows:
        pending = Erasing(
            file, recipient, _facts(tx, [*(row.id for row in rows), file]), _close(tx, rows, file, subject)
        )
        _keep(tx, file, pending)
        return pending
    assert pending is not None  # a certificate is kept beside what it certifies
    return certified.erased if certified else pending


def _close(tx: Transaction, rows: Sequence[Any], file: bytes, subject: bytes) -> tuple[Closing, ...]:
    """Nobody is anybody's representative any more either."""
    leaves = move(tx, rows, Happening.ERASED)
    spoke = (_a.representative_ref == subject) | _a.id.in_([row.id for row in rows])
    tx.connection.execute(update(t.authorisation).where(spoke).values(representative_ref=b""))
    tx.forget_subject_key(subject)
    tx.connection.execute(t.acknowledgement.delete().where(_k.authorisation == file))
    return tuple(
        Closing(row.id, State.ERASED, leaf.index, leaf.hash, tx.now_ms) for row, leaf in zip(rows, leaves, strict=True)
    )


def _facts(tx: Transaction, files: list[bytes]) -> int:
    counted = (select(func.count()).select_from(t.leaf).where(t.about(file)) for file in files)
    return sum(int(tx.connection.execute(count).scalar_one()) for count in counted)


def certify(tx: Transaction, erasing: Erasing) -> Erased:
    """Step (3). The certificate's text: origin/erasure, time in ms, facts made unreadable, size and root of a head that covers the
    erasure, and the index of its leaf for each authorisation. It names nobody."""
    acknowledgements = tuple(withdrawals.acknowledge(tx, closing).note for closing in erasing.closings)
    tx.finish()
    head = heads.sign(tx)
    lines = (
        f"{tx.keys.origin}/erasure", erasing.closings[0].at_ms, erasing.facts, head.size, base64.b64encode(head.root).decode(),
        *(closing.leaf_index for closing in erasing.closings),
    )  # fmt: skip
    signed = note.sign("".join(f"{line}\n" for line in lines), tx.keys.origin, tx.keys.log)
    erased = Erased(signed, acknowledgements)
    _keep(tx, erasing.file, Certified(erasing.recipient, erased))
    return erased


def _keep(tx: Transaction, file: bytes, value: Erasing | Certified) -> None:
    kind = type(value).__name__.lower()
    tx.connection.execute(t.acknowledgement.delete().where(_k.authorisation == file, _k.state == kind))
    tx.connection.execute(
        insert(t.acknowledgement).values(authorisation=file, state=kind, body=msgspec.msgpack.encode(value))
    )


def _kept(tx: Transaction, file: bytes, kind: type[T]) -> T | None:
    row = tx.connection.execute(
        select(_k.body).where(_k.authorisation == file, _k.state == kind.__name__.lower())
    ).first()
    return msgspec.msgpack.decode(row.body, type=kind) if row else None

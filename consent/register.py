"""Who may ask and with which keys: habilitations, delegations, and the directory of public keys, each a leaf of the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from operator import attrgetter

import msgspec
from sqlalchemy import Connection, insert, select

from consent.certificates import BadCertificate, check_entry, countersign
from consent.core.facts import REGISTER, Delegation, DirectoryEntry, Habilitation, Handover
from consent.core.rules import Happening
from consent.stores import tables as t
from consent.stores.batch import select_rows
from consent.transaction import Transaction
from consent.transitions import move
from exchange.core.errors import Code
from exchange.core.sealing import key_id
from exchange.ports import Refused


def habilitate(
    tx: Transaction,
    recipient: str,
    data_set: str,
    purpose: str,
    scopes: tuple[str, ...],
    legal_reference: str,
    not_after_ms: int,
) -> None:
    """A collectivity may ask these scopes of a data set for a purpose (the DataPass model).

    No scopes: no longer; the authorisations that rested on it are invalidated and their keys destroyed (protocol §4).
    """
    key = (
        (t.habilitation.c.recipient == recipient)
        & (t.habilitation.c.data_set == data_set)
        & (t.habilitation.c.purpose == purpose)
    )
    tx.connection.execute(t.habilitation.delete().where(key))
    values = {"recipient": recipient, "data_set": data_set, "purpose": purpose, "scopes": json.dumps(sorted(scopes)),
              "legal_reference": legal_reference, "not_after": not_after_ms}  # fmt: skip
    tx.connection.execute(insert(t.habilitation).values(values))
    tx.append("habilitation", b"", msgspec.json.encode(values))
    tx.emit(REGISTER, 0, "")
    if not scopes:
        _invalidate(tx, recipient, data_set, purpose)


def habilitations(connection: Connection) -> list[Habilitation]:
    """Every habilitation, as it stands, by recipient, data set and purpose."""
    h = t.habilitation.c
    rows = connection.execute(select(t.habilitation).order_by(h.recipient, h.data_set, h.purpose))
    return [
        Habilitation(r.recipient, r.data_set, r.purpose, tuple(json.loads(r.scopes)), r.legal_reference, r.not_after)
        for r in rows
    ]


def _invalidate(tx: Transaction, recipient: str, data_set: str, purpose: str) -> None:
    c = t.authorisation.c
    rests = (c.recipient == recipient) & (c.data_set == data_set) & (c.purpose == purpose)
    move(tx, tx.connection.execute(select(c.id, c.state, c.version).where(rests)).all(), Happening.INVALIDATED)


def delegate(tx: Transaction, recipient: str, operator: str, not_after_ms: int, handover: Handover) -> None:
    """An operator may publish for a collectivity until then; a time in the past ends the delegation. With `pull` answers to it wait
    until it opens them."""
    key = (t.delegation.c.recipient == recipient) & (t.delegation.c.operator == operator)
    tx.connection.execute(t.delegation.delete().where(key))
    values = {"recipient": recipient, "operator": operator, "not_after": not_after_ms, "handover": handover}
    tx.connection.execute(insert(t.delegation).values(values))
    tx.append("delegation", b"", msgspec.json.encode(values))
    tx.emit(REGISTER, 0, "")


def delegations(connection: Connection) -> list[Delegation]:
    """Every delegation, as it stands, by operator and recipient."""
    d = t.delegation.c
    rows = connection.execute(select(t.delegation).order_by(d.operator, d.recipient))
    return [Delegation(r.recipient, r.operator, r.not_after) for r in rows]


def enter(tx: Transaction, entry: DirectoryEntry) -> DirectoryEntry:
    """A public key enters the directory: its organisation's signature is checked, the registrar countersigns."""
    if entry.kind == "ledger":  # it says its own (`consent.intake`), and nobody says it for it
        raise Refused(Code.CERTIFICATE_INVALID)
    try:
        check_entry(entry, None, tx.now_ms)
    except BadCertificate as error:
        raise Refused(Code.CERTIFICATE_INVALID) from error
    signed = countersign(entry, tx.keys.registrar)
    identifier = key_id(entry.public_key)
    if tx.connection.execute(select(t.directory.c.key_id).where(t.directory.c.key_id == identifier)).first() is None:
        tx.connection.execute(insert(t.directory).values(
            key_id=identifier, kind=entry.kind, organisation=entry.organisation, operator=entry.operator, at=tx.now_ms,
            entry=msgspec.msgpack.encode(signed)))  # fmt: skip
        tx.append("directory", b"", msgspec.json.encode(signed))
        tx.emit(REGISTER, 0, "")
    return signed


def lapse(tx: Transaction, since_ms: int) -> None:
    """Habilitations and delegations whose time ended after `since_ms`: whoever remembers who may ask has to ask anew."""
    for c in (t.habilitation.c, t.delegation.c):
        over = select(c.recipient).where(c.not_after > since_ms, c.not_after <= tx.now_ms).limit(1)
        if tx.connection.execute(over).first() is not None:
            tx.emit(REGISTER, 0, "")
            return


def directory(connection: Connection) -> list[DirectoryEntry]:
    """Every entry, oldest first."""
    rows = connection.execute(select(t.directory.c.entry).order_by(t.directory.c.at))
    return [msgspec.msgpack.decode(row.entry, type=DirectoryEntry) for row in rows]


def recipient_entries(
    connection: Connection, recipients: Sequence[str], now_ms: int
) -> dict[tuple[str, str], DirectoryEntry]:
    """The newest key in force of each (recipient, operator)."""
    rows = select_rows(connection, t.directory, "organisation", recipients)
    oldest_first = sorted((row for row in rows if row.kind == "recipient"), key=attrgetter("at"))
    entries = (msgspec.msgpack.decode(row.entry, type=DirectoryEntry) for row in oldest_first)
    return {(e.organisation, e.operator): e for e in entries if now_ms < e.not_after_ms}

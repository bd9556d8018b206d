"""Withdrawal, opposition and erasure: one transaction destroys the keys; the acknowledgement names what is on its way.

T-withdraw, in order: (1) keys deleted, state, leaf, outbox: committed and durable; from here on the ledger hands over no key of
this authorisation (I1b). (2) The caller waits until its leases are confirmed or over (I1d). (3) The acknowledgement is signed and
kept, so that asking again gets the same one (I1c). A crash after (1) leaves the withdrawal binding and unacknowledged: asking
again goes on at (2). An erasure also truncates SQLite's WAL before it is acknowledged: secure_delete does not reach the WAL.
"""

from __future__ import annotations

import base64

import msgspec
from sqlalchemy import Connection, func, insert, select

from consent.adoption import adopt
from consent.core import note
from consent.core.facts import Acknowledgement, Evidence, State
from consent.core.rules import Happening, step
from consent.grants import keep, terms_of
from consent.stores import tables as t
from consent.transaction import Transaction
from consent.transitions import move, unsettle
from exchange.core.errors import Code
from exchange.ports import Refused

CLOSES = frozenset({Happening.WITHDRAWN, Happening.OPPOSED, Happening.ERASED, Happening.INVALIDATED, Happening.ENDED})
"""What may close an authorisation; everything else that happens to it goes its own way."""


_CLOSING = tuple(happening.value for happening in (*CLOSES, Happening.REFUSED))
"""Kinds of the leaves that may have closed an authorisation."""


class Closing(msgspec.Struct, frozen=True):
    """A withdrawal that is committed and not acknowledged yet."""

    authorisation: bytes
    state: State
    leaf_index: int
    leaf_hash: bytes
    at_ms: int


def close(
    tx: Transaction, authorisation: bytes, happening: Happening, evidence: Evidence | None = None
) -> Acknowledgement | Closing:
    """Step (1); the same acknowledgement where it was closed before."""
    row = adopt(tx, authorisation, closing=True)
    if row is None:
        raise Refused(Code.AUTHORISATION_UNKNOWN)
    state = State(row.state)
    cell = step(state, happening)
    if cell is None:
        return _acknowledged(tx, authorisation, state) or _closing(tx, authorisation, state)
    kept = keep(tx, authorisation, terms_of(row), evidence) if evidence else None
    (leaf,) = move(tx, [row], happening, msgspec.json.encode({"from": state.value, "evidence": kept}))
    return Closing(authorisation, cell.state, leaf.index, leaf.hash, tx.now_ms)


def leases_open(connection: Connection, authorisation: bytes) -> bool:
    """Whether a release of this authorisation is neither confirmed with its key nor as cut."""
    c = t.terminal.c
    query = select(func.count()).where(t.releases(authorisation), c.confirmed_at.is_(None))
    return bool(connection.execute(query).scalar())


def acknowledge(tx: Transaction, closing: Closing) -> Acknowledgement:
    """Step (3): name, sign, keep. A release confirmed as cut stays on the list: a stalled worker may still hold its key."""
    kept = _acknowledged(tx, closing.authorisation, closing.state)
    if kept is not None:
        return kept
    c = t.terminal.c
    rows = tx.connection.execute(
        select(c.request).where(t.releases(closing.authorisation), c.with_key.is_not(True)).order_by(c.request)
    )
    named = tuple(row.request for row in rows)
    text = "".join(
        f"{line}\n"
        for line in (
            f"{tx.keys.origin}/acknowledgement", closing.state.value, str(closing.leaf_index),
            base64.b64encode(closing.leaf_hash).decode(), str(closing.at_ms), *(request.hex() for request in named),
        )
    )  # fmt: skip
    signed = note.sign(text, tx.keys.origin, tx.keys.log)
    ack = Acknowledgement(
        closing.authorisation, closing.state, closing.leaf_index, closing.leaf_hash, closing.at_ms, named, signed
    )
    tx.connection.execute(insert(t.acknowledgement).values(
        authorisation=closing.authorisation, state=closing.state.value, body=msgspec.msgpack.encode(ack)))  # fmt: skip
    unsettle(tx, [closing.authorisation])
    return ack


def _acknowledged(tx: Transaction, authorisation: bytes, state: State) -> Acknowledgement | None:
    c = t.acknowledgement.c
    row = tx.connection.execute(select(c.body).where(c.authorisation == authorisation, c.state == state.value)).first()
    return msgspec.msgpack.decode(row.body, type=Acknowledgement) if row else None


def _closing(tx: Transaction, authorisation: bytes, state: State) -> Closing:
    """The closing a crash left unacknowledged, from its leaf."""
    c = t.leaf.c
    row = tx.connection.execute(
        select(c.idx, c.hash, c.at).where(t.about(authorisation), c.kind.in_(_CLOSING)).order_by(c.idx.desc())
    ).first()
    assert row is not None  # a closed authorisation has at least the leaf that closed it
    return Closing(authorisation, state, row.idx, row.hash, row.at)

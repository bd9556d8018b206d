"""Authorisations that a restored store does not know, but whose leaves were read back from the public log.

Such a leaf stands in the store under its locator: the id comes to light when somebody names it. From then on the authorisation
exists again, closed: its terms and its person are lost, the facts are not. Nobody can give it anew under that id.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import insert, select, update

from consent.core.facts import State
from consent.core.rules import Happening, replay
from consent.stores import tables as t
from consent.transaction import Transaction, row_of
from consent.transitions import move


def adopt(tx: Transaction, authorisation: bytes, *, closing: bool = False) -> Any:
    """The row of an authorisation, known or come to light now; None if there never was one. What comes to light is invalidated, or left
    to the caller who is `closing` it."""
    row = row_of(tx.connection, authorisation)
    if row is not None:
        return row
    c, locator = t.leaf.c, tx.locator(authorisation)
    kinds = list(tx.connection.execute(select(c.kind).where(t.about(locator)).order_by(c.idx)).scalars())
    if not kinds:
        return None
    happenings = [Happening(kind) for kind in kinds if kind in set(Happening)]
    state = replay(happenings)
    first = select(c.idx).where(t.about(locator), c.kind != "vouched").order_by(c.idx).limit(1)
    blank: dict[str, Any] = {column.name: _BLANK[column.type.python_type] for column in t.authorisation.columns}
    known_still = {
        "id": authorisation, "version": len(happenings), "state": state.value, "scopes": "[]", "basis": "consent", "channel": "paper",
        "assurance": "eidas1", "assurance_required": "eidas1", "uses": kinds.count("released"), "at": tx.now_ms,
        "grant_leaf": tx.connection.execute(first).scalar_one(),
    }  # fmt: skip
    tx.connection.execute(insert(t.authorisation).values(blank | known_still))
    tx.connection.execute(update(t.leaf).where(t.about(locator)).values(authorisation=authorisation))
    if state is not State.ERASED:
        tx.mint_content_key(authorisation)
    if not closing:
        move(tx, [row_of(tx.connection, authorisation)], Happening.INVALIDATED)
    return row_of(tx.connection, authorisation)


_BLANK: dict[type, Any] = {str: "", int: 0, bytes: b""}

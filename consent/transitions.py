"""What happens to authorisations, written: the table of `consent.core.rules` decides the state and the fate of the keys, for every
cause alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, update

from consent.core.facts import State
from consent.core.rules import Happening, Keys, step
from consent.stores import tables as t
from consent.stores.batch import insert_values, update_rows
from consent.transaction import Leaf, Transaction


def move(tx: Transaction, rows: Sequence[Any], happening: Happening, content: bytes = b"") -> list[Leaf]:
    """The same event for these authorisations (rows with id, state, version): leaf, keys destroyed where the table says so, state,
    outbox. Rows whose state has no cell for it are left as they are. The leaves, in order."""
    leaves, moved, destroyed, retired = [], [], [], []
    for row in rows:
        cell = step(State(row.state), happening)
        if cell is None:
            continue
        leaves.append(tx.append(happening.value, row.id, content))
        tx.emit(row.id, row.version + 1, cell.state.value)
        moved.append({"id": row.id, "state": cell.state.value, "version": row.version + 1})
        if cell.keys in (Keys.DESTROY, Keys.DESTROY_ALL):
            destroyed.append(row.id)
        if cell.keys is Keys.DESTROY_ALL:
            forget(tx, row.id)
        if cell.keys is Keys.RETIRE:
            retired.append(row.id)
    destroy(tx, destroyed)
    unsettle(tx, retired)
    update_rows(tx.connection, t.authorisation, ("id",), moved)
    return leaves


def destroy(tx: Transaction, authorisations: Sequence[bytes]) -> None:
    """Every release key of these authorisations."""
    if authorisations:
        gone = t.release_key.delete().where(t.release_key.c.authorisation == bindparam("b_id"))
        tx.connection.execute(gone, [{"b_id": identifier} for identifier in authorisations])


def unsettle(tx: Transaction, authorisations: Sequence[bytes]) -> None:
    """Sweeps look at these until nothing about their end is left to do (`consent.sweeps`)."""
    insert_values(tx.connection, t.unsettled, [(authorisation,) for authorisation in authorisations], ignore=True)


def forget(tx: Transaction, authorisation: bytes) -> None:
    """Who the person is, and the key of all that was kept about this authorisation."""
    a = t.authorisation
    tx.forget_content_key(authorisation)
    tx.connection.execute(update(a).where(a.c.id == authorisation).values(person=b"", subject_ref=b"", certificate=b""))

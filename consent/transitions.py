"""What happens to authorisations, written: the table of `consent.core.rules` decides the state and the fate of the keys, for every
cause alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, update

from consent.core.facts import State
from consent.core.rules import Happening, Keys, step
from consent.stores import tables as t
from consent.transaction import Leaf, Transaction


def move(tx: Transaction, rows: Sequence[Any], happening: Happening, content: bytes = b"") -> list[Leaf]:
    """The same event for these authorisations (rows with id, state, version): leaf, keys destroyed where the table says so, state,
    outbox. Rows whose state has no cell for it are left as they are. The leaves, in order."""
    a, k = t.authorisation, t.release_key.c
    leaves, moved, destroyed = [], [], []
    for row in rows:
        cell = step(State(row.state), happening)
        if cell is None:
            continue
        leaves.append(tx.append(happening.value, row.id, content))
        tx.emit(row.id, row.version + 1, cell.state.value)
        moved.append({"b_id": row.id, "b_state": cell.state.value, "b_version": row.version + 1})
        if cell.keys in (Keys.DESTROY, Keys.DESTROY_ALL):
            destroyed.append({"b_id": row.id})
        if cell.keys is Keys.DESTROY_ALL:
            tx.forget_content_key(row.id)
            tx.connection.execute(
                update(a).where(a.c.id == row.id).values(person=b"", subject_ref=b"", certificate=b"")
            )
    if destroyed:
        tx.connection.execute(t.release_key.delete().where(k.authorisation == bindparam("b_id")), destroyed)
    if moved:
        changes: dict[str, Any] = {"state": bindparam("b_state"), "version": bindparam("b_version")}
        tx.connection.execute(update(a).where(a.c.id == bindparam("b_id")).values(changes), moved)
    return leaves

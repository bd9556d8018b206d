"""In place of agreements that no request is about: rows in the same tables and indexes, of the same lengths, each with its leaves in the
log; random wherever one agreement differs from another. Nothing in them opens, and nobody will try: what is measured is their weight.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table

from consent.core.facts import State
from consent.stores import tables as t
from consent.stores.batch import insert_values, select_rows
from consent.transaction import Transaction

_OWN = {
    t.authorisation: ("commitment", "person", "certificate"),
    t.release_key: ("wrapped",),
    t.subject_key: ("wrapped",),
    t.content_key: ("wrapped",),
}
"""The columns by table, beside ids, references and hashes, in which each agreement has bytes of its own."""
_COMMITTED_BYTES = 64
"""What a leaf ends with: locator and commitment."""


class Pattern(NamedTuple):
    """The rows of an agreement, by table, and its leaves in order: what filler is made after."""

    rows: Mapping[Table, Any]
    leaves: Sequence[Any]
    state: State


def pattern(connection: Connection, id: bytes) -> Pattern:
    """After the agreement of this id."""
    (agreed,) = select_rows(connection, t.authorisation, "id", [id])
    held = {table: select_rows(connection, table, "authorisation", [id]) for table in (t.release_key, t.content_key)}
    held[t.subject_key] = select_rows(connection, t.subject_key, "subject", [agreed.subject_ref])
    rows = {t.authorisation: agreed} | {table: found[0] for table, found in held.items() if found}
    return Pattern(rows, sorted(select_rows(connection, t.leaf, "authorisation", [id])), State(agreed.state))


def fill(tx: Transaction, like: Pattern, ids: Sequence[bytes]) -> None:
    """As many agreements like this one."""
    subjects = [id[:8] + rest for id, rest in zip(ids, _random(24, len(ids)), strict=True)]
    given = [_leaves(tx, like, id) for id in ids]
    common: dict[str, Iterable[Any]] = {
        "id": ids, "authorisation": ids, "subject_ref": subjects, "subject": subjects, "grant_leaf": given,
        "certificate_hash": _random(32, len(ids)),
    }  # fmt: skip
    for table, row in like.rows.items():
        own = _OWN[table]
        columns = [
            common.get(name) or (_random(len(value), len(ids)) if name in own else repeat(value))
            for name, value in row._asdict().items()
        ]
        insert_values(tx.connection, table, list(zip(*columns, strict=False)))  # what repeats has no end


def _leaves(tx: Transaction, like: Pattern, id: bytes) -> int:
    """In the log, and told in the outbox; the index of the first."""
    places = []
    for leaf in like.leaves:
        fresh = os.urandom(_COMMITTED_BYTES + len(leaf.content))
        data, content = leaf.leaf[:-_COMMITTED_BYTES] + fresh[:_COMMITTED_BYTES], fresh[_COMMITTED_BYTES:]
        places.append(tx.restore(data, leaf.kind, leaf.at, id, content))
    for version in range(1, len(places) + 1):
        tx.emit(id, version, like.state if version == len(places) else State.LIVE)
    return places[0]


def _random(size_bytes: int, count: int) -> list[bytes]:
    drawn = os.urandom(size_bytes * count)
    return [drawn[at : at + size_bytes] for at in range(0, size_bytes * count, size_bytes)]

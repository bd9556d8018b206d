"""What officers are shown of the ledger's rows: authorisations, leaves with what they commit to, and their inclusion paths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, select

from consent.core import merkle, note
from consent.core.facts import State
from consent.core.query import Fact, Head, Row
from consent.stores import tables as t
from consent.stores.batch import select_rows
from consent.stores.tree import tree
from consent.transaction import Transaction, read_scopes
from exchange.core.rule import rule_hash
from exchange.ports import Unavailable


def leaves(connection: Connection, indexes: Iterable[int]) -> dict[int, Any]:
    """The leaves at these places; `Unavailable` if one is not there."""
    wanted = set(indexes)
    rows = select_rows(connection, t.leaf, "idx", wanted)
    if len(rows) != len(wanted):
        raise Unavailable("ledger log: a leaf is missing")
    return {row.idx: row for row in rows}


def of_authorisation(connection: Connection, authorisation: bytes) -> list[Any]:
    """Every leaf about one authorisation, oldest first."""
    told = connection.execute(select(t.leaf).where(t.about(authorisation))).all()
    places = select(t.terminal.c.leaf_index).where(t.releases(authorisation))
    released = connection.execute(select(t.leaf).where(t.leaf.c.idx.in_(places))).all()
    return sorted([*told, *released], key=lambda leaf: int(leaf.idx))


def facts(tx: Transaction, head: Head, rows: Iterable[Any], *, proofs: bool, contents: bool) -> list[Fact]:
    """Leaves as facts; `Unavailable` if one does not lead to the head."""
    rows = list(rows)
    if contents:
        tx.prefetch_content({row.authorisation for row in rows if row.authorisation})
    paths = _paths(tx.connection, head, rows) if proofs else {}
    told = []
    for row in rows:
        salt, content = tx.open_content(row) if contents else (b"", b"")
        told.append(Fact(row.idx, row.kind, row.at, bytes(row.leaf), paths.get(row.idx, ()), salt, content))
    return told


def _paths(connection: Connection, head: Head, rows: Sequence[Any]) -> dict[int, tuple[bytes, ...]]:
    """The inclusion path of each leaf: one tree for all of them."""
    checkpoint, paths = note.parse_checkpoint(note.split(head.checkpoint)[0]), {}
    whole = tree(connection, checkpoint.size)
    try:
        for row in sorted(rows, key=lambda r: r.idx):
            path = whole.inclusion(row.idx)
            merkle.verify_inclusion(merkle.leaf_hash(row.leaf), row.idx, checkpoint.size, path, checkpoint.root)
            paths[row.idx] = tuple(path)
    except ValueError:
        raise Unavailable("ledger log: a leaf does not lead to its head") from None
    return paths


def rows(tx: Transaction, head: Head, found: Sequence[Any], *, proofs: bool) -> list[Row]:
    """Authorisations as an officer sees them, each with the leaf it was first recorded by."""
    by_index = leaves(tx.connection, (a.grant_leaf for a in found))
    firsts = {f.index: f for f in facts(tx, head, by_index.values(), proofs=proofs, contents=False)}
    return [row(a, firsts[a.grant_leaf]) for a in found]


def row(a: Any, fact: Fact) -> Row:
    """One authorisation."""
    return Row(
        a.id, State(a.state), a.recipient, a.provider, a.data_set, a.purpose, read_scopes(a.scopes), a.basis, a.legal_reference,
        a.notice_version, a.notice_hash, a.data_life_days, a.channel, a.agent, a.operator, a.assurance, a.assurance_required,
        a.representation, a.not_before, a.not_after, a.uses, a.max_uses, a.subject_ref, a.at, a.certificate_hash, rule_hash(a.rule),
        a.watch_every_ms // 1000, fact,
    )  # fmt: skip

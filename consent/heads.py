"""The heads the log has signed: a new one is signed only if it follows from those held (compare and swap, in the store itself), so
that neither two processes nor an old backup make two histories.

A size that a witness has seen and the store has not is kept as a head without root nor signature: nothing is signed until the
missing leaves are back (`consent.recovery`). A head without root but signed stands for two of one size: nothing is signed ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, delete, func, insert, select

from consent.core import merkle, note
from consent.stores import tables as t
from consent.stores.batch import run
from consent.stores.engine import unpack_frontier
from consent.stores.tree import tree
from consent.transaction import Transaction
from exchange.ports import Recovering, Unavailable

_c = t.checkpoint.c
_BEYOND = "SELECT 1 FROM checkpoint WHERE size > (SELECT size FROM log) OR length(root) = 0 LIMIT 1"


class Head(NamedTuple):
    """A signed head: size in leaves, root, the note with the log's signature, and the witnesses' signature lines."""

    size: int
    root: bytes
    signed: str
    cosignatures: tuple[str, ...] = ()

    @property
    def note(self) -> str:
        return self.signed + "".join(line + "\n" for line in self.cosignatures)


def read(text: str, verifier: note.Verifier) -> Head:
    """A note of ours as a head, without cosignatures; BadNote if it is not signed by `verifier`."""
    body = note.verify(text, verifier)
    ours = [s for s in note.split(text)[1] if (s.name, s.key_id) == (verifier.name, verifier.key_id)]
    head = note.parse_checkpoint(body)
    if head.origin != verifier.name:
        raise note.BadNote("another log")
    return Head(head.size, head.root, f"{body}\n{note.format_signature(ours[0])}\n")


def held(connection: Connection) -> list[Head]:
    """Every head not forgotten, smallest first."""
    rows = connection.execute(select(t.checkpoint).order_by(_c.size))
    return [Head(row.size, bytes(row.root), row.note, tuple(row.cosignatures.splitlines())) for row in rows]


def last(connection: Connection, *, cosigned: bool = False) -> Head | None:
    """The largest head, or the largest with a cosignature."""
    heads = [head for head in held(connection) if head.cosignatures or not cosigned]
    return heads[-1] if heads else None


def current(connection: Connection) -> Head | None:
    """The head of the log as it stands, if it is the last signed."""
    log = connection.execute(select(t.log.c.size, t.log.c.frontier)).one()
    head = last(connection)
    root = merkle.frontier_root(unpack_frontier(log.frontier))
    return head if head is not None and (head.size, head.root) == (log.size, root) else None


def require_whole(connection: Connection) -> None:
    """`Recovering` while the log is behind a head that others hold, or forked from one: it may not know of a withdrawal."""
    if not whole(connection):
        raise Recovering


def whole(connection: Connection) -> bool:
    """Whether the log has all that others hold of it."""
    return run(connection, _BEYOND).first() is None


def missing(connection: Connection) -> int:
    """How many leaves the log is behind the largest head that others hold."""
    size, known = connection.execute(
        select(select(t.log.c.size).scalar_subquery(), select(func.max(_c.size)).scalar_subquery())
    ).one()
    return max(0, int(known or 0) - int(size))


def sign(tx: Transaction) -> Head:
    """The head of the log, signed; `Unavailable` if it does not follow from every head held, or from the log's own tiles."""
    before, root = held(tx.connection), merkle.frontier_root(tx.frontier)
    for head in before:
        _follows(tx.connection, head, tx.size)
    if _root(tx.connection, tx.size) != root:
        raise Unavailable("ledger log: its tiles do not lead to its head")
    if before and before[-1].size == tx.size:
        return before[-1]
    text = note.Checkpoint(tx.keys.origin, tx.size, root).text()
    head = Head(tx.size, root, note.sign(text, tx.keys.origin, tx.keys.log))
    _write(tx.connection, head)
    return head


def remember(connection: Connection, head: Head) -> None:
    """A head signed elsewhere or earlier: whatever is signed next follows from it. Two heads of one size: nothing does."""
    known = {h.size: h for h in held(connection)}.get(head.size)
    if known is not None and known.root and head.root and known.root != head.root:
        _write(connection, Head(head.size, b"", head.signed))
    elif known is None or not known.root:
        _write(connection, head)


def anchor(tx: Transaction, head: Head) -> None:
    """`remember` a head of ours that others hold; one that the log does not lead to is a fork."""
    if head.size <= tx.size and _root(tx.connection, head.size) != head.root:
        _write(tx.connection, head._replace(root=b""))
    else:
        remember(tx.connection, head)


def caught_up(tx: Transaction, head: Head) -> None:
    """The log leads to this head: the sizes that witnesses had seen on the way there are answered for."""
    seen = (_c.root == b"") & (_c.note == "")
    tx.connection.execute(delete(t.checkpoint).where(seen, _c.size <= head.size))
    remember(tx.connection, head)


def cosign(connection: Connection, head: Head, lines: Sequence[str]) -> None:
    """Add cosignatures to a head; a witness's later line takes the place of its earlier one."""
    known = {h.size: h for h in held(connection)}.get(head.size, head)
    if known.root != head.root:
        raise Unavailable("ledger log: two heads of one size")
    merged = {(s.name, s.key_id): s for s in map(note.parse_signature, [*known.cosignatures, *lines])}
    _write(connection, known._replace(cosignatures=tuple(map(note.format_signature, merged.values()))))


def forget(connection: Connection, published_size: int) -> None:
    """Heads before the published one go, but the last cosigned one."""
    kept = last(connection, cosigned=True)
    gone = delete(t.checkpoint).where(_c.size < published_size)
    connection.execute(gone.where(_c.size != kept.size) if kept else gone)


def _follows(connection: Connection, head: Head, size: int) -> None:
    """`Unavailable` unless the head is a prefix of the log of `size` leaves."""
    if head.size > size:
        raise Unavailable("ledger log: behind a head it signed")
    if _root(connection, head.size) != head.root:
        raise Unavailable("ledger log: does not follow from a head it signed")


def _root(connection: Connection, size: int) -> bytes:
    try:
        return tree(connection, size).root()
    except ValueError:
        return b"tiles are missing"


def _write(connection: Connection, head: Head) -> None:
    connection.execute(delete(t.checkpoint).where(_c.size == head.size))
    connection.execute(
        insert(t.checkpoint).values(
            size=head.size, root=head.root, note=head.signed, cosignatures="\n".join(head.cosignatures)
        )
    )

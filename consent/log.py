"""The ledger's log as others see it: heads, proofs, what it publishes, what it lacks, and whether it is sound."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Engine, bindparam, select

from consent import heads, reconcile
from consent.core import merkle, tiles
from consent.keys import KeyRing
from consent.part import Part
from consent.stores import tables as t
from consent.stores import tree
from consent.stores.engine import unpack_frontier
from consent.transaction import reading
from exchange.ports import Clock, Unavailable

_LEAF = select(t.leaf.c.leaf).where(t.leaf.c.idx == bindparam("index"))


class Log(Part):
    """One of the bases of `consent.ledger.Ledger`."""

    def __init__(self, engine: Engine, keys: KeyRing, clock: Clock) -> None:
        super().__init__(engine, keys, clock)
        self._proving: tuple[tuple[int, bytes], tiles.Tree] | None = None

    async def checkpoint(self) -> str:
        """With the cosignatures it has; `Unavailable` if the log does not follow from the last head signed."""
        return self._head().note

    def _head(self) -> heads.Head:
        with reading(self._engine) as connection:
            signed = heads.current(connection)
        if signed is None:
            with self._begin(recovering=True) as tx:
                signed = heads.sign(tx)
        return signed

    async def proof(self, index: int) -> tuple[bytes, list[bytes], str]:
        """In the tree of the last cosigned head if the leaf is in it, else of one signed now."""
        with reading(self._engine) as connection:
            head = heads.last(connection, cosigned=True)
            if head is None or index >= head.size:
                head = heads.current(connection)
        head = head or self._head()
        if not 0 <= index < head.size:
            raise ValueError("no such leaf")
        try:
            with reading(self._engine) as connection:
                leaf = bytes(connection.execute(_LEAF, {"index": index}).scalar_one())
            path = self._tree_of(head).inclusion(index)
            merkle.verify_inclusion(merkle.leaf_hash(leaf), index, head.size, path, head.root)
        except ValueError:
            raise Unavailable("ledger log: a leaf does not lead to its head") from None
        return leaf, path, head.note

    def _tree_of(self, head: heads.Head) -> tiles.Tree:
        """The tree of the head that proofs were last asked for: they have most of it in common."""
        if self._proving is None or self._proving[0] != (head.size, head.root):
            self._proving = (head.size, head.root), tiles.Tree(head.size, self.source().hashes)
        return self._proving[1]

    async def signed(self) -> list[heads.Head]:
        """The heads signed and not forgotten, smallest first."""
        with reading(self._engine) as connection:
            return [head for head in heads.held(connection) if head.root]

    async def anchor(self, text: str) -> None:
        """A checkpoint of ours that others hold: only what follows from it will be signed. BadNote if it is not ours."""
        head = heads.read(text, self._keys.verifier)
        with self._begin(recovering=True) as tx:
            heads.anchor(tx, head)

    async def witnessed(self, size: int) -> None:
        """A witness has seen that size: if the log is behind, the ledger is recovering until its leaves are back."""
        with self._begin(recovering=True) as tx:
            if size > tx.size:
                heads.remember(tx.connection, heads.Head(size, b"", ""))

    async def cosigned(self, head: heads.Head, lines: Sequence[str]) -> None:
        """Keep verified cosignatures of a head of ours."""
        with self._begin(recovering=True) as tx:
            heads.cosign(tx.connection, head, lines)

    async def published(self, size: int) -> None:
        """Forget the heads that nobody needs any more once that of `size` is published."""
        with self._begin(recovering=True) as tx:
            heads.forget(tx.connection, size)

    def source(self) -> tree.Store:
        """The log's hashes and entries, for `consent.publish`."""
        return tree.Store(self._engine)

    async def verify(self) -> list[str]:
        """Recomputes the log from its leaves, and the states from the log; the list of what does not hold is empty when all does."""
        with reading(self._engine) as connection:
            log = connection.execute(select(t.log)).one()
            rows = connection.execute(select(t.leaf.c.idx, t.leaf.c.leaf, t.leaf.c.hash).order_by(t.leaf.c.idx)).all()
            nodes = {tiles.Node(*row) for row in connection.execute(select(t.node))}
            kept = {(row.level, row.number): bytes(row.hashes) for row in connection.execute(select(t.tile))}
            disagreements = list(reconcile.problems(connection))
        problems = [f"leaf {row.idx}: hash" for row in rows if merkle.leaf_hash(row.leaf) != row.hash]
        if [row.idx for row in rows] != list(range(log.size)):
            problems.append("indexes are not contiguous")
            return problems
        frontier, expected = tiles.append((), 0, [row.hash for row in rows])
        if frontier != unpack_frontier(log.frontier):
            problems.append("root does not follow from the leaves")
        elif nodes != set(expected) or kept != tiles.whole([bytes(row.hash) for row in rows]):
            problems.append("nodes do not follow from the leaves")
        return problems + disagreements

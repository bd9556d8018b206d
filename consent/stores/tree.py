"""The log's Merkle tree in the store: leaf hashes lie beside their leaves, those of the tiles above in `node`; full tiles whole in `tile`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, Table, bindparam, func, insert, select

from consent.core import merkle
from consent.core.tiles import HEIGHT, Node, Tile, Tree, pack_hashes, unpack_hashes
from consent.stores import tables as t
from consent.stores.batch import insert_rows, read
from consent.stores.engine import available, durable, snapshot

_LEAVES = "SELECT hash FROM leaf WHERE idx >= ? AND idx < ? ORDER BY idx"
_NODES = "SELECT hash FROM node WHERE level = ? AND number >= ? AND number < ? ORDER BY number"
_WHOLE = select(t.tile.c.hashes).where(t.tile.c.level == bindparam("level"), t.tile.c.number == bindparam("number"))


def hashes(connection: Connection, tile: Tile) -> list[bytes]:
    """The hashes of a tile that are there."""
    if tile.whole:
        found = connection.execute(_WHOLE, {"level": tile.level, "number": tile.number}).scalar()
        if found is not None:
            return unpack_hashes(bytes(found), tile.width)
    return loose(connection, tile)


def loose(connection: Connection, tile: Tile) -> list[bytes]:
    """The same, from the leaves and nodes themselves."""
    if tile.level == 0:
        found = read(connection, _LEAVES, tile.start, tile.stop)
    else:
        found = read(connection, _NODES, tile.level, tile.start, tile.stop)
    return [bytes(hash) for (hash,) in found]


def tiles_under(
    connection: Connection, nodes: Iterable[Node], first: int = 0, added: Sequence[bytes] = ()
) -> list[dict[str, Any]]:
    """Rows of `tile`: those whose roots these nodes are, once leaves and nodes are written. `added` are the hashes of the last leaves,
    from leaf `first` on, which are not read again."""
    whole = (Tile(node.level - 1, node.number) for node in nodes)
    return [
        {"level": tile.level, "number": tile.number, "hashes": pack_hashes(_ended(connection, tile, first, added))}
        for tile in whole
    ]


def _ended(connection: Connection, tile: Tile, first: int, added: Sequence[bytes]) -> list[bytes]:
    if tile.level or not added or tile.stop <= first:
        return loose(connection, tile)
    before = max(first - tile.start, 0)
    ours = added[tile.start + before - first : tile.stop - first]
    return [*loose(connection, tile._replace(width=before)), *ours] if before else list(ours)


def tree(connection: Connection, size: int) -> Tree:
    """The tree of the first `size` leaves; ValueError from its methods if they are not all there."""
    return Tree(size, lambda tile: hashes(connection, tile))


def fill(engine: Engine) -> None:
    """Add the nodes and tiles of a log that was written before they were kept."""
    with available(), durable(engine) as connection:
        size, level = int(connection.execute(select(t.log.c.size)).scalar_one()), 1
        while size >> level * HEIGHT:
            whole = range(size >> level * HEIGHT)
            for number in whole[_held(connection, t.node, level) :]:
                node = merkle.root(loose(connection, Tile(level - 1, number)))
                connection.execute(insert(t.node).values(level=level, number=number, hash=node))
            missing = (Node(level, number, b"") for number in whole[_held(connection, t.tile, level - 1) :])
            insert_rows(connection, t.tile, tiles_under(connection, missing))
            level += 1


def _held(connection: Connection, table: Table, level: int) -> int:
    return int(connection.execute(select(func.count()).where(table.c.level == level)).scalar_one())


class Store:
    """`consent.publish.Source` over the store: one short transaction a tile. `Unavailable` while the store fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hashes(self, tile: Tile) -> Sequence[bytes]:
        with available(), snapshot(self._engine) as connection:
            return hashes(connection, tile)

    def entries(self, tile: Tile) -> Sequence[bytes]:
        query = select(t.leaf.c.leaf).where(t.leaf.c.idx >= tile.start, t.leaf.c.idx < tile.stop).order_by(t.leaf.c.idx)
        with available(), snapshot(self._engine) as connection:
            return list(map(bytes, connection.execute(query).scalars().all()))

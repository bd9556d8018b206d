"""The log's Merkle tree in the store: leaf hashes lie beside their leaves, those of the tiles above in `node`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Engine, func, insert, select

from consent.core import merkle
from consent.core.tiles import HEIGHT, Tile, Tree
from consent.stores import tables as t
from consent.stores.engine import available, durable
from consent.transaction import reading


def hashes(connection: Connection, tile: Tile) -> list[bytes]:
    """The hashes of a tile that are there."""
    if tile.level == 0:
        place, query = t.leaf.c.idx, select(t.leaf.c.hash)
    else:
        place, query = t.node.c.number, select(t.node.c.hash).where(t.node.c.level == tile.level)
    within = query.where(place >= tile.start, place < tile.stop).order_by(place)
    return list(map(bytes, connection.execute(within).scalars().all()))


def tree(connection: Connection, size: int) -> Tree:
    """The tree of the first `size` leaves; ValueError from its methods if they are not all there."""
    return Tree(size, lambda tile: hashes(connection, tile))


def fill(engine: Engine) -> None:
    """Add the nodes of a log that was written before nodes were kept."""
    with available(), durable(engine) as connection:
        size, level = int(connection.execute(select(t.log.c.size)).scalar_one()), 1
        while size >> level * HEIGHT:
            held = connection.execute(select(func.count()).where(t.node.c.level == level)).scalar_one()
            for number in range(held, size >> level * HEIGHT):
                node = merkle.root(hashes(connection, Tile(level - 1, number)))
                connection.execute(insert(t.node).values(level=level, number=number, hash=node))
            level += 1


class Store:
    """`consent.publish.Source` over the store: one short transaction a tile. `Unavailable` while the store fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def hashes(self, tile: Tile) -> Sequence[bytes]:
        with reading(self._engine) as connection:
            return hashes(connection, tile)

    def entries(self, tile: Tile) -> Sequence[bytes]:
        query = select(t.leaf.c.leaf).where(t.leaf.c.idx >= tile.start, t.leaf.c.idx < tile.stop).order_by(t.leaf.c.idx)
        with reading(self._engine) as connection:
            return list(map(bytes, connection.execute(query).scalars().all()))

"""C2SP tlog-tiles (c2sp.org/tlog-tiles): where hashes and entries of a log lie in static files, and proofs computed from them.

A tile holds 256 hashes of one level: at level 0 those of leaves, above it each the root of a full tile of the level below. The
last tile of a level may be narrower. Nothing is read here: `Read` gives a tile's hashes, from wherever they are.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from consent.core import merkle
from consent.core.merkle import Frontier

HEIGHT = 8
WIDTH = 1 << HEIGHT
HASH_BYTES = 32
ENTRY_MAX_BYTES = 0xFFFF
_LENGTH = struct.Struct(">H")


class Tile(NamedTuple):
    """Hashes `number * 256` to `number * 256 + width` of a level; width 1 to 256."""

    level: int
    number: int
    width: int = WIDTH

    @property
    def start(self) -> int:
        """Place of its first hash in its level."""
        return self.number * WIDTH

    @property
    def stop(self) -> int:
        return self.start + self.width

    @property
    def whole(self) -> bool:
        return self.width == WIDTH


class Node(NamedTuple):
    """A hash of a level above the leaves: the root of the full tile `number` of the level below."""

    level: int
    number: int
    hash: bytes


Read = Callable[[Tile], Sequence[bytes]]
"""A tile's hashes, exactly `width` of them."""


class BadTile(ValueError):
    """Bytes that are not the tile or bundle they should be."""


def hashes_path(tile: Tile) -> str:
    """`tile/<L>/<N>[.p/<W>]`."""
    return f"tile/{tile.level}/{_number(tile)}"


def entries_path(tile: Tile) -> str:
    """`tile/entries/<N>[.p/<W>]` of the entries whose hashes are that tile of level 0."""
    return f"tile/entries/{_number(tile)}"


def _number(tile: Tile) -> str:
    digits = str(tile.number)
    digits = digits.zfill(-len(digits) // 3 * -3)
    groups = [digits[i : i + 3] for i in range(0, len(digits), 3)]
    return "/".join([*("x" + group for group in groups[:-1]), groups[-1]]) + ("" if tile.whole else f".p/{tile.width}")


def tiles(size: int, since: int = 0) -> Iterator[Tile]:
    """The tiles of a tree of `size` leaves that the tree of its first `since` leaves has not whole: by level, partial ones last."""
    level = 0
    while size:
        for index in range(since // WIDTH, size // WIDTH):
            yield Tile(level, index)
        if size % WIDTH:
            yield Tile(level, size // WIDTH, size % WIDTH)
        size, since, level = size // WIDTH, since // WIDTH, level + 1


def pack_hashes(hashes: Sequence[bytes]) -> bytes:
    return b"".join(hashes)


def unpack_hashes(data: bytes, width: int) -> list[bytes]:
    """BadTile unless `data` is exactly `width` hashes."""
    if len(data) != width * HASH_BYTES:
        raise BadTile("a tile of another width")
    return [data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)]


def pack_entries(entries: Sequence[bytes]) -> bytes:
    """An entry bundle: each entry after its length, big-endian uint16. ValueError if one is longer than that can say."""
    if any(len(entry) > ENTRY_MAX_BYTES for entry in entries):
        raise ValueError("entry too long for a bundle")
    return b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)


def unpack_entries(data: bytes, width: int) -> list[bytes]:
    """BadTile unless `data` is exactly `width` entries."""
    entries, at = [], 0
    while at < len(data):
        begin = at + _LENGTH.size
        if begin > len(data):
            raise BadTile("a bundle cut short")
        at = begin + _LENGTH.unpack_from(data, at)[0]
        entries.append(data[begin:at])
    if at != len(data) or len(entries) != width:
        raise BadTile("a bundle of another width")
    return entries


def append(frontier: Frontier, size: int, hashes: Sequence[bytes]) -> tuple[Frontier, list[Node]]:
    """As `merkle.append`, and the nodes above level 0 that these leaves complete."""
    stack, nodes = list(frontier), []
    for node in hashes:
        bits, height = size, 0
        while bits & 1:
            node, bits, height = merkle.node_hash(stack.pop(), node), bits >> 1, height + 1
            if height % HEIGHT == 0:
                nodes.append(Node(height // HEIGHT, size >> height, node))
        stack.append(node)
        size += 1
    return tuple(stack), nodes


def whole(hashes: Sequence[bytes]) -> dict[tuple[int, int], bytes]:
    """The full tiles of a log of these leaves, packed, by level and number."""
    found, level = dict[tuple[int, int], bytes](), 0
    while len(hashes) >= WIDTH:
        full = [hashes[at : at + WIDTH] for at in range(0, len(hashes) - WIDTH + 1, WIDTH)]
        found |= {(level, number): pack_hashes(tile) for number, tile in enumerate(full)}
        hashes, level = [merkle.root(tile) for tile in full], level + 1
    return found


_TILES_KEPT, _PARTS_KEPT = 512, 65_536
"""About 9 and 10 MB. A proof reads one tile of leaves that nobody asked for lately, and those above it that everybody does: of tiles
the least recently used go first."""


class Tree:
    """The tree of `size` leaves behind its tiles. What was read and computed last is kept, within bounds. ValueError where a tile is not
    the hashes it should be."""

    def __init__(self, size: int, read: Read) -> None:
        self.size = size
        self._tile = lru_cache(_TILES_KEPT)(
            partial(_checked, size, read)
        )  # of no method: a tree that is replaced is gone at once
        self._parts: dict[tuple[int, int], bytes] = {}

    def root(self) -> bytes:
        return self._hash(0, self.size) if self.size else merkle.EMPTY_ROOT

    def inclusion(self, index: int) -> list[bytes]:
        """PATH(index, D[size]) of RFC 6962 §2.1.1, from the leaf up; ValueError outside the tree."""
        if not 0 <= index < self.size:
            raise ValueError("index outside the tree")
        start, stop, path = 0, self.size, []
        while stop - start > 1:
            middle = start + _half(stop - start)
            if index < middle:
                path.append(self._hash(middle, stop))
                stop = middle
            else:
                path.append(self._hash(start, middle))
                start = middle
        return path[::-1]

    def consistency(self, old_size: int) -> list[bytes]:
        """PROOF(old_size, D[size]) of RFC 6962 §2.1.2; ValueError outside the tree."""
        if not 0 < old_size <= self.size:
            raise ValueError("old size outside the tree")
        start, stop, path = 0, self.size, []
        while old_size != stop:
            middle = start + _half(stop - start)
            if old_size <= middle:
                path.append(self._hash(middle, stop))
                stop = middle
            else:
                path.append(self._hash(start, middle))
                start = middle
        return ([self._hash(start, stop)] if start else []) + path[::-1]

    def _hash(self, start: int, stop: int) -> bytes:
        """MTH(D[start:stop]), a part that the RFC's halving leads to."""
        if stop - start <= WIDTH:
            return self._computed(start, stop)
        if (start, stop) not in self._parts:
            if len(self._parts) >= _PARTS_KEPT:
                self._parts.clear()
            self._parts[start, stop] = self._computed(start, stop)
        return self._parts[start, stop]

    def _computed(self, start: int, stop: int) -> bytes:
        """Perfect parts lie aligned in one tile; the others are halved."""
        count = stop - start
        if count & (count - 1):
            middle = start + _half(count)
            return merkle.node_hash(self._hash(start, middle), self._hash(middle, stop))
        level = (count.bit_length() - 1) // HEIGHT
        first, width = start >> level * HEIGHT, count >> level * HEIGHT
        tile = self._tile(level, first // WIDTH)
        return merkle.root(tile[first % WIDTH : first % WIDTH + width])


def _checked(size: int, read: Read, level: int, index: int) -> Sequence[bytes]:
    """A tile of the tree of `size` leaves, as wide as it must be."""
    width = min(WIDTH, (size >> level * HEIGHT) - index * WIDTH)
    found = read(Tile(level, index, width))
    if len(found) != width or any(len(h) != HASH_BYTES for h in found):
        raise BadTile("a tile of another width")
    return found


def _half(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1

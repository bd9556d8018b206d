"""C2SP tlog-tiles: paths, widths, bundles, and proofs from tiles against proofs from leaves."""

from __future__ import annotations

import gc
import hashlib
import weakref
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core import merkle, tiles
from consent.core.tiles import BadTile, Tile, Tree

LEAVES = [merkle.leaf_hash(n.to_bytes(4, "big")) for n in range(70_000)]


@cache
def level(number: int) -> tuple[bytes, ...]:
    """Every hash of a level over `LEAVES`, from the definition: MTH(D[i * 256^l : (i + 1) * 256^l])."""
    if number == 0:
        return tuple(LEAVES)
    below = level(number - 1)
    return tuple(merkle.root(below[i : i + 256]) for i in range(0, len(below) - 255, 256))


def read(tile: Tile) -> tuple[bytes, ...]:
    return level(tile.level)[tile.start : tile.stop]


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 7, 1), "tile/0/007.p/1"),
        (Tile(1, 999), "tile/1/999"),
        (Tile(0, 1_000), "tile/0/x001/000"),
        (Tile(63, 1_234_067), "tile/63/x001/x234/067"),
        (Tile(0, 1_234_067, 255), "tile/0/x001/x234/067.p/255"),
        (Tile(2, 1_000_000_000), "tile/2/x001/x000/x000/000"),
    ],
)
def test_paths_are_the_specifications(tile: Tile, path: str) -> None:
    """Three digits an element, all but the last after an x; a partial tile's width in a folder of its own."""
    assert tiles.hashes_path(tile) == path
    assert tiles.entries_path(tile) == path.replace(f"tile/{tile.level}/", "tile/entries/")


def test_seventy_thousand_leaves_are_laid_out_as_the_specification_says() -> None:
    """273 full and one of 112 at level 0, one full and one of 17 at level 1, one of 1 at level 2; 256: one full, one of 1."""
    found = list(tiles.tiles(70_000))
    assert found[:273] == [Tile(0, n) for n in range(273)]
    assert found[273:] == [Tile(0, 273, 112), Tile(1, 0), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(tiles.tiles(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles.tiles(0)) == []


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_what_grew_and_what_was_there_make_the_whole(a: int, b: int) -> None:
    """The full tiles of the smaller tree and those since then are those of the larger one, each once."""
    small, large = sorted((a, b))
    before, since = [t for t in tiles.tiles(small) if t.whole], list(tiles.tiles(large, small))
    assert sorted([*before, *since]) == sorted(tiles.tiles(large))


def test_a_bundle_is_lengths_and_entries() -> None:
    """Big-endian uint16, then the entry; the empty and the longest entry included."""
    assert tiles.pack_entries([b"a", b"", b"xyz"]) == b"\0\1a\0\0\0\3xyz"
    longest = b"l" * 65_535
    assert tiles.unpack_entries(tiles.pack_entries([longest, b""]), 2) == [longest, b""]
    with pytest.raises(ValueError):
        tiles.pack_entries([b"l" * 65_536])


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=20), st.data())
def test_a_bundle_comes_back_and_a_cut_one_does_not(entries: list[bytes], data: st.DataObject) -> None:
    """Exactly the entries packed; one byte less or more, or another width, is refused."""
    packed = tiles.pack_entries(entries)
    assert tiles.unpack_entries(packed, len(entries)) == entries
    cut = data.draw(st.integers(0, len(packed) - 1))
    for other, width in ((packed[:cut], len(entries)), (packed + b"\0", len(entries)), (packed, len(entries) + 1)):
        with pytest.raises(BadTile):
            tiles.unpack_entries(other, width)


@pytest.mark.parametrize("width", [255, 257])
def test_a_tile_of_another_width_is_refused(width: int) -> None:
    """A tile of 255 or 257 hashes is not the full one, wherever it is met."""
    data = tiles.pack_hashes(LEAVES[:width])
    with pytest.raises(BadTile):
        tiles.unpack_hashes(data, 256)
    with pytest.raises(BadTile):
        Tree(256, lambda _: LEAVES[:width]).root()
    with pytest.raises(BadTile):
        Tree(256, lambda _: [h[:31] for h in LEAVES[:256]]).root()


@given(st.integers(1, 1_500), st.data())
def test_proofs_from_tiles_are_those_from_leaves(size: int, data: st.DataObject) -> None:
    """Root, inclusion and consistency, for any index and any prefix of any tree."""
    tree, leaves = Tree(size, read), LEAVES[:size]
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    assert tree.root() == merkle.root(leaves)
    assert tree.inclusion(index) == merkle.inclusion_path(leaves, index)
    assert tree.consistency(old) == merkle.consistency_path(leaves, old)


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_792, 70_000])
def test_proofs_hold_at_the_edges_of_tiles(size: int) -> None:
    """Around each power of 256 every kind of place verifies, and only what lies in the tree's own tiles was read."""
    asked: set[Tile] = set()

    def noted(tile: Tile) -> tuple[bytes, ...]:
        asked.add(tile)
        return read(tile)

    root = merkle.root(LEAVES[:size])
    for index in {0, size // 2, size - 1, min(size - 1, 255), min(size - 1, 256)}:
        merkle.verify_inclusion(LEAVES[index], index, size, Tree(size, noted).inclusion(index), root)
    for old in {1, size // 2 or 1, size, min(size, 256), min(size, 65_536)}:
        path = Tree(size, noted).consistency(old)
        merkle.verify_consistency(old, size, path, merkle.root(LEAVES[:old]), root)
    assert asked <= set(tiles.tiles(size))


def test_outside_the_tree_there_is_nothing() -> None:
    """An index or an old size beyond the tree is refused; the empty tree has its root."""
    assert Tree(0, read).root() == hashlib.sha256(b"").digest()
    for index in (-1, 3):
        with pytest.raises(ValueError):
            Tree(3, read).inclusion(index)
    for old in (-1, 0, 4):
        with pytest.raises(ValueError):
            Tree(3, read).consistency(old)


@given(st.lists(st.integers(0, 400), max_size=6))
def test_nodes_come_out_as_leaves_come_in(steps: list[int]) -> None:
    """However the leaves are cut into chunks: the frontier is merkle's, and every node above the leaves appears once, right."""
    frontier: merkle.Frontier = ()
    size, nodes = 0, []
    for step in steps:
        frontier, new = tiles.append(frontier, size, LEAVES[size : size + step])
        size, nodes = size + step, nodes + new
    assert frontier == merkle.append((), 0, LEAVES[:size])
    assert [(n.level, n.number) for n in nodes] == [(1, i) for i in range(size // 256)]
    assert all(n.hash == level(1)[n.number] for n in nodes)


def test_nodes_of_the_second_level_appear_with_the_65536th_leaf() -> None:
    """One node of level 2, after the last of its 256 children."""
    _, nodes = tiles.append((), 0, LEAVES)
    assert [n for n in nodes if n.level == 2] == [tiles.Node(2, 0, level(2)[0])]
    assert [n.number for n in nodes if n.level == 1] == list(range(273))
    assert nodes.index(tiles.Node(2, 0, level(2)[0])) == 256


def test_a_tree_that_is_replaced_is_gone_at_once() -> None:
    """Each head has a tree of its own, with megabytes behind it: none of them waits for the garbage collector."""
    gc.disable()
    try:
        tree = Tree(70_000, read)
        assert tree.inclusion(66_000)
        seen = weakref.ref(tree)
        del tree
        assert seen() is None
    finally:
        gc.enable()

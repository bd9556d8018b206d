"""RFC 6962 §2.1 Merkle trees: hashes, roots, inclusion and consistency proofs. Hashes are 32-byte SHA-256.

`Frontier` is the compact range of a growing tree: the roots of its perfect subtrees, largest first; appending costs O(log n).
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
Frontier = tuple[bytes, ...]


def leaf_hash(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def append(frontier: Frontier, size: int, hashes: Sequence[bytes]) -> Frontier:
    """The frontier after appending leaf hashes to a tree of `size` leaves."""
    stack = list(frontier)
    for added in hashes:
        node, bits = added, size
        while bits & 1:
            node, bits = node_hash(stack.pop(), node), bits >> 1
        stack.append(node)
        size += 1
    return tuple(stack)


def frontier_root(frontier: Frontier) -> bytes:
    """The root of the tree a frontier stands for."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for left in reversed(frontier[:-1]):
        root = node_hash(left, root)
    return root


def root(hashes: Sequence[bytes]) -> bytes:
    """MTH of leaf hashes."""
    level = hashes
    while len(level) > 1:
        level = _above(level)
    return level[0] if level else EMPTY_ROOT


def _above(level: Sequence[bytes]) -> list[bytes]:
    """The nodes over a level: pairs hashed, an odd last one moved up."""
    pairs = zip(level[::2], level[1::2], strict=False)
    nodes = [sha256(b"\x01" + left + right).digest() for left, right in pairs]
    return [*nodes, level[-1]] if len(level) & 1 else nodes


def _split(size: int) -> int:
    """The largest power of two smaller than `size`."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_path(hashes: Sequence[bytes], index: int) -> list[bytes]:
    """PATH(index, D[n]), from the leaf up."""
    if not 0 <= index < len(hashes):
        raise ValueError("index outside the tree")
    path: list[bytes] = []
    while len(hashes) > 1:
        k = _split(len(hashes))
        left, right = hashes[:k], hashes[k:]
        path.append(root(right) if index < k else root(left))
        hashes, index = (left, index) if index < k else (right, index - k)
    return path[::-1]


def root_and_paths(hashes: Sequence[bytes]) -> tuple[bytes, list[tuple[bytes, ...]]]:
    """MTH of leaf hashes, and the PATH of each, every node of the tree computed once."""
    levels = [hashes]
    while len(levels[-1]) > 1:
        levels.append(_above(levels[-1]))
    paths: list[tuple[bytes, ...]] = [()] * len(levels[-1])
    for level in reversed(levels[:-1]):
        whole = len(level) & ~1
        own = [(level[place ^ 1], *paths[place >> 1]) for place in range(whole)]
        paths = own if whole == len(level) else [*own, paths[whole >> 1]]
    return (levels[-1][0] if hashes else EMPTY_ROOT), paths


def consistency_path(hashes: Sequence[bytes], old_size: int) -> list[bytes]:
    """PROOF(old_size, D[n])."""
    if not 0 < old_size <= len(hashes):
        raise ValueError("old size outside the tree")

    def sub(m: int, part: Sequence[bytes], known: bool) -> list[bytes]:
        if m == len(part):
            return [] if known else [root(part)]
        k = _split(len(part))
        if m <= k:
            return [*sub(m, part[:k], known), root(part[k:])]
        return [*sub(m - k, part[k:], False), root(part[:k])]

    return sub(old_size, hashes, True)


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root an inclusion path leads to (RFC 9162 §2.1.3.2); ValueError if the path cannot be one."""
    if not 0 <= index < size:
        raise ValueError("index outside the tree")
    node, fn, sn = leaf, index, size - 1
    for sibling in path:
        if len(sibling) != 32 or sn == 0:
            raise ValueError("path of the wrong shape")
        if fn & 1 or fn == sn:
            node = node_hash(sibling, node)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = node_hash(node, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ValueError("path too short")
    return node


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], expected_root: bytes) -> None:
    """ValueError unless a leaf hash is at `index` in the tree of `size` leaves with `expected_root`."""
    if root_from_inclusion(leaf, index, size, path) != expected_root:
        raise ValueError("another root")


def verify_consistency(size1: int, size2: int, path: Sequence[bytes], root1: bytes, root2: bytes) -> None:  # noqa: C901  # the RFC's own steps, kept together
    """ValueError unless the first tree is a prefix of the second (RFC 9162 §2.1.4.2)."""
    if size1 > size2 or size1 < 0:
        raise ValueError("sizes out of order")
    if size1 == size2 or size1 == 0:
        if path or (size1 == size2 and root1 != root2):
            raise ValueError("another root")
        return
    nodes = list(path)
    if not nodes and size1 & (size1 - 1):
        raise ValueError("path too short")
    if not size1 & (size1 - 1):
        nodes.insert(0, root1)
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    if not nodes:
        raise ValueError("path too short")
    first = second = nodes[0]
    for sibling in nodes[1:]:
        if sn == 0:
            raise ValueError("path too long")
        if fn & 1 or fn == sn:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node_hash(second, sibling)
        fn, sn = fn >> 1, sn >> 1
    if sn or first != root1 or second != root2:
        raise ValueError("not consistent")

"""RFC 6962 trees: the public vectors, and every index of every size up to 64."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core import merkle

VECTORS = Path(__file__).parents[3] / "shared" / "vectors" / "rfc6962-merkle"
LEAVES = [merkle.leaf_hash(n.to_bytes(2, "big")) for n in range(64)]
ROOTS = [merkle.root(LEAVES[:size]) for size in range(65)]


def cases(kind: str) -> list[Any]:
    files = sorted((VECTORS / kind).rglob("*.json"))
    return [pytest.param(f, id="/".join(f.relative_to(VECTORS).parts)) for f in files] or [
        pytest.param(None, marks=pytest.mark.skip(f"no public vectors at ../shared/vectors/rfc6962-merkle/{kind}"))
    ]


def b64(text: str | None) -> bytes:
    return base64.b64decode(text or "")


def proof(case: dict[str, Any]) -> list[bytes]:
    return [b64(text) for text in case["proof"] or []]


@pytest.mark.parametrize("file", cases("inclusion"))
def test_inclusion_vectors(file: Path) -> None:
    """Verified exactly where the vector says so."""
    case = json.loads(file.read_text())
    arguments = b64(case["leafHash"]), case["leafIdx"], case["treeSize"], proof(case), b64(case["root"])
    if case["wantErr"]:
        with pytest.raises(ValueError):
            merkle.verify_inclusion(*arguments)
    else:
        merkle.verify_inclusion(*arguments)


@pytest.mark.parametrize("file", cases("consistency"))
def test_consistency_vectors(file: Path) -> None:
    """Verified exactly where the vector says so."""
    case = json.loads(file.read_text())
    arguments = case["size1"], case["size2"], proof(case), b64(case["root1"]), b64(case["root2"])
    if case["wantErr"]:
        with pytest.raises(ValueError):
            merkle.verify_consistency(*arguments)
    else:
        merkle.verify_consistency(*arguments)


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if len(hashes) <= 1:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(hashes[:k]) + naive_root(hashes[k:])).digest()


@pytest.mark.parametrize("size", range(65))
def test_the_root_is_the_rfcs(size: int) -> None:
    """The compact range leads to the tree's definition, however the leaves came in."""
    assert ROOTS[size] == merkle.root_and_paths(LEAVES[:size])[0] == naive_root(LEAVES[:size])
    frontier = merkle.append((), 0, LEAVES[: size // 3])
    frontier = merkle.append(frontier, size // 3, LEAVES[size // 3 : size])
    assert merkle.frontier_root(frontier) == ROOTS[size]
    assert len(frontier) == size.bit_count()


@pytest.mark.parametrize("size", range(1, 65))
def test_every_leaf_of_every_size_is_proved_in_its_place_only(size: int) -> None:
    """Each index verifies; the same path verifies for no other index, and no leaf but its own."""
    paths = merkle.root_and_paths(LEAVES[:size])[1]
    assert len(paths) == size
    for index in range(size):
        path = merkle.inclusion_path(LEAVES[:size], index)
        assert paths[index] == tuple(path)
        merkle.verify_inclusion(LEAVES[index], index, size, path, ROOTS[size])
        for wrong in {index - 1, index + 1, index ^ 1, size} - {index}:
            with pytest.raises(ValueError):
                merkle.verify_inclusion(LEAVES[index], wrong, size, path, ROOTS[size])
        with pytest.raises(ValueError):
            merkle.verify_inclusion(LEAVES[(index + 1) % 64], index, size, path, ROOTS[size])


@pytest.mark.parametrize("size", range(1, 65))
def test_every_prefix_is_proved(size: int) -> None:
    """Each smaller tree is a prefix; a smaller tree of other leaves is not."""
    for old in range(1, size + 1):
        path = merkle.consistency_path(LEAVES[:size], old)
        merkle.verify_consistency(old, size, path, ROOTS[old], ROOTS[size])
        with pytest.raises(ValueError):
            merkle.verify_consistency(old, size, path, ROOTS[old - 1], ROOTS[size])
        with pytest.raises(ValueError):
            merkle.verify_consistency(old, size, path, ROOTS[old], ROOTS[size - 1])


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


@given(st.integers(2, 64), st.data())
def test_a_flipped_bit_never_verifies(size: int, data: st.DataObject) -> None:
    """Of leaf, root or path, in inclusion and in consistency."""
    bit, index, old = (
        data.draw(st.integers(0, 255)),
        data.draw(st.integers(0, size - 1)),
        data.draw(st.integers(1, size - 1)),
    )
    path, prefix = merkle.inclusion_path(LEAVES[:size], index), merkle.consistency_path(LEAVES[:size], old)
    inclusions = [(flipped(LEAVES[index], bit), path, ROOTS[size]), (LEAVES[index], path, flipped(ROOTS[size], bit))]
    inclusions += [
        (LEAVES[index], [*path[:i], flipped(path[i], bit), *path[i + 1 :]], ROOTS[size]) for i in range(len(path))
    ]
    for leaf, changed, root in inclusions:
        with pytest.raises(ValueError):
            merkle.verify_inclusion(leaf, index, size, changed, root)
    pairs = [(prefix, flipped(ROOTS[old], bit), ROOTS[size]), (prefix, ROOTS[old], flipped(ROOTS[size], bit))]
    pairs += [
        ([*prefix[:i], flipped(prefix[i], bit), *prefix[i + 1 :]], ROOTS[old], ROOTS[size]) for i in range(len(prefix))
    ]
    for changed, root1, root2 in pairs:
        with pytest.raises(ValueError):
            merkle.verify_consistency(old, size, changed, root1, root2)


@given(st.integers(1, 64), st.data())
def test_a_path_of_another_shape_never_verifies(size: int, data: st.DataObject) -> None:
    """One hash more, one less, one of 31 bytes: refused."""
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    path, prefix = merkle.inclusion_path(LEAVES[:size], index), merkle.consistency_path(LEAVES[:size], old)
    for changed in (
        [*path, LEAVES[0]],
        [LEAVES[0], *path],
        path[:-1] if path else [b""],
        [h[:31] for h in path] or [b""],
    ):
        with pytest.raises(ValueError):
            merkle.verify_inclusion(LEAVES[index], index, size, changed, ROOTS[size])
    for changed in ([*prefix, LEAVES[0]], [LEAVES[0], *prefix], prefix[:-1] if prefix else [b""]):
        with pytest.raises(ValueError):
            merkle.verify_consistency(old, size, changed, ROOTS[old], ROOTS[size])


def test_what_is_outside_the_tree_has_no_path() -> None:
    """Asking for it is a ValueError; so is a prefix of nothing."""
    for index in (-1, 3):
        with pytest.raises(ValueError):
            merkle.inclusion_path(LEAVES[:3], index)
    for old in (0, 4):
        with pytest.raises(ValueError):
            merkle.consistency_path(LEAVES[:3], old)
    for sizes in ((3, 2), (-1, 2)):
        with pytest.raises(ValueError):
            merkle.verify_consistency(*sizes, [], ROOTS[3], ROOTS[2])


def test_leaf_and_node_are_told_apart() -> None:
    """A node is never a leaf (RFC 6962 §2.1): other prefixes."""
    left, right = LEAVES[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
    assert hashlib.sha256(b"").digest() == merkle.EMPTY_ROOT == ROOTS[0]

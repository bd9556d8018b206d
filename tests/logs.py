"""Logs made by hand, and a monitor that shares no code with us: for the tests of the public log."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent import publish
from consent.core import merkle, note, tiles
from consent.core.note import Checkpoint, Verifier
from consent.core.tiles import Tile, Tree
from consent.publish import Files
from consent.transaction import transaction
from tests.world import World

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
LOG = Verifier("accord.test/log", KEY.public_key().public_bytes_raw())


class Entries:
    """A log in memory: `publish.Source`, and its checkpoints."""

    def __init__(self, count: int, word: bytes = b"leaf") -> None:
        self.leaves = [b"%s %d" % (word, n) for n in range(count)]
        self._hashes = [[merkle.leaf_hash(leaf) for leaf in self.leaves]]
        while len(self._hashes[-1]) >= 256:
            below = self._hashes[-1]
            self._hashes.append([merkle.root(below[i : i + 256]) for i in range(0, len(below) - 255, 256)])

    def hashes(self, tile: Tile) -> Sequence[bytes]:
        return self._hashes[tile.level][tile.start : tile.stop]

    def entries(self, tile: Tile) -> Sequence[bytes]:
        return self.leaves[tile.start : tile.stop]

    def checkpoint(self, size: int, origin: str = LOG.name) -> str:
        return note.sign(Checkpoint(origin, size, Tree(size, self.hashes).root()).text(), origin, KEY)


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def naive_root(hashes: list[bytes]) -> bytes:
    """RFC 6962 §2.1, word for word."""
    if len(hashes) <= 1:
        return hashes[0] if hashes else hashlib.sha256(b"").digest()
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(hashes[:k]) + naive_root(hashes[k:])).digest()


def fetched_log(url: str, name: str, public_key: bytes) -> list[bytes]:
    """A monitor of its own: reads checkpoint and entries by HTTP, checks the signature, every tile of level 0 and the root."""

    def get(path: str) -> bytes:
        response = httpx.get(f"{url}/{path}")
        assert response.status_code == 200, path
        return response.content

    body, _, lines = get("checkpoint").decode().partition("\n\n")
    dash, signer, encoded = lines.splitlines()[0].split(" ")
    assert (dash, signer) == ("—", name)
    Ed25519PublicKey.from_public_bytes(public_key).verify(base64.b64decode(encoded)[4:], (body + "\n").encode())
    origin, size, root = body.split("\n")
    assert origin == name
    entries: list[bytes] = []
    for n in range((int(size) + 255) // 256):
        width = min(256, int(size) - n * 256)
        suffix = f"{n:03}" + ("" if width == 256 else f".p/{width}")
        bundle, tile, at = get(f"tile/entries/{suffix}"), get(f"tile/0/{suffix}"), 0
        for place in range(width):
            length = int.from_bytes(bundle[at : at + 2], "big")
            entries.append(bundle[at + 2 : at + 2 + length])
            assert hashlib.sha256(b"\0" + entries[-1]).digest() == tile[place * 32 : place * 32 + 32]
            at += 2 + length
        assert at == len(bundle) and len(tile) == width * 32
    assert naive_root([hashlib.sha256(b"\0" + e).digest() for e in entries]) == base64.b64decode(root)
    return entries


def grow(world: World, count: int) -> None:
    """Leaves about nobody, five hundred a transaction."""
    for start in range(0, count, 500):
        with transaction(world.engine, world.keys, world.clock.now_ms()) as tx:
            for number in range(start, min(start + 500, count)):
                tx.append("directory", b"", b"fact %d" % number)


def valid(folder: Path) -> int:
    """The size of the log that lies in a folder, recomputed from its entries and found in its tiles; AssertionError if it is not one."""
    text = publish.published(folder)
    assert text is not None
    head, source = note.parse_checkpoint(note.verify(text, LOG)), Files(folder)
    assert Tree(head.size, source.hashes).root() == head.root
    for tile in tiles.tiles(head.size):
        if tile.level == 0:
            assert [merkle.leaf_hash(e) for e in source.entries(tile)] == list(source.hashes(tile))
    return head.size

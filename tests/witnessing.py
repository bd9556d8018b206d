"""A log's checkpoints, and witnesses to submit them to: for the tests of witnesses and of those who ask them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.core import merkle, note
from consent.core.note import Checkpoint, Verifier
from consent.witness import rules
from consent.witness.rules import Submission
from consent.witness.server import WitnessServer

NOW_S = 1_700_000_000
KEYS = [Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(1, 9)]
LOG = Verifier("accord.test/log", KEYS[0].public_key().public_bytes_raw())
LEAVES = [merkle.leaf_hash(b"leaf %d" % n) for n in range(40)]
OTHER = [merkle.leaf_hash(b"other %d" % n) for n in range(40)]
NAME = "witness.test/w1"


def checkpoint(
    size: int, leaves: Sequence[bytes] = LEAVES, origin: str = LOG.name, key: Ed25519PrivateKey = KEYS[0]
) -> str:
    return note.sign(Checkpoint(origin, size, merkle.root(leaves[:size])).text(), origin, key)


def body(
    old: int, size: int, leaves: Sequence[bytes] = LEAVES, path: Sequence[bytes] | None = None, **changes: object
) -> bytes:
    """A submission, with the right proof unless another is given."""
    right = merkle.consistency_path(leaves[:size], old) if path is None and 0 < old <= size else path or []
    return rules.write(Submission(old, tuple(right), checkpoint(size, leaves, **changes)))  # type: ignore[arg-type]


def a_witness(folder: Path, *logs: Verifier) -> WitnessServer:
    return WitnessServer(folder, NAME, logs or (LOG,), lambda: NOW_S)


def http_to(server: WitnessServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(server.app()), base_url="http://witness.test")

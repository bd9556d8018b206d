"""C2SP tlog-proof (c2sp.org/tlog-proof): one text that shows a leaf's place in a log, for whoever has the log's key.

This is its form only; `consent.verify` says whether it is true. Our receipts carry the leaf itself as `extra`.
"""

from __future__ import annotations

import base64
from typing import NamedTuple

from consent.core import note

HEADER = "c2sp.org/tlog-proof@v1"
MAX_BYTES = 256 * 1024
MAX_PATH = 63


class BadProof(ValueError):
    """Not a tlog-proof."""


class Proof(NamedTuple):
    """A leaf's index, its inclusion path from the leaf up, the checkpoint (a signed note, verbatim), and opaque bytes."""

    leaf_index: int
    path: tuple[bytes, ...]
    checkpoint: str
    extra: bytes = b""


def write(proof: Proof) -> str:
    """The proof's text."""
    lines = [HEADER]
    if proof.extra:
        lines.append("extra " + base64.b64encode(proof.extra).decode())
    lines.append(f"index {proof.leaf_index}")
    lines += [base64.b64encode(sibling).decode() for sibling in proof.path]
    return "\n".join(lines) + "\n\n" + proof.checkpoint


def read(text: str) -> Proof:
    """A text as a proof; BadProof if it is not one. The checkpoint is not looked into."""
    head, blank, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    if len(text) > MAX_BYTES or not blank or header != HEADER or not lines or checkpoint[:1] in ("", "\n"):
        raise BadProof("not a tlog-proof")
    try:
        extra = note.decode(lines.pop(0)[len("extra ") :]) if lines[0].startswith("extra ") else None
        keyword, _, index = lines.pop(0).partition(" ")
        path = tuple(note.decode(line) for line in lines)
        proof = Proof(note.decimal(index), path, checkpoint, extra or b"")
    except (ValueError, IndexError):
        raise BadProof("not a tlog-proof") from None
    if keyword != "index" or extra == b"" or len(path) > MAX_PATH or any(len(sibling) != 32 for sibling in path):
        raise BadProof("not a tlog-proof")
    return proof

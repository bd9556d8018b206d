"""What leaves commit to: nothing but salted digests lies in the log."""

from __future__ import annotations

from exchange.core.encoding import digest, join
from exchange.core.sealing import Context

RELEASED = "released"


def commit(salt: bytes, content: bytes) -> bytes:
    """The commitment of a leaf."""
    return digest(b"accord.fact.v1", salt, content)


def released_content(context: Context, t: bytes) -> bytes:
    """What the leaf of a release commits to: D, its transcript T and the certificate. All three stand in the attempt's row and name nobody: the store
    keeps them as they are, so that a release needs no key of the person's file."""
    return join(RELEASED.encode(), context.digest, t, context.certificate_hash)

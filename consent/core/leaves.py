"""What leaves commit to: nothing but salted digests lies in the log."""

from __future__ import annotations

from exchange.core.encoding import digest, join
from exchange.core.sealing import Context, transcript


def commit(salt: bytes, content: bytes) -> bytes:
    """The commitment of a leaf."""
    return digest(b"accord.fact.v1", salt, content)


def released_content(context: Context) -> bytes:
    """What the leaf of a release commits to: D, T and the certificate, all known to the collectivity."""
    return join(b"released", context.digest, transcript(context), context.certificate_hash)

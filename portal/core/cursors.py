"""Where to go on reading, as a text that only its own operator can use and nobody can make or mend.

A cursor is a version, then for each partition its number and the next offset, then a MAC over these and the operator.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping

from exchange.core.encoding import join

_VERSION, _MAC_BYTES, _PAIR_BYTES = b"\x01", 16, 12
CHARS_MAX = 4096
Offsets = Mapping[int, int]


class BadCursor(ValueError):
    """Not a cursor of this operator."""


def write(key: bytes, operator: str, offsets: Offsets) -> str:
    """The cursor after these offsets."""
    pairs = b"".join(p.to_bytes(4, "big") + o.to_bytes(8, "big") for p, o in sorted(offsets.items()))
    return base64.urlsafe_b64encode(_VERSION + pairs + _mac(key, operator, pairs)).decode().rstrip("=")


def read(key: bytes, operator: str, text: str) -> dict[int, int]:
    """The offsets of a cursor, none for the empty text; BadCursor."""
    if not text:
        return {}
    data = _decoded(text)
    pairs, mac = data[1:-_MAC_BYTES], data[-_MAC_BYTES:]
    if data[:1] != _VERSION or len(pairs) % _PAIR_BYTES or not hmac.compare_digest(mac, _mac(key, operator, pairs)):
        raise BadCursor
    cut = [pairs[at : at + _PAIR_BYTES] for at in range(0, len(pairs), _PAIR_BYTES)]
    return {int.from_bytes(pair[:4], "big"): int.from_bytes(pair[4:], "big") for pair in cut}


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadCursor from None
    if (
        len(text) > CHARS_MAX
        or len(data) < 1 + _MAC_BYTES
        or base64.urlsafe_b64encode(data).decode().rstrip("=") != text
    ):
        raise BadCursor  # also what another text would decode to
    return data


def _mac(key: bytes, operator: str, pairs: bytes) -> bytes:
    return hmac.digest(key, join(b"accord.cursor.v1", operator.encode(), pairs), "sha256")[:_MAC_BYTES]

"""The short code printed on a receipt: whoever has it sees that one agreement, and may withdraw it. Values only.

80 bits of an HMAC under a key of the ledger, in Crockford's base 32 (no I, L, O, U): sixteen characters that are read aloud and typed.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from exchange.core.encoding import join

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ = str.maketrans("ILO", "110", " -\u2011\u00a0\u202f\t")
_BYTES = 10


def short_code(key: bytes, authorisation: bytes) -> str:
    """`XXXX-XXXX-XXXX-XXXX`; only who has `key` can make it."""
    number = int.from_bytes(hmac.digest(key, join(b"accord.code.v1", authorisation), "sha256")[:_BYTES], "big")
    text = "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_BYTES * 8 // 5)))
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def code_digest(typed: str) -> bytes:
    """What the ledger knows of a code, however it was typed: case, spaces and dashes do not count, O is 0, I and L are 1."""
    return sha256(b"accord.code.v1" + typed.upper().translate(_READ).encode()).digest()

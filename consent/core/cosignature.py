"""C2SP tlog-cosignature (c2sp.org/tlog-cosignature), Ed25519 (type 0x04): what a witness says of a checkpoint, and when.

Pure but for the signature itself, which is deterministic (RFC 8032).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent.core import note
from consent.core.note import BadNote, Signature

_TYPE = b"\x04"
_TIME_BYTES = 8
_VALUE_BYTES = _TIME_BYTES + 64
AHEAD_MAX_S = 300
"""How far a witness's clock may be ahead of its reader's."""


class Witness(NamedTuple):
    """A witness's name and raw Ed25519 public key."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + _TYPE + self.public_key).digest()[:4]

    def __str__(self) -> str:
        """The verifier key (vkey): name+hash+base64."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_TYPE + self.public_key).decode()}"


def parse_witness(vkey: str) -> Witness:
    """BadNote unless `vkey` is an Ed25519 cosignature key whose hash is right."""
    name, _, rest = vkey.strip().partition("+")
    key_hash, _, encoded = rest.partition("+")
    try:
        key = note.decode(encoded)
    except ValueError as error:
        raise BadNote("not a witness key") from error
    witness = Witness(name, key[1:])
    if not name or any(c.isspace() for c in name) or key[:1] != _TYPE or len(key) != 33:
        raise BadNote("not a witness key")
    if witness.key_id.hex() != key_hash:
        raise BadNote("not a witness key")
    return witness


def message(text: str, timestamp_s: int) -> bytes:
    """What is signed: the whole text of the checkpoint, as seen at `timestamp_s` (POSIX)."""
    return f"cosignature/v1\ntime {timestamp_s}\n{text}".encode()


def cosign(text: str, name: str, key: Ed25519PrivateKey, timestamp_s: int) -> Signature:
    """The witness's signature of a checkpoint's text."""
    witness = Witness(name, key.public_key().public_bytes_raw())
    time = timestamp_s.to_bytes(_TIME_BYTES, "big")
    return Signature(name, witness.key_id, time + key.sign(message(text, timestamp_s)))


def cosigned_at(text: str, signatures: Sequence[Signature], witness: Witness, now_s: int) -> int | None:
    """When this witness cosigned the text, at the latest (POSIX seconds); None if it did not. BadNote if one of its signatures is
    bad, or says a time that is zero or lies ahead of `now_s`."""
    times = [
        _time(text, s.value, witness, now_s) for s in signatures if (s.name, s.key_id) == (witness.name, witness.key_id)
    ]
    return max(times, default=None)


def _time(text: str, value: bytes, witness: Witness, now_s: int) -> int:
    if len(value) != _VALUE_BYTES:
        raise BadNote("bad cosignature")
    timestamp_s = int.from_bytes(value[:_TIME_BYTES], "big")
    if not 0 < timestamp_s <= now_s + AHEAD_MAX_S:
        raise BadNote("cosignature of another time")
    note.check(witness.public_key, value[_TIME_BYTES:], message(text, timestamp_s))
    return timestamp_s

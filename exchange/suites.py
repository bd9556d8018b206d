"""The two suites of an authorisation's key, both HPKE (RFC 9180, base mode, HKDF-SHA256, AES-256-GCM): X25519 (`exchange.hpke`), and
ML-KEM-768 with X25519 (X-Wing, `cryptography`'s), which a quantum computer does not open.

A key's raw form is the concatenation of its parts. X25519: public, 32 bytes; private, the private half and the public one (a key that was
kept before 2026-12 has the first alone). With ML-KEM: its seed (64 bytes, FIPS 203) or encapsulation key (1,184 bytes), then the
private or public half of X25519. Directory keys and identities are X25519; an authorisation's key is of its certificate's suite.
"""

from __future__ import annotations

from cryptography.hazmat.primitives import hpke as wide
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from exchange import hpke
from exchange.core.sealing import HYBRID, PUBLIC_BYTES, X25519
from exchange.hpke import KeyPair

PrivateKey = KeyPair | wide.MLKEM768X25519PrivateKey

_SEED_BYTES = 64
_WIDE = wide.Suite(wide.KEM.MLKEM768_X25519, wide.KDF.HKDF_SHA256, wide.AEAD.AES_256_GCM)


def generate(suite: str) -> tuple[bytes, bytes]:
    """A key pair, private and public, raw."""
    pair = KeyPair.generate()
    if suite == X25519:
        return pair.raw, pair.public
    lattice = MLKEM768PrivateKey.generate()
    return lattice.private_bytes_raw() + pair.private, lattice.public_key().public_bytes_raw() + pair.public


def private_key(suite: str, raw: bytes) -> PrivateKey:
    """ValueError for bytes that are not a key of this suite."""
    if suite == X25519:
        half, public = raw[: hpke.KEY_BYTES], raw[hpke.KEY_BYTES :]
        return KeyPair(half, public) if len(public) == hpke.KEY_BYTES else KeyPair.of(raw)
    lattice, curve = MLKEM768PrivateKey.from_seed_bytes(raw[:_SEED_BYTES]), raw[_SEED_BYTES:]
    return wide.MLKEM768X25519PrivateKey(lattice, X25519PrivateKey.from_private_bytes(curve))


def whole(suite: str, raw: bytes) -> bytes:
    """A private key in the raw form of today; ValueError as above."""
    key = private_key(suite, raw)
    return key.raw if isinstance(key, KeyPair) else raw


def encrypt(suite: str, public_key: bytes, plain: bytes, info: bytes) -> bytes:
    """`enc ‖ ciphertext` to a raw public key; ValueError for bytes that are not a key of this suite."""
    if suite == X25519:
        return hpke.seal(public_key, plain, info)
    lattice_bytes = PUBLIC_BYTES[HYBRID] - PUBLIC_BYTES[X25519]
    lattice = MLKEM768PublicKey.from_public_bytes(public_key[:lattice_bytes])
    curve = X25519PublicKey.from_public_bytes(public_key[lattice_bytes:])
    return _WIDE.encrypt(plain, wide.MLKEM768X25519PublicKey(lattice, curve), info=info)


def decrypt(private: PrivateKey, sealed: bytes, info: bytes) -> bytes:
    """InvalidTag or ValueError for what was not sealed to this key, in its suite and under this info."""
    if isinstance(private, KeyPair):
        return hpke.unseal(private, sealed, info)
    return _WIDE.decrypt(sealed, private, info=info)

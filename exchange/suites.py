"""The two suites of HPKE (RFC 9180, base mode, HKDF-SHA256, AES-256-GCM): X25519, and ML-KEM-768 with X25519 (X-Wing), which a
quantum computer does not open.

A key's raw form is the concatenation of its halves: the seed (64 bytes, FIPS 203) or encapsulation key (1,184 bytes) of ML-KEM, then
that of X25519 (32 bytes, RFC 7748). Directory keys and identities are X25519; an authorisation's key is of its certificate's suite.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from exchange.core.sealing import HYBRID, PUBLIC_BYTES, X25519

PrivateKey = X25519PrivateKey | hpke.MLKEM768X25519PrivateKey

_SEED_BYTES = 64
_HPKE = {
    X25519: hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    HYBRID: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
}


def generate(suite: str) -> tuple[bytes, bytes]:
    """A key pair, private and public, raw."""
    curve = X25519PrivateKey.generate()
    private, public = curve.private_bytes_raw(), curve.public_key().public_bytes_raw()
    if suite == X25519:
        return private, public
    lattice = MLKEM768PrivateKey.generate()
    return lattice.private_bytes_raw() + private, lattice.public_key().public_bytes_raw() + public


def private_key(suite: str, raw: bytes) -> PrivateKey:
    """ValueError for bytes that are not a key of this suite."""
    if suite == X25519:
        return X25519PrivateKey.from_private_bytes(raw)
    lattice, curve = MLKEM768PrivateKey.from_seed_bytes(raw[:_SEED_BYTES]), raw[_SEED_BYTES:]
    return hpke.MLKEM768X25519PrivateKey(lattice, X25519PrivateKey.from_private_bytes(curve))


def encrypt(suite: str, public_key: bytes, plain: bytes, info: bytes) -> bytes:
    """`enc ‖ ciphertext` to a raw public key; ValueError for bytes that are not a key of this suite."""
    if suite == X25519:
        return _HPKE[X25519].encrypt(plain, _curve(public_key), info=info)
    lattice_bytes = PUBLIC_BYTES[HYBRID] - PUBLIC_BYTES[X25519]
    lattice = MLKEM768PublicKey.from_public_bytes(public_key[:lattice_bytes])
    curve = X25519PublicKey.from_public_bytes(public_key[lattice_bytes:])
    return _HPKE[HYBRID].encrypt(plain, hpke.MLKEM768X25519PublicKey(lattice, curve), info=info)


@lru_cache(maxsize=256)
def _curve(public_key: bytes) -> X25519PublicKey:
    """Much is sealed to few providers and recipients."""
    return X25519PublicKey.from_public_bytes(public_key)


def decrypt(private: PrivateKey, sealed: bytes, info: bytes) -> bytes:
    """InvalidTag or ValueError for what was not sealed to this key, in its suite and under this info."""
    if isinstance(private, X25519PrivateKey):
        return _HPKE[X25519].decrypt(sealed, private, info=info)
    return _HPKE[HYBRID].decrypt(sealed, private, info=info)

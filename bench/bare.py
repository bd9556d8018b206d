"""The limit of what seals: HPKE as `cryptography` has it, private keys loaded beforehand."""

from __future__ import annotations

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.report import Words
from exchange.hpke import KEY_BYTES

HPKE = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
OURS: Words = (
    "La limite est HPKE de `cryptography` ; Accord compose le sien sur libsodium, qui n'a pas à calculer la moitié publique d'une clé (ADR 0046).",
    "The limit is `cryptography`'s HPKE; Accord composes its own over libsodium, which need not compute a key's public half (ADR 0046).",
)


def loaded(raw: bytes) -> X25519PrivateKey:
    """A private key of `exchange.suites`."""
    return X25519PrivateKey.from_private_bytes(raw[:KEY_BYTES])

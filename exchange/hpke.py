"""HPKE of one message (RFC 9180): base mode with X25519, HKDF-SHA256 and AES-256-GCM, over libsodium's curve (`PyNaCl`).

`cryptography`'s HPKE is the same to the bit, and slower by a multiplication on the curve: it computes the public half of every private
key that it is given, though whoever keeps one has both (ADR 0046). Names and clauses are the RFC's.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from exchange.mac import keyed, mac

KEY_BYTES = 32
_KEM = b"KEM" + (0x0020).to_bytes(2, "big")  # DHKEM(X25519, HKDF-SHA256), §7.1
_SUITE = b"HPKE" + b"".join(
    part.to_bytes(2, "big") for part in (0x0020, 0x0001, 0x0002)
)  # HKDF-SHA256, AES-256-GCM, §7.2, §7.3
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Of X25519 (RFC 7748), each half raw: 32 bytes."""

    private: bytes = field(repr=False)
    public: bytes

    @classmethod
    def of(cls, private: bytes) -> KeyPair:
        """That of these 32 bytes; ValueError for as many as no key has."""
        if len(private) != KEY_BYTES:
            raise ValueError("not a key of X25519")
        return cls(private, crypto_scalarmult_base(private))

    @property
    def raw(self) -> bytes:
        """Both halves, the private one first."""
        return self.private + self.public

    @classmethod
    def generate(cls) -> KeyPair:
        return cls.of(os.urandom(KEY_BYTES))


def seal(public: bytes, plain: bytes, info: bytes) -> bytes:
    """SealBase (§6.1), without `aad`: `enc ‖ ciphertext`. ValueError for bytes that are no public key."""
    ephemeral = KeyPair.generate()
    key, nonce = _key_schedule(_shared_secret(ephemeral.private, public, ephemeral.public + public), info)
    return ephemeral.public + key.encrypt(nonce, plain, None)


def unseal(pair: KeyPair, sealed: bytes, info: bytes) -> bytes:
    """OpenBase (§6.1), without `aad`. InvalidTag or ValueError for what was not sealed to this pair, under this info."""
    enc = sealed[:KEY_BYTES]
    key, nonce = _key_schedule(_shared_secret(pair.private, enc, enc + pair.public), info)
    return key.decrypt(nonce, sealed[KEY_BYTES:], None)


def _labelled(suite: bytes, label: bytes, size_bytes: int = 0) -> bytes:
    """What LabeledExtract (no size) and LabeledExpand (§4) put before their input."""
    return (size_bytes.to_bytes(2, "big") if size_bytes else b"") + b"HPKE-v1" + suite + label


_BLOCK = b"\1"
"""HKDF's Extract is one HMAC, and so is its Expand for one block, whose number is the last byte (RFC 5869 §2.2, §2.3)."""
_NO_SALT = keyed(bytes(32))
_EAE_PRK, _SHARED_SECRET = _labelled(_KEM, b"eae_prk"), _labelled(_KEM, b"shared_secret", 32)
_INFO_HASH, _SECRET = _labelled(_SUITE, b"info_hash"), _labelled(_SUITE, b"secret")
_BASE = b"\0" + mac(_NO_SALT, _labelled(_SUITE, b"psk_id_hash"))
"""The mode, and the hash of no PSK's id: what each context of this mode begins with."""
_KEY, _NONCE = _labelled(_SUITE, b"key", 32) + _BASE, _labelled(_SUITE, b"base_nonce", _NONCE_BYTES) + _BASE


def _shared_secret(private: bytes, public: bytes, context: bytes) -> bytes:
    """ExtractAndExpand of DH (§4.1). ValueError where either half is none, or the public one of small order (§7.1.4)."""
    if not len(private) == len(public) == KEY_BYTES:  # nacl does not look
        raise ValueError("not a key of X25519")
    try:
        dh = crypto_scalarmult(private, public)
    except CryptoError as error:
        raise ValueError("not a public key of X25519") from error
    return mac(keyed(mac(_NO_SALT, _EAE_PRK + dh)), _SHARED_SECRET + context + _BLOCK)


def _key_schedule(shared_secret: bytes, info: bytes) -> tuple[AESGCM, bytes]:
    """KeySchedule (§5.1): the key and the nonce of the first message, which is the only one."""
    secret, bound = keyed(mac(keyed(shared_secret), _SECRET)), mac(_NO_SALT, _INFO_HASH + info) + _BLOCK
    return AESGCM(mac(secret, _KEY + bound)), mac(secret, _NONCE + bound)[:_NONCE_BYTES]

"""Where the ledger's keys at rest get their protection from: the file's mode alone, a KEK given at the start, or a token.

All secrets of a key directory are wrapped under one of them, `root.key`; only that one is wrapped by the master. So a token is
asked once per start, and moving to another master replaces one file.
"""

from __future__ import annotations

import base64
import binascii
import os
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent.keys.files import BadKeyFile, read

KEY_BYTES = 32
NONCE_BYTES = 12


class Master(Protocol):
    """What wraps a secret at rest, and nobody else can unwrap. `unwrap` gives back what `wrap` took if it is asked with the same
    `bound` bytes (at most 128), and raises BadKeyFile otherwise; Unavailable where it does not answer now. Secrets are 32 bytes.
    Wrapping is authenticated and differs at each call. `kind` is a lower-case word, written beside what it wrapped.

    A KMS over HTTP is this port too: `wrap` its Encrypt and `unwrap` its Decrypt, `bound` as what it calls additional
    authenticated data or encryption context; an HTTP 400 or 403 is BadKeyFile, a timeout or 5xx Unavailable. Both are called
    before the ledger serves, never afterwards, so a blocking client with a timeout will do."""

    @property
    def kind(self) -> str: ...

    def wrap(self, secret: bytes, bound: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes: ...


class KEK:
    """`Master` by AES-256-GCM under 32 bytes that were given to this process."""

    kind = "kek"

    def __init__(self, key: bytes) -> None:
        """BadKeyFile for another size."""
        if len(key) != KEY_BYTES:
            raise BadKeyFile(f"KEK: {len(key)} bytes instead of {KEY_BYTES}")
        self._cipher = AESGCM(key)

    @classmethod
    def of_text(cls, text: str) -> KEK:
        """From base64, as `openssl rand -base64 32` writes it; BadKeyFile otherwise."""
        try:
            return cls(base64.b64decode(text.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise BadKeyFile("KEK: not base64") from None

    @classmethod
    def of_file(cls, path: Path) -> KEK:
        """From a file that is its owner's alone: a systemd credential, a mounted secret, `/dev/fd/N`."""
        return cls.of_text(read(path).decode("ascii", "replace"))

    def wrap(self, secret: bytes, bound: bytes) -> bytes:
        return seal(self._cipher, os.urandom(NONCE_BYTES), secret, bound)

    def unwrap(self, wrapped: bytes, bound: bytes) -> bytes:
        try:
            return unseal(self._cipher, wrapped, bound)
        except (InvalidTag, ValueError):
            raise BadKeyFile("root.key: another KEK wrapped it") from None


def seal(cipher: AESGCM, nonce: bytes, secret: bytes, bound: bytes) -> bytes:
    """`nonce ‖ ciphertext`."""
    return nonce + cipher.encrypt(nonce, secret, bound)


def unseal(cipher: AESGCM, wrapped: bytes, bound: bytes) -> bytes:
    """InvalidTag or ValueError for what was not sealed so."""
    return cipher.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound)

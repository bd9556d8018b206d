"""The ledger's keys, in five separate wrapping domains (protocol §5): release KEK epochs, content, pseudonyms, log, certificates.

Each secret is one file, mode 0600, in a directory of mode 0700. Losing a release KEK epoch only costs answers in flight; it is
never backed up.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent.core.note import Verifier
from exchange.core.encoding import join

Entropy = Callable[[int], bytes]
_KEK_EPOCH = 1
_SECRETS = ("release-1.kek", "content.kek", "pseudonym.key", "log.key", "certificate.key", "registrar.key")


class BadKeyFile(Exception):
    """A key file that others can read, or of the wrong size."""


@dataclass(frozen=True)
class KeyRing:
    """The secrets in use, 32 bytes each, by file name."""

    origin: str
    secrets: dict[str, bytes]
    entropy: Entropy = os.urandom
    macs: dict[str, bytes] = field(default_factory=dict)

    @property
    def kek_epoch(self) -> int:
        return _KEK_EPOCH

    @property
    def log(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secrets["log.key"])

    @property
    def certificate(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secrets["certificate.key"])

    @property
    def registrar(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secrets["registrar.key"])

    @property
    def verifier(self) -> Verifier:
        """The log's verifier key."""
        return Verifier(self.origin, self.log.public_key().public_bytes_raw())

    def wrap_release(self, authorisation: bytes, epoch: int, private_key: bytes) -> bytes:
        return self._wrap("release-1.kek", private_key, join(authorisation, epoch.to_bytes(4, "big")))

    def unwrap_release(self, authorisation: bytes, epoch: int, wrapped: bytes) -> bytes:
        return self._unwrap("release-1.kek", wrapped, join(authorisation, epoch.to_bytes(4, "big")))

    def wrap_content_key(self, authorisation: bytes, key: bytes) -> bytes:
        return self._wrap("content.kek", key, join(authorisation))

    def unwrap_content_key(self, authorisation: bytes, wrapped: bytes) -> bytes:
        return self._unwrap("content.kek", wrapped, join(authorisation))

    def _wrap(self, domain: str, secret: bytes, bound: bytes) -> bytes:
        nonce = self.entropy(12)
        return nonce + AESGCM(self.secrets[domain]).encrypt(nonce, secret, bound)

    def _unwrap(self, domain: str, wrapped: bytes, bound: bytes) -> bytes:
        return AESGCM(self.secrets[domain]).decrypt(wrapped[:12], wrapped[12:], bound)


def ephemeral(origin: str, entropy: Entropy = os.urandom) -> KeyRing:
    """Keys that live in memory only."""
    return KeyRing(origin, {name: entropy(32) for name in _SECRETS}, entropy)


def open_keys(directory: Path, origin: str) -> KeyRing:
    """The keys in `directory`, made at the first opening; BadKeyFile if a file is readable by others or of the wrong size."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return KeyRing(origin, {name: read_or_make(directory / name) for name in _SECRETS}, os.urandom)


def read_or_make(path: Path, size_bytes: int = 32) -> bytes:
    """A secret of `size_bytes`, made at random if the file is absent (O_EXCL, fsynced)."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path.with_suffix(path.suffix + ".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(os.urandom(size_bytes))
            file.flush()
            os.fsync(file.fileno())
        os.replace(path.with_suffix(path.suffix + ".new"), path)
    if path.stat().st_mode & 0o077:
        raise BadKeyFile(f"{path.name}: readable by others (chmod 600)")
    secret = path.read_bytes()
    if len(secret) != size_bytes:
        raise BadKeyFile(f"{path.name}: {len(secret)} bytes instead of {size_bytes}")
    return secret

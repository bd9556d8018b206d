"""What a collectivity keeps: its private key for one operator, and the capsules of the agreements it was given.

A capsule comes sealed to that key. It is opened and checked once, when it is kept, and lies on the disk sealed again, under a
key that only the private key's holder can derive: no identity lies there in clear, and nobody else can put one there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from consent import certificates
from consent.core.facts import DirectoryEntry
from consent.keys import read_or_make, sources
from exchange.core.encoding import join, split
from exchange.core.sealing import capsule_info
from exchange.hpke import KeyPair
from exchange.schemas import catalogue
from exchange.sealing import Unopenable, unseal

_NAME = re.compile(r"[0-9a-f]{32}")
_OPENED_MAX = 16_384
"""Capsules kept opened in memory, about 1 kB each: an agreement that serves once serves again, at least to open its answer."""


_READ_BYTES = 1 << 14


class Capsule(NamedTuple):
    """The canonical identity, its salt, and the signed certificate of an agreement; `checked` is the raw public key whose signature
    the certificate was found to bear when it was kept, empty if it was not looked at."""

    identity: bytes
    salt: bytes
    certificate: bytes
    checked: bytes = b""


@dataclass(frozen=True)
class Wallet:
    """Keys and capsules of one recipient (SIRET) under one operator (SIREN); `folder` None keeps capsules in memory. `issuer`, where it is
    known, is the ledger's raw public key for certificates."""

    recipient: str
    operator: str
    private: KeyPair
    enrolment: Ed25519PrivateKey
    folder: Path | None = None
    issuer: bytes = b""
    _held: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def new(cls, recipient: str, operator: str) -> Wallet:
        return cls(recipient, operator, KeyPair.generate(), Ed25519PrivateKey.generate())

    @classmethod
    def open(cls, folder: Path, recipient: str, operator: str, issuer: bytes = b"") -> Wallet:
        """The wallet in `folder`, its keys made at the first opening."""
        private = KeyPair.of(read_or_make(folder / "recipient.key"))
        enrolment = Ed25519PrivateKey.from_private_bytes(read_or_make(folder / "enrolment.key"))
        return cls(recipient, operator, private, enrolment, folder / "capsules", issuer)

    def entry(self, not_after_ms: int) -> DirectoryEntry:
        """The directory entry of the recipient key, signed by the collectivity, naming the operator."""
        return certificates.enrol(
            "recipient", self.recipient, self.operator, self.private.public, not_after_ms, self.enrolment
        )

    def keep(self, authorisation: bytes, sealed: bytes) -> None:
        """Keep an agreement's capsule. One that is not ours is kept as it came, and opens for nobody here."""
        capsule = self._received(authorisation, sealed)
        kept = sealed if capsule is None else self._sealed_again(authorisation, self._checked(capsule))
        if self.folder is None:
            self._held[authorisation] = kept
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.folder / f"{authorisation.hex()}.{os.getpid()}"
        part.write_bytes(kept)
        part.replace(self.folder / authorisation.hex())

    def capsule(self, authorisation: bytes) -> Capsule | None:
        """The capsule of an agreement, opened; None if there is none, or it is not ours."""
        kept = self._kept(authorisation)
        return None if kept is None else self._opened(authorisation, kept)

    @property
    def stamp(self) -> int | None:
        """A number that changes when another capsule is kept, whoever keeps it; None where only looking tells."""
        if self.folder is None:
            return None
        return self.folder.stat().st_mtime_ns if self.folder.exists() else 0

    def held(self) -> Iterator[tuple[bytes, int]]:
        """The agreements there are capsules of, each with a number that another capsule of it changes."""
        if self.folder is None:
            yield from ((authorisation, hash(kept)) for authorisation, kept in self._held.items())
        elif self.folder.exists():
            with os.scandir(self.folder) as files:
                for file in files:
                    if _NAME.fullmatch(file.name):
                        yield bytes.fromhex(file.name), file.stat().st_mtime_ns

    def _kept(self, authorisation: bytes) -> bytes | None:
        """Read at each use: another process may have kept a newer one."""
        if self.folder is None:
            return self._held.get(authorisation)
        try:
            return _whole(f"{self.folder}/{authorisation.hex()}")
        except FileNotFoundError:
            return None

    @cached_property
    def _opened(self) -> Callable[[bytes, bytes], Capsule | None]:
        return lru_cache(_OPENED_MAX)(self._open)

    def _open(self, authorisation: bytes, kept: bytes) -> Capsule | None:
        try:
            plain = sources.unseal(self._own, kept, self._place(authorisation))
        except (InvalidTag, ValueError):  # kept as it came
            return self._received(authorisation, kept)
        return Capsule(*split(plain, len(Capsule._fields)))

    def _received(self, authorisation: bytes, sealed: bytes) -> Capsule | None:
        try:
            plain = unseal(self.private, sealed, capsule_info(self.recipient, authorisation), "capsule")
        except Unopenable:
            return None
        return Capsule(**catalogue().codec("capsule").decode(plain))

    def _checked(self, capsule: Capsule) -> Capsule:
        try:
            certificates.read(capsule.certificate, self.issuer)
        except ValueError:  # whoever opens with it looks again, and says so
            return capsule
        return capsule._replace(checked=self.issuer)

    def _sealed_again(self, authorisation: bytes, capsule: Capsule) -> bytes:
        nonce = os.urandom(sources.NONCE_BYTES)
        return sources.seal(self._own, nonce, join(*capsule), self._place(authorisation))

    @cached_property
    def _own(self) -> AESGCM:
        return AESGCM(HKDF(SHA256(), 32, None, b"accord.wallet.v1").derive(self.private.private))

    def _place(self, authorisation: bytes) -> bytes:
        return join(b"accord.kept.v1", self.recipient.encode(), authorisation)


def _whole(path: str) -> bytes:
    """A file's bytes, in three calls of the kernel where it is small: a file object makes seven."""
    file = os.open(path, os.O_RDONLY)
    try:
        parts = [os.read(file, _READ_BYTES)]
        while len(parts[-1]) == _READ_BYTES:
            parts.append(os.read(file, _READ_BYTES))
    finally:
        os.close(file)
    return parts[0] if len(parts) == 1 else b"".join(parts)

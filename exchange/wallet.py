"""What a collectivity keeps: its private key for one operator, and the sealed capsules of the agreements it was given.

On disk a capsule stays sealed to the key beside it: no identity lies there in clear.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from consent import certificates
from consent.core.facts import DirectoryEntry
from consent.keys import read_or_make
from exchange.core.sealing import capsule_info
from exchange.schemas import catalogue
from exchange.sealing import Unopenable, public_bytes, unseal

_OPENED_MAX = 16_384
"""Capsules kept opened in memory, about 1 kB each: an agreement that serves once serves again, at least to open its answer."""


class Capsule(NamedTuple):
    """The canonical identity, its salt, and the signed certificate of an agreement."""

    identity: bytes
    salt: bytes
    certificate: bytes


@dataclass(frozen=True)
class Wallet:
    """Keys and capsules of one recipient (SIRET) under one operator (SIREN); `folder` None keeps capsules in memory."""

    recipient: str
    operator: str
    private: X25519PrivateKey
    enrolment: Ed25519PrivateKey
    folder: Path | None = None
    _held: dict[bytes, bytes] = field(default_factory=dict)
    _opened: dict[tuple[bytes, bytes], Capsule] = field(default_factory=dict, repr=False)

    @classmethod
    def new(cls, recipient: str, operator: str) -> Wallet:
        return cls(recipient, operator, X25519PrivateKey.generate(), Ed25519PrivateKey.generate())

    @classmethod
    def open(cls, folder: Path, recipient: str, operator: str) -> Wallet:
        """The wallet in `folder`, its keys made at the first opening."""
        private = X25519PrivateKey.from_private_bytes(read_or_make(folder / "recipient.key"))
        enrolment = Ed25519PrivateKey.from_private_bytes(read_or_make(folder / "enrolment.key"))
        return cls(recipient, operator, private, enrolment, folder / "capsules")

    def entry(self, not_after_ms: int) -> DirectoryEntry:
        """The directory entry of the recipient key, signed by the collectivity, naming the operator."""
        return certificates.enrol(
            "recipient", self.recipient, self.operator, public_bytes(self.private), not_after_ms, self.enrolment
        )

    def keep(self, authorisation: bytes, sealed: bytes) -> None:
        """Keep an agreement's capsule, as it came."""
        if self.folder is None:
            self._held[authorisation] = sealed
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / authorisation.hex()).write_bytes(sealed)

    def capsule(self, authorisation: bytes) -> Capsule | None:
        """The capsule of an agreement, opened; None if there is none, or it is not ours."""
        sealed = self._sealed(authorisation)
        if sealed is None:
            return None
        if (authorisation, sealed) not in self._opened:
            try:
                plain = unseal(self.private, sealed, capsule_info(self.recipient, authorisation), "capsule")
            except Unopenable:
                return None
            if len(self._opened) >= _OPENED_MAX:
                del self._opened[next(iter(self._opened))]
            self._opened[authorisation, sealed] = Capsule(**catalogue().codec("capsule").decode(plain))
        return self._opened[authorisation, sealed]

    def _sealed(self, authorisation: bytes) -> bytes | None:
        """Read at each use: another process may have kept a newer one."""
        if self.folder is None:
            return self._held.get(authorisation)
        try:
            with open(f"{self.folder}/{authorisation.hex()}", "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

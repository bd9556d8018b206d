"""Keys that wrap keys, by epoch: the birth of each in ms since 1970 UTC. A new one is durable before it is used; an old one is destroyed once
nothing lies under it any more. Their files are `<domain>-<epoch>.kek`, wrapped under the root and bound to their name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent.keys import files
from consent.keys.files import BadKeyFile
from consent.keys.sources import KEY_BYTES, seal, unseal
from exchange.core.encoding import join

Entropy = Callable[[int], bytes]
FIRST_EPOCH = 1


class Place(NamedTuple):
    """A directory of secrets, and the root they are wrapped under."""

    directory: Path
    root: AESGCM

    def read(self, name: str) -> bytes:
        """BadKeyFile if it is absent, altered, or of another root."""
        try:
            return unseal(self.root, files.read(self.directory / name), _bound(name))
        except (InvalidTag, ValueError):
            raise BadKeyFile(f"{name}: altered, or of another root.key") from None

    def write(self, name: str, secret: bytes) -> None:
        """Durable on return."""
        files.write(self.directory / name, seal(self.root, os.urandom(12), secret, _bound(name)))


class Keks:
    """Those of one domain. In memory only without a place."""

    def __init__(self, domain: str, epochs: dict[int, bytes], entropy: Entropy, place: Place | None = None) -> None:
        self.domain, self.epochs, self._entropy, self._place = domain, epochs, entropy, place
        self._ciphers: dict[int, AESGCM] = {}

    @property
    def newest(self) -> int:
        """BadKeyFile where all are lost and none was begun yet."""
        if not self.epochs:
            raise BadKeyFile(f"{self.domain} KEK: absent")
        return max(self.epochs)

    def wrap(self, key: bytes, bound: bytes) -> bytes:
        """Under the newest, bound to what the key is of."""
        return seal(self._cipher(self.newest), self._entropy(12), key, bound)

    def unwrap(self, epoch: int, wrapped: bytes, bound: bytes) -> bytes | None:
        """None where it is lost: no such KEK any more, or another one, or other bytes."""
        if epoch not in self.epochs:
            return None
        try:
            return unseal(self._cipher(epoch), wrapped, bound)
        except (InvalidTag, ValueError):
            return None

    def _cipher(self, epoch: int) -> AESGCM:
        if epoch not in self._ciphers:
            self._ciphers[epoch] = AESGCM(self.epochs[epoch])
        return self._ciphers[epoch]

    def begin(self, epoch: int) -> None:
        """A new one, durable on return; `epoch` is greater than every one before."""
        secret = self._entropy(KEY_BYTES)
        if self._place is not None:
            self._place.write(name_of(self.domain, epoch), secret)
        self.epochs[epoch] = secret

    def end(self) -> None:
        """Every one but the newest is destroyed: nothing lies under them any more."""
        newest = self.newest
        for epoch in self.epochs.keys() - {newest}:
            del self.epochs[epoch]
            self._ciphers.pop(epoch, None)
        if self._place is not None:
            for path in self._place.directory.glob(name_of(self.domain, "*")):
                if path.name != name_of(self.domain, newest):
                    files.destroy(path)


def held(domain: str, place: Place, *, losable: bool) -> dict[int, bytes]:
    """Those in the directory. Of a `losable` domain a damaged one is as lost as an absent one; of another it is BadKeyFile."""
    found: dict[int, bytes] = {}
    for path in place.directory.glob(name_of(domain, "*")):
        epoch = path.name.removeprefix(f"{domain}-").removesuffix(".kek")
        if not epoch.isdecimal():
            continue
        try:
            found[int(epoch)] = place.read(path.name)
        except BadKeyFile:
            if not losable:
                raise
    if not found and not losable:
        raise BadKeyFile(f"{name_of(domain, '*')}: absent")
    return found


def _bound(name: str) -> bytes:
    return join(b"accord.secret.v1", name.encode())


def name_of(domain: str, epoch: int | str) -> str:
    return f"{domain}-{epoch}.kek"

"""The ledger's keys, in five separate wrapping domains (protocol §5): release KEKs, content KEKs, pseudonyms, log, certificates.

Each secret is one file of a directory, wrapped under `root.key` and bound to its name. A release KEK serves for one day and is never
backed up: losing it only costs answers in flight (protocol §8 row 9). A content KEK is backed up with the store: without any of the
others nothing starts, and nothing is made in its place.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent.core.note import Verifier
from consent.keys import files
from consent.keys.files import BadKeyFile
from consent.keys.keks import FIRST_EPOCH, Entropy, Keks, Place, held, name_of
from consent.keys.sources import KEY_BYTES, Master, seal
from exchange.core.encoding import join
from exchange.core.sealing import X25519

LASTING = ("pseudonym.key", "log.key", "certificate.key", "registrar.key")
ROOT = "root.key"
RELEASE, CONTENT = "release", "content"
_WRAPPED = b"accord.wrapped.v1 "
_ROOT_BOUND = b"accord.root.v1"


@dataclass(frozen=True)
class KeyRing:
    """The secrets in use, 32 bytes each: `secrets` by file name, KEKs by domain and epoch. `suite` is that of new authorisation keys."""

    origin: str
    secrets: dict[str, bytes] = field(repr=False)
    release: Keks = field(repr=False)
    content: Keks = field(repr=False)
    entropy: Entropy = field(default=os.urandom, repr=False)
    suite: str = X25519
    directory: Path | None = None

    @cached_property
    def log(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secrets["log.key"])

    @cached_property
    def certificate(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secrets["certificate.key"])

    @cached_property
    def registrar(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.secrets["registrar.key"])

    @cached_property
    def verifier(self) -> Verifier:
        """The log's verifier key."""
        return Verifier(self.origin, self.log.public_key().public_bytes_raw())

    def wrap_release(self, authorisation: bytes, epoch: int, private_key: bytes, suite: str = X25519) -> bytes:
        """An authorisation's private key of this epoch and suite, under the newest release KEK."""
        return self.release.wrap(private_key, _release_bound(authorisation, epoch, suite))

    def unwrap_release(
        self, authorisation: bytes, epoch: int, kek_epoch: int, wrapped: bytes, suite: str = X25519
    ) -> bytes | None:
        """What was wrapped; None where it is lost."""
        return self.release.unwrap(kek_epoch, wrapped, _release_bound(authorisation, epoch, suite))

    def wrap_subject_key(self, subject: bytes, key: bytes) -> bytes:
        """A person's key, under the newest content KEK."""
        return self.content.wrap(key, join(subject))

    def unwrap_subject_key(self, subject: bytes, kek_epoch: int, wrapped: bytes) -> bytes:
        """BadKeyFile where it is lost: a store and a key directory that are not of one time."""
        key = self.content.unwrap(kek_epoch, wrapped, join(subject))
        if key is None:
            raise BadKeyFile(f"{name_of(CONTENT, kek_epoch)}: absent, or not the one of this store")
        return key

    def seal(self, key: bytes, secret: bytes, bound: bytes) -> bytes:
        """AES-256-GCM, the nonce first."""
        return seal(AESGCM(key), self.entropy(12), secret, bound)


def ephemeral(origin: str, entropy: Entropy = os.urandom, suite: str = X25519) -> KeyRing:
    """Keys that live in memory only."""
    secrets = {name: entropy(KEY_BYTES) for name in LASTING}
    release, content = (Keks(domain, {FIRST_EPOCH: entropy(KEY_BYTES)}, entropy) for domain in (RELEASE, CONTENT))
    return KeyRing(origin, secrets, release, content, entropy, suite)


def open_keys(
    directory: Path, origin: str, master: Master | None = None, suite: str = X25519, *, make: bool = True
) -> KeyRing:
    """The keys in `directory`, whose root `master` unwraps (None: it lies as it is). Made at the first opening, all or none, unless
    `make` is False; BadKeyFile for anything absent but release KEKs, readable by others, or that does not open."""
    if not directory.exists() or not any(directory.iterdir()):
        if not make:
            raise BadKeyFile(f"{directory}: absent")
        _make(directory, master)
    for part in directory.glob("*" + files.PART):
        files.destroy(part)
    place = Place(directory, AESGCM(_open_root(files.read(directory / ROOT), master)))
    secrets = {name: place.read(name) for name in LASTING}
    release = Keks(RELEASE, held(RELEASE, place, losable=True), os.urandom, place)
    content = Keks(CONTENT, held(CONTENT, place, losable=False), os.urandom, place)
    return KeyRing(origin, secrets, release, content, os.urandom, suite, directory)


def rewrap(directory: Path, old: Master | None, new: Master | None) -> None:
    """The same keys under another master, at once or not at all; BadKeyFile, and nothing changed, if either does not open."""
    root = _open_root(files.read(directory / ROOT), old)
    text = _root_text(root, new)
    if _open_root(text, new) != root:
        raise BadKeyFile(f"{ROOT}: the new master does not give back what it wrapped")
    files.replace(directory / ROOT, text)


def _make(directory: Path, master: Master | None) -> None:
    """Beside its place, then moved there whole: a crash leaves all keys or none."""
    aside = directory.with_name(directory.name + files.PART)
    shutil.rmtree(aside, ignore_errors=True)
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    aside.mkdir(mode=0o700)
    root = os.urandom(KEY_BYTES)
    files.write(aside / ROOT, _root_text(root, master))
    for name in (*LASTING, *(name_of(domain, FIRST_EPOCH) for domain in (RELEASE, CONTENT))):
        Place(aside, AESGCM(root)).write(name, os.urandom(KEY_BYTES))
    aside.rename(directory)
    files.sync(directory.parent)


def _release_bound(authorisation: bytes, epoch: int, suite: str) -> bytes:
    return join(authorisation, epoch.to_bytes(4, "big"), suite.encode())


def _root_text(root: bytes, master: Master | None) -> bytes:
    return root if master is None else _WRAPPED + master.kind.encode() + b"\n" + master.wrap(root, _ROOT_BOUND)


def _open_root(text: bytes, master: Master | None) -> bytes:
    if not text.startswith(_WRAPPED):
        if master is not None:
            raise BadKeyFile(f"{ROOT}: not wrapped by any master yet (accord keys rewrap)")
        root = text
    else:
        kind, _, wrapped = text.removeprefix(_WRAPPED).partition(b"\n")
        if master is None or master.kind.encode() != kind:
            raise BadKeyFile(f"{ROOT}: wrapped by {kind.decode('ascii', 'replace')}, which was not given")
        root = master.unwrap(wrapped, _ROOT_BOUND)
    if len(root) != KEY_BYTES:
        raise BadKeyFile(f"{ROOT}: {len(root)} bytes instead of {KEY_BYTES}")
    return root

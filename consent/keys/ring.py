"""The ledger's keys, in five separate wrapping domains (protocol §5): release KEK epochs, content, pseudonyms, log, certificates.

Each secret is one file of a directory, wrapped under `root.key` and bound to its name. A release KEK serves for one epoch, which is
its birth in ms since 1970; it is never backed up: losing it only costs answers in flight (protocol §8 row 9). Without any of the
others nothing starts, and nothing is made in its place.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from consent.core.note import Verifier
from consent.keys import files
from consent.keys.files import BadKeyFile
from consent.keys.sources import KEY_BYTES, Master, seal, unseal
from exchange.core.encoding import join
from exchange.core.sealing import X25519

Entropy = Callable[[int], bytes]
LASTING = ("content.kek", "pseudonym.key", "log.key", "certificate.key", "registrar.key")
ROOT = "root.key"
_FIRST_EPOCH = 1
_WRAPPED = b"accord.wrapped.v1 "
_ROOT_BOUND = b"accord.root.v1"


@dataclass(frozen=True)
class KeyRing:
    """The secrets in use, 32 bytes each: `secrets` by file name, release KEKs by epoch. `suite` is that of new authorisation keys.
    In memory only where `directory` is None."""

    origin: str
    secrets: dict[str, bytes] = field(repr=False)
    epochs: dict[int, bytes] = field(repr=False)
    entropy: Entropy = field(default=os.urandom, repr=False)
    suite: str = X25519
    directory: Path | None = None
    root: AESGCM | None = field(default=None, repr=False)

    @property
    def kek_epoch(self) -> int:
        """The newest release KEK; BadKeyFile where all are lost and none was begun yet."""
        if not self.epochs:
            raise BadKeyFile("release KEK: absent")
        return max(self.epochs)

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

    def wrap_release(self, authorisation: bytes, epoch: int, private_key: bytes, suite: str = X25519) -> bytes:
        """An authorisation's private key of this epoch and suite, under the newest release KEK."""
        return self.seal(self.epochs[self.kek_epoch], private_key, _release_bound(authorisation, epoch, suite))

    def unwrap_release(
        self, authorisation: bytes, epoch: int, kek_epoch: int, wrapped: bytes, suite: str = X25519
    ) -> bytes | None:
        """What was wrapped; None where it is lost: no such release KEK any more, or another one, or other bytes."""
        if kek_epoch not in self.epochs:
            return None
        try:
            return unseal(AESGCM(self.epochs[kek_epoch]), wrapped, _release_bound(authorisation, epoch, suite))
        except (InvalidTag, ValueError):
            return None

    def wrap_subject_key(self, subject: bytes, key: bytes) -> bytes:
        """A person's key, under the content KEK."""
        return self.seal(self.secrets["content.kek"], key, join(subject))

    def unwrap_subject_key(self, subject: bytes, wrapped: bytes) -> bytes:
        return unseal(self._content, wrapped, join(subject))

    @cached_property
    def _content(self) -> AESGCM:
        return AESGCM(self.secrets["content.kek"])

    def seal(self, key: bytes, secret: bytes, bound: bytes) -> bytes:
        """AES-256-GCM, the nonce first."""
        return seal(AESGCM(key), self.entropy(12), secret, bound)

    def begin_epoch(self, number: int) -> None:
        """A new release KEK, durable before it is used; `number` is greater than every epoch before."""
        secret = self.entropy(KEY_BYTES)
        if self.directory is not None and self.root is not None:
            _write(self.directory / _kek_name(number), self.root, secret)
        self.epochs[number] = secret

    def end_epochs(self) -> None:
        """Every release KEK but the newest is destroyed: nothing lies under them any more."""
        newest = self.kek_epoch
        for number in self.epochs.keys() - {newest}:
            del self.epochs[number]
        if self.directory is not None:
            for path in self.directory.glob(_kek_name("*")):
                if path.name != _kek_name(newest):
                    files.destroy(path)


def ephemeral(origin: str, entropy: Entropy = os.urandom, suite: str = X25519) -> KeyRing:
    """Keys that live in memory only."""
    secrets = {name: entropy(KEY_BYTES) for name in LASTING}
    return KeyRing(origin, secrets, {_FIRST_EPOCH: entropy(KEY_BYTES)}, entropy, suite)


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
    root = AESGCM(_open_root(files.read(directory / ROOT), master))
    secrets = {name: _read(directory / name, root) for name in LASTING}
    return KeyRing(origin, secrets, _epochs(directory, root), os.urandom, suite, directory, root)


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
    for name in (*LASTING, _kek_name(_FIRST_EPOCH)):
        _write(aside / name, AESGCM(root), os.urandom(KEY_BYTES))
    aside.rename(directory)
    files.sync(directory.parent)


def _epochs(directory: Path, root: AESGCM) -> dict[int, bytes]:
    """The release KEKs that open; a damaged one is as lost as an absent one."""
    found: dict[int, bytes] = {}
    for path in directory.glob(_kek_name("*")):
        number = path.name.removeprefix("release-").removesuffix(".kek")
        try:
            found[int(number)] = _read(path, root)
        except (BadKeyFile, ValueError):
            continue
    return found


def _kek_name(epoch: int | str) -> str:
    return f"release-{epoch}.kek"


def _release_bound(authorisation: bytes, epoch: int, suite: str) -> bytes:
    return join(authorisation, epoch.to_bytes(4, "big"), suite.encode())


def _write(path: Path, root: AESGCM, secret: bytes) -> None:
    files.write(path, seal(root, os.urandom(12), secret, join(b"accord.secret.v1", path.name.encode())))


def _read(path: Path, root: AESGCM) -> bytes:
    try:
        return unseal(root, files.read(path), join(b"accord.secret.v1", path.name.encode()))
    except (InvalidTag, ValueError):
        raise BadKeyFile(f"{path.name}: altered, or of another {ROOT}") from None


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

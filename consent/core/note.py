"""C2SP signed notes and tlog checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), Ed25519 signatures (type 0x01).

Pure but for the signature itself, which is deterministic (RFC 8032).
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

_ED25519 = b"\x01"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_MAX_BYTES = 1_000_000
MAX_SIGNATURES = 16
"""As many as the specification asks to accept."""
_MAX_NUMBER = 2**63


class BadNote(ValueError):
    """Not a note, or not signed by the key expected."""


class Verifier(NamedTuple):
    """A key's name and raw Ed25519 public key."""

    name: str
    public_key: bytes

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public_key).digest()[:4]

    def __str__(self) -> str:
        """The verifier key (vkey): name+hash+base64."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public_key).decode()}"


class Signature(NamedTuple):
    """A signature line: who says to have signed, under which key (4 bytes), and the signature."""

    name: str
    key_id: bytes
    value: bytes


class Checkpoint(NamedTuple):
    """A log's head: origin, size in leaves, root hash."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def parse_verifier(vkey: str) -> Verifier:
    """BadNote unless `vkey` is an Ed25519 verifier key whose hash is right."""
    name, _, rest = vkey.strip().partition("+")
    key_hash, _, encoded = rest.partition("+")
    try:
        key = decode(encoded)
    except ValueError as error:
        raise BadNote("not a verifier key") from error
    verifier = Verifier(name, key[1:])
    if key[:1] != _ED25519 or len(key) != 33 or verifier.key_id.hex() != key_hash:
        raise BadNote("not a verifier key")
    return verifier


def sign(text: str, name: str, key: Ed25519PrivateKey) -> str:
    """The note: text (ending in a newline), blank line, one signature line."""
    if not text.endswith("\n"):
        raise ValueError("a note's text ends with a newline")
    key_id = Verifier(name, key.public_key().public_bytes_raw()).key_id
    signature = base64.b64encode(key_id + key.sign(text.encode())).decode()
    return f"{text}\n— {name} {signature}\n"


def split(note: str) -> tuple[str, list[Signature]]:
    """A note's text and its signatures, none of them verified; BadNote if it is not a note."""
    if len(note) > _MAX_BYTES or _CONTROL.search(note):
        raise BadNote("not a note")
    text, blank, lines = note.rpartition("\n\n")
    if not blank or not lines.endswith("\n"):
        raise BadNote("not a note")
    signatures = [parse_signature(line) for line in lines[:-1].split("\n")]
    if len(signatures) > MAX_SIGNATURES:
        raise BadNote("too many signatures")
    return text + "\n", signatures


def parse_signature(line: str) -> Signature:
    """A signature line without its newline; BadNote if it is not one."""
    dash, _, rest = line.partition(" ")
    name, _, encoded = rest.partition(" ")
    if dash != "—" or not name or "+" in name or any(c.isspace() for c in name):
        raise BadNote("not a signature line")
    try:
        raw = decode(encoded)
    except ValueError as error:
        raise BadNote("not a signature line") from error
    if len(raw) < 5:
        raise BadNote("not a signature line")
    return Signature(name, raw[:4], raw[4:])


def format_signature(signature: Signature) -> str:
    """The signature line, without its newline."""
    return f"— {signature.name} {base64.b64encode(signature.key_id + signature.value).decode()}"


@lru_cache(maxsize=128)
def verify(note: str, verifier: Verifier) -> str:
    """The note's text, signed by `verifier`; BadNote otherwise. Signatures by unknown keys are ignored, a bad one by this key is
    not. One note signs all the releases of a chunk: what verified once is kept a while."""
    text, signatures = split(note)
    ours = [s.value for s in signatures if (s.name, s.key_id) == (verifier.name, verifier.key_id)]
    if not ours:
        raise BadNote("not signed by this key")
    for value in ours:
        check(verifier.public_key, value, text.encode())
    return text


def check(public_key: bytes, signature: bytes, message: bytes) -> None:
    """BadNote unless the Ed25519 signature is good."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except InvalidSignature as error:
        raise BadNote("bad signature") from error


def parse_checkpoint(text: str) -> Checkpoint:
    """A verified note's text as a checkpoint; extension lines are allowed and ignored."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise BadNote("not a checkpoint")
    try:
        size, root = decimal(lines[1]), decode(lines[2])
    except ValueError as error:
        raise BadNote("not a checkpoint") from error
    if len(root) != 32:
        raise BadNote("not a checkpoint")
    return Checkpoint(lines[0], size, root)


def decimal(text: str) -> int:
    """An ASCII decimal without leading zero, below 2^63; ValueError otherwise."""
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or (text[0] == "0" and text != "0"):
        raise ValueError("not a number")
    if int(text) >= _MAX_NUMBER:
        raise ValueError("number too large")
    return int(text)


def decode(text: str) -> bytes:
    """Base64 in its one form, so that no bit of a note can change unseen; ValueError otherwise."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data).decode() != text:
        raise ValueError("not the one form")
    return data

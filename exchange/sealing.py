"""Seals opened and closed: HPKE (`exchange.suites`), AES-256-GCM, Ed25519, HMAC.

HPKE is single-shot and takes `info` only, which carries all of the context (`exchange.core.sealing`).
Whatever does not open raises `Unopenable`, whose text says which seal, never what was in it.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC

from consent.core import merkle
from exchange import suites
from exchange.core import sealing as layout
from exchange.core.encoding import join, split
from exchange.core.identity import SALT_BYTES, commitment
from exchange.hpke import KeyPair
from exchange.mac import mac

_ONCE = bytes(12)  # K seals one answer: a zero nonce is used once


class Unopenable(Exception):
    """A seal that does not open here: another key, another context, or altered bytes."""


def seal(public_key: bytes, plain: bytes, info: bytes, suite: str = layout.X25519) -> bytes:
    """`enc ‖ ciphertext` to a raw public key of this suite; ValueError for bytes that are none."""
    return suites.encrypt(suite, public_key, plain, info)


def unseal(private_key: suites.PrivateKey, sealed: bytes, info: bytes, what: str) -> bytes:
    try:
        return suites.decrypt(private_key, sealed, info)
    except (InvalidTag, ValueError) as error:
        raise Unopenable(what) from error


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def seal_identity(provider_public: bytes, digest: bytes, salt: bytes, identity: bytes) -> bytes:
    """The canonical identity and its salt, to the provider, for the request of digest D."""
    return seal(provider_public, join(salt, identity), layout.identity_info(digest))


def open_identity(provider: KeyPair, digest: bytes, sealed: bytes, committed: bytes) -> bytes:
    """The canonical identity, if it is that of the person the authorisation is about; else Unopenable or `SubjectMismatch`."""
    plain = unseal(provider, sealed, layout.identity_info(digest), "identity")
    try:
        salt, identity = split(plain, 2)
    except ValueError as error:
        raise Unopenable("identity") from error
    if len(salt) != SALT_BYTES or not hmac.compare_digest(commitment(salt, identity), committed):
        raise SubjectMismatch("identity")
    return identity


class SubjectMismatch(Unopenable):
    """The sealed identity is not the one this authorisation commits to (protocol §6)."""


@dataclass(frozen=True, slots=True)
class SealedAnswer:
    """An answer as it lies on a topic: opened by nobody without the authorisation's key and the recipient's."""

    tag: bytes
    sealed_key: bytes
    outer: bytes


@dataclass(frozen=True, slots=True)
class AnswerKeys:
    """What a connector needs to seal an answer: raw public keys of recipient and authorisation, its own signing and MAC keys;
    `suite` is that of the authorisation's certificate."""

    recipient_public: bytes
    authorisation_public: bytes
    signing: Ed25519PrivateKey
    mac: bytes
    suite: str = layout.X25519


def sign_answers(said: Sequence[tuple[layout.Context, bytes]], signing: Ed25519PrivateKey) -> list[bytes]:
    """What is said under each context, padded, with what shows that this connector said it: one signature for all of them, and to each its
    way to the root that was signed, so that it can be shown alone (ADR 0044)."""
    if len(said) == 1:
        ((context, plain),) = said
        padded = layout.pad(plain)
        return [join(signing.sign(layout.signed_bytes(layout.transcript(context), padded)), padded)]
    hashes = [merkle.leaf_hash(layout.signed_leaf(layout.transcript(context), plain)) for context, plain in said]
    root, paths = merkle.root_and_paths(hashes)
    signature = signing.sign(layout.signed_root(len(hashes), root))
    ways = [layout.way(place, len(hashes), path) for place, path in enumerate(paths)]
    return [join(signature, layout.pad(plain, len(join(way))), way) for (_, plain), way in zip(said, ways, strict=True)]


def seal_answer(context: layout.Context, plain: bytes, keys: AnswerKeys) -> SealedAnswer:
    """Pad, sign, and seal."""
    return seal_signed(context, sign_answers([(context, plain)], keys.signing)[0], keys)


def seal_signed(context: layout.Context, signed: bytes, keys: AnswerKeys) -> SealedAnswer:
    """Seal to the recipient what was signed, encrypt under a fresh K, seal K to the authorisation, tag for the ledger."""
    t, message_key = layout.transcript(context), os.urandom(32)
    inner = seal(keys.recipient_public, signed, layout.inner_info(t))
    outer = AESGCM(message_key).encrypt(_ONCE, inner, layout.outer_aad(t))
    sealed_key = seal(keys.authorisation_public, message_key, layout.release_info(t, outer), keys.suite)
    return SealedAnswer(hmac.digest(keys.mac, layout.tag_bytes(t, outer, sealed_key), "sha256"), sealed_key, outer)


def check_tag(t: bytes, answer: SealedAnswer, tagging: HMAC) -> None:
    """Unopenable unless this provider's connector, whose MAC key is `tagging`, tagged this answer for the transcript `t`."""
    expected = mac(tagging, layout.tag_bytes(t, answer.outer, answer.sealed_key))
    if not hmac.compare_digest(answer.tag, expected):
        raise Unopenable("tag")


def open_outer(t: bytes, answer: SealedAnswer, authorisation: suites.PrivateKey) -> bytes:
    """The inner seal of an answer of transcript `t`. The message key exists only inside this call."""
    message_key = unseal(authorisation, answer.sealed_key, layout.release_info(t, answer.outer), "message key")
    try:
        return AESGCM(message_key).decrypt(_ONCE, answer.outer, layout.outer_aad(t))
    except (InvalidTag, ValueError) as error:
        raise Unopenable("outer") from error


def open_inner(context: layout.Context, inner: bytes, recipient: KeyPair, connector_public: bytes) -> bytes:
    """What the connector sealed, signature checked."""
    t = layout.transcript(context)
    plain = unseal(recipient, inner, layout.inner_info(t), "inner")
    try:
        signature, padded, *way = split(plain, 2, 3)
        said = layout.unpad(padded)
        if way:
            _verify_root(connector_public, signature, _signed_root(t, said, *way))
        else:
            _verifying(connector_public).verify(signature, layout.signed_bytes(t, padded))
    except (InvalidSignature, ValueError) as error:
        raise Unopenable("inner") from error
    return said


def _signed_root(t: bytes, said: bytes, way: bytes) -> bytes:
    """What was signed, if this was said among others. ValueError where the way leads nowhere."""
    place, size, path = layout.read_way(way)
    root = merkle.root_from_inclusion(merkle.leaf_hash(layout.signed_leaf(t, said)), place, size, path)
    return layout.signed_root(size, root)


@lru_cache(maxsize=256)
def _verify_root(public_key: bytes, signature: bytes, signed: bytes) -> None:
    """InvalidSignature unless it is one; found out once for all that were said together."""
    _verifying(public_key).verify(signature, signed)


@lru_cache(maxsize=256)
def _verifying(public_key: bytes) -> Ed25519PublicKey:
    """There are few connectors; a key that was just loaded takes a tenth longer to verify with."""
    return Ed25519PublicKey.from_public_bytes(public_key)

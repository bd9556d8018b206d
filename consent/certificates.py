"""Authorisation certificates: the ledger's signed word that an authorisation owns a key under its terms (protocol §3.1)."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from consent.core.facts import DirectoryEntry, Terms
from exchange.core import sealing
from exchange.core.avro import BadAvro
from exchange.core.encoding import join
from exchange.schemas import catalogue


class BadCertificate(ValueError):
    """Not a certificate of this ledger."""


class Certificate(NamedTuple):
    """What a certificate says; fields as in the last version of certificate.avsc. `hash` is SHA-256 of the signed bytes."""

    origin: str
    authorisation_id: bytes
    epoch: int
    suite: str
    public_key: bytes
    recipient: str
    provider: str
    data_set: str
    purpose: str
    scopes: tuple[str, ...]
    basis: str
    not_before_ms: int
    not_after_ms: int
    commitment: bytes
    grant_leaf: int
    rule_hash: bytes = b""
    watch_every_ms: int = 0
    hash: bytes = b""

    @property
    def terms(self) -> tuple[object, ...]:
        """What it allows, for whom and about whom: all that a new key or more time leaves as it was."""
        parties = (self.origin, self.authorisation_id, self.recipient, self.provider, self.commitment)
        return *parties, self.data_set, self.purpose, self.scopes, self.basis, self.rule_hash, self.watch_every_ms


def certificate_hash(signed: bytes) -> bytes:
    return hashlib.sha256(signed).digest()


def issue(
    origin: str,
    authorisation: bytes,
    epoch: int,
    public_key: bytes,
    terms: Terms,
    committed: bytes,
    grant_leaf: int,
    key: Ed25519PrivateKey,
    suite: str = sealing.X25519,
) -> bytes:
    """The signed certificate (SignedCertificate bytes) of a public key of this suite."""
    body = catalogue().write_bare("certificate", {
        "origin": origin, "authorisation_id": authorisation, "epoch": epoch, "suite": suite, "public_key": public_key,
        "recipient": terms.recipient, "provider": terms.provider, "data_set": terms.data_set, "purpose": terms.purpose, "scopes": sorted(terms.scopes),
        "basis": terms.basis, "not_before_ms": terms.not_before_ms, "not_after_ms": terms.not_after_ms, "commitment": committed,
        "grant_leaf": grant_leaf, "rule_hash": terms.rule_hash, "watch_every_ms": terms.watch_every_ms,
    })  # fmt: skip
    signature = key.sign(sealing.certificate_bytes(body))
    return catalogue().codec("signed-certificate").encode({"certificate": body, "signature": signature})


@lru_cache(maxsize=4096)
def read(signed: bytes, public_key: bytes) -> Certificate:
    """The certificate, if `public_key` (raw Ed25519) signed it and its key is of a suite known here; BadCertificate otherwise. The same
    bytes come with each request of an agreement: what was true of them stays true."""
    try:
        outside = catalogue().codec("signed-certificate").decode(signed)
        signing = Ed25519PublicKey.from_public_bytes(public_key)
        signing.verify(outside["signature"], sealing.certificate_bytes(outside["certificate"]))
    except (ValueError, InvalidSignature) as error:
        raise BadCertificate("not a certificate of this ledger") from error
    return read_checked(signed)


@lru_cache(maxsize=4096)
def read_checked(signed: bytes) -> Certificate:
    """As `read`, of bytes whose signature was found good before (a wallet remembers that)."""
    try:
        body = catalogue().read_bare(
            "certificate", catalogue().codec("signed-certificate").decode(signed)["certificate"]
        )
    except BadAvro as error:
        raise BadCertificate("not a certificate of this ledger") from error
    if len(body["public_key"]) != sealing.PUBLIC_BYTES.get(body["suite"]):
        raise BadCertificate("a suite unknown here")
    return Certificate(**body | {"scopes": tuple(body["scopes"])}, hash=certificate_hash(signed))


def _entry_bytes(kind: str, organisation: str, operator: str, public_key: bytes, not_after_ms: int) -> bytes:
    return join(
        b"accord.directory.v1",
        kind.encode(),
        organisation.encode(),
        operator.encode(),
        public_key,
        not_after_ms.to_bytes(8, "big"),
    )


def enrol(
    kind: str, organisation: str, operator: str, public_key: bytes, not_after_ms: int, enrolment: Ed25519PrivateKey
) -> DirectoryEntry:
    """A directory entry signed by its organisation, not yet countersigned."""
    signature = enrolment.sign(_entry_bytes(kind, organisation, operator, public_key, not_after_ms))
    enrolment_public = enrolment.public_key().public_bytes_raw()
    return DirectoryEntry(kind, organisation, operator, public_key, not_after_ms, enrolment_public, signature, b"")  # type: ignore[arg-type]  # kind is one of the four


def countersign(entry: DirectoryEntry, registrar: Ed25519PrivateKey) -> DirectoryEntry:
    body = _entry_bytes(entry.kind, entry.organisation, entry.operator, entry.public_key, entry.not_after_ms)
    signature = registrar.sign(join(body, entry.enrolment_key, entry.signature))
    return DirectoryEntry(
        entry.kind,
        entry.organisation,
        entry.operator,
        entry.public_key,
        entry.not_after_ms,
        entry.enrolment_key,
        entry.signature,
        signature,
    )


def check_entry(entry: DirectoryEntry, registrar_public: bytes | None, now_ms: int) -> None:
    """BadCertificate unless the organisation signed this entry and, where given, the registrar countersigned it, and it is in force."""
    _check_signatures(entry, registrar_public)
    if now_ms >= entry.not_after_ms:
        raise BadCertificate("directory entry no longer in force")


@lru_cache(maxsize=4096)
def _check_signatures(entry: DirectoryEntry, registrar_public: bytes | None) -> None:
    body = _entry_bytes(entry.kind, entry.organisation, entry.operator, entry.public_key, entry.not_after_ms)
    try:
        Ed25519PublicKey.from_public_bytes(entry.enrolment_key).verify(entry.signature, body)
        if registrar_public is not None:
            Ed25519PublicKey.from_public_bytes(registrar_public).verify(
                entry.countersignature, join(body, entry.enrolment_key, entry.signature)
            )
    except (InvalidSignature, ValueError) as error:
        raise BadCertificate("directory entry not signed as it should be") from error

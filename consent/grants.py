"""Grants, refusals and narrowings: where an authorisation gets its key (protocol §3.1, §4)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from sqlalchemy import insert, select, update

from consent import certificates
from consent.core.facts import Evidence, Grant, State, Terms
from consent.core.rules import Happening, step
from consent.register import recipient_entries
from consent.stores import tables as t
from consent.transaction import Transaction
from exchange.core import sealing
from exchange.core.encoding import join, split
from exchange.core.errors import Code
from exchange.core.identity import SALT_BYTES, commitment, read, subject_reference
from exchange.ports import Refused
from exchange.schemas import catalogue
from exchange.sealing import public_bytes, seal

_BOUND_PERSON = b"accord.person.v1"


def grant(
    tx: Transaction, authorisation: bytes, terms: Terms, identity: bytes, evidence: Evidence, operator: str
) -> Grant:
    """Given: mint the key, commit to the person, certify, seal the capsule to the recipient's key held by `operator`."""
    _check(tx, terms, identity)
    row = tx.connection.execute(select(t.authorisation).where(t.authorisation.c.id == authorisation)).first()
    if row is not None and State(row.state) is not State.REQUESTED:
        return _given_again(tx, row, terms, identity, operator)
    cipher = tx.mint_content_key(authorisation)
    salt = tx.keys.entropy(SALT_BYTES)
    committed, nonce = commitment(salt, identity), tx.keys.entropy(12)
    leaf = tx.append(
        "given", authorisation, msgspec.json.encode({"terms": terms, "evidence": evidence, "commitment": committed})
    )
    _insert(tx, authorisation, terms, evidence, operator, State.LIVE, identity, committed, leaf.index,
            nonce + cipher.encrypt(nonce, join(salt, identity), _BOUND_PERSON))  # fmt: skip
    signed = _mint(tx, authorisation, 1, terms, committed, leaf.index)
    tx.emit(authorisation, 1, State.LIVE)
    return Grant(
        authorisation,
        signed,
        _capsule(tx, authorisation, terms.recipient, operator, identity, salt, signed),
        leaf.index,
    )


def refuse(tx: Transaction, authorisation: bytes, terms: Terms, evidence: Evidence) -> None:
    """The person said no: a fact, without a key. An authorisation that exists already is left as it is, and refused."""
    if tx.connection.execute(select(t.authorisation.c.id).where(t.authorisation.c.id == authorisation)).first():
        raise Refused(Code.CONFLICT)
    tx.mint_content_key(authorisation)
    leaf = tx.append("refused", authorisation, msgspec.json.encode({"terms": terms, "evidence": evidence}))
    _insert(tx, authorisation, terms, evidence, "", State.REFUSED, b"", bytes(32), leaf.index, b"")
    tx.emit(authorisation, 1, State.REFUSED)


def narrow(tx: Transaction, authorisation: bytes, scopes: tuple[str, ...], operator: str) -> Grant:
    """Fewer scopes: new epoch, key and certificate; the old key dies, so answers in flight with the old scopes do not open."""
    row = tx.connection.execute(select(t.authorisation).where(t.authorisation.c.id == authorisation)).first()
    cell = step(State(row.state), Happening.NARROWED) if row else None
    if row is None or cell is None:
        raise Refused(Code.AUTHORISATION_UNKNOWN if row is None else Code.WITHDRAWN)
    if not scopes or not set(scopes) < set(json.loads(row.scopes)):
        raise Refused(Code.SCOPE_EXCEEDED)
    salt, identity = _person(tx, row)
    terms = msgspec.structs.replace(_terms(row), scopes=tuple(sorted(scopes)))
    leaf = tx.append("narrowed", authorisation, msgspec.json.encode({"scopes": terms.scopes}))
    tx.connection.execute(t.release_key.delete().where(t.release_key.c.authorisation == authorisation))
    tx.connection.execute(
        update(t.authorisation).where(t.authorisation.c.id == authorisation)
        .values(scopes=json.dumps(terms.scopes), epoch=row.epoch + 1, version=row.version + 1)
    )  # fmt: skip
    signed = _mint(tx, authorisation, row.epoch + 1, terms, row.commitment, row.grant_leaf)
    tx.emit(authorisation, row.version + 1, State.LIVE)
    return Grant(
        authorisation, signed, _capsule(tx, authorisation, row.recipient, operator, identity, salt, signed), leaf.index
    )


def _check(tx: Transaction, terms: Terms, identity: bytes) -> None:
    read(identity)
    if terms.not_before_ms >= terms.not_after_ms or terms.max_uses < 1:
        raise Refused(Code.NOT_YET_VALID)
    entitled = tx.connection.execute(
        select(t.habilitation.c.scopes).where(
            t.habilitation.c.recipient == terms.recipient, t.habilitation.c.data_set == terms.data_set,
            t.habilitation.c.purpose == terms.purpose, t.habilitation.c.not_after > tx.now_ms,
        )
    ).first()  # fmt: skip
    if entitled is None or not terms.scopes or not set(terms.scopes) <= set(json.loads(entitled.scopes)):
        raise Refused(Code.HABILITATION_ABSENT)


def _given_again(tx: Transaction, row: Any, terms: Terms, identity: bytes, operator: str) -> Grant:
    if State(row.state) is not State.LIVE:
        raise Refused(Code.CONFLICT)
    salt, held = _person(tx, row)
    if held != identity or _terms(row) != msgspec.structs.replace(terms, scopes=tuple(sorted(terms.scopes))):
        raise Refused(Code.CONFLICT)
    return Grant(
        row.id,
        row.certificate,
        _capsule(tx, row.id, row.recipient, operator, identity, salt, row.certificate),
        row.grant_leaf,
    )


def _insert(
    tx: Transaction,
    authorisation: bytes,
    terms: Terms,
    evidence: Evidence,
    operator: str,
    state: State,
    identity: bytes,
    committed: bytes,
    leaf: int,
    person: bytes,
) -> None:
    reference = subject_reference(tx.keys.secrets["pseudonym.key"], terms.recipient, identity) if identity else b""
    tx.connection.execute(insert(t.authorisation).values(
        id=authorisation, version=1, state=state.value, recipient=terms.recipient, provider=terms.provider, data_set=terms.data_set,
        purpose=terms.purpose, scopes=json.dumps(sorted(terms.scopes)), basis=terms.basis, legal_reference=terms.legal_reference,
        notice_hash=terms.notice_hash, notice_version=terms.notice_version, data_life_days=terms.data_life_days,
        assurance_required=terms.assurance, assurance=evidence.assurance, channel=evidence.channel, agent=evidence.agent, operator=operator,
        representation="", representative_ref=b"", at=tx.now_ms, not_before=terms.not_before_ms, not_after=terms.not_after_ms, uses=0,
        max_uses=terms.max_uses, subject_ref=reference, commitment=committed, person=person, epoch=1, certificate=b"",
        certificate_hash=b"", grant_leaf=leaf,
    ))  # fmt: skip


def _mint(tx: Transaction, authorisation: bytes, epoch: int, terms: Terms, committed: bytes, leaf: int) -> bytes:
    """A key pair for this epoch: the private half wrapped in the ledger, the public half certified."""
    private = X25519PrivateKey.generate()
    signed = certificates.issue(
        tx.keys.origin, authorisation, epoch, public_bytes(private), terms, committed, leaf, tx.keys.certificate
    )
    hashed = certificates.certificate_hash(signed)
    wrapped = tx.keys.wrap_release(authorisation, epoch, private.private_bytes_raw())
    tx.connection.execute(insert(t.release_key).values(
        authorisation=authorisation, epoch=epoch, certificate_hash=hashed, kek_epoch=tx.keys.kek_epoch, suite="x25519", wrapped=wrapped))  # fmt: skip
    tx.connection.execute(
        update(t.authorisation)
        .where(t.authorisation.c.id == authorisation)
        .values(certificate=signed, certificate_hash=hashed)
    )
    return signed


def _capsule(
    tx: Transaction, authorisation: bytes, recipient: str, operator: str, identity: bytes, salt: bytes, signed: bytes
) -> bytes:
    entry = recipient_entries(tx.connection, [recipient], tx.now_ms).get((recipient, operator))
    if entry is None:
        raise Refused(Code.DELEGATION_ABSENT)
    plain = catalogue().codec("capsule").encode({"identity": identity, "salt": salt, "certificate": signed})
    return seal(entry.public_key, plain, sealing.capsule_info(recipient, authorisation))


def _person(tx: Transaction, row: Any) -> tuple[bytes, bytes]:
    cipher = tx.content_cipher(row.id)
    if cipher is None:
        raise Refused(Code.ERASED)
    salt, identity = split(cipher.decrypt(row.person[:12], row.person[12:], _BOUND_PERSON), 2)
    return salt, identity


def _terms(row: Any) -> Terms:
    return Terms(row.recipient, row.provider, row.data_set, row.purpose, tuple(json.loads(row.scopes)), row.not_before, row.not_after,
                 row.max_uses, row.basis, row.legal_reference, row.notice_hash, row.notice_version, row.data_life_days, row.assurance_required)  # fmt: skip

"""Agreements asked for, given and refused: where an authorisation gets its first key (protocol §3.1, §4, §7)."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from consent import certificates
from consent.adoption import adopt
from consent.content import PERSON, open_salted, seal_salted
from consent.core.agreement import fits, objection, told_is_enough
from consent.core.facts import Evidence, Grant, State, Terms
from consent.core.life import Collected
from consent.core.rules import Happening, step
from consent.issuers import Issuers
from consent.register import recipient_entries
from consent.stores import tables as t
from consent.transaction import Transaction, read_scopes, row_of
from consent.transitions import move
from exchange import rules, suites
from exchange.core import sealing
from exchange.core.errors import Code
from exchange.core.identity import SALT_BYTES, commitment, subject_reference
from exchange.ports import Refused
from exchange.schemas import catalogue
from exchange.sealing import public_bytes, seal

ASSISTED_A_DAY_MAX = 200
"""Agreements one agent may record in 24 h on the other channels than online."""

DAY_MS = 86_400_000


class Kept(Collected, frozen=True):
    """Evidence as the leaf of an act commits to it: as a receipt tells it, which names nobody, and `vouched`, the hash of the leaf that
    holds an identity provider's word, empty where the act was declared only."""

    vouched: bytes = b""


class Vouched(msgspec.Struct, frozen=True):
    """An identity provider's word, as a leaf of its own commits to it: the tokens, who it vouched for and the key (JWK) it signed with."""

    id_token: str
    userinfo: str
    random: bytes
    subject: str
    key: dict[str, Any]


def request(tx: Transaction, authorisation: bytes, terms: Terms, evidence: Evidence, operator: str) -> None:
    """A collectivity asks for an agreement under these terms; nobody is known yet. Same id and terms: nothing changes."""
    _check(tx, terms, evidence, b"")
    row = adopt(tx, authorisation)
    if row is not None:
        if State(row.state) is not State.REQUESTED or terms_of(row) != ordered(terms):
            raise Refused(Code.CONFLICT)
        return
    tx.mint_content_key(authorisation)
    leaf = tx.append(
        "requested",
        authorisation,
        msgspec.json.encode({"terms": terms, "evidence": keep(tx, authorisation, terms, evidence)}),
    )
    _write(
        tx,
        authorisation,
        None,
        columns(tx, terms, evidence, operator) | {"state": State.REQUESTED.value, "grant_leaf": leaf.index},
    )
    tx.emit(authorisation, 1, State.REQUESTED)


def grant(
    tx: Transaction,
    issuers: Issuers,
    authorisation: bytes,
    terms: Terms,
    identity: bytes,
    evidence: Evidence,
    operator: str,
) -> Grant:
    """Given: mint the key, commit to the person, certify, seal the capsule to the recipient's key held by `operator`. What was
    requested may be given in part, and only on what the issuers vouch for."""
    _check(tx, terms, evidence, identity)
    row = adopt(tx, authorisation)
    if row is not None and State(row.state) is not State.REQUESTED:
        return _given_again(tx, row, terms, identity, operator)
    if row is not None and not fits(terms_of(row), terms):
        raise Refused(Code.CONFLICT)
    vouched = vouched_for(tx, issuers, authorisation, terms, identity, evidence)
    reference = subject_reference(tx.keys.secrets["pseudonym.key"], terms.recipient, identity)
    _not_opposed(tx, terms, reference)
    tx.mint_content_key(authorisation, reference)
    kept = keep(tx, authorisation, terms, evidence, vouched)
    salt, committed, person = bind(tx, authorisation, identity)
    leaf = tx.append(
        "given", authorisation, msgspec.json.encode({"terms": terms, "evidence": kept, "commitment": committed})
    )
    values = columns(tx, terms, evidence, operator) | {
        "state": State.LIVE.value, "subject_ref": reference, "commitment": committed, "person": person, "grant_leaf": leaf.index,
        "representation": kept.representation, "representative_ref": kept.representative_ref,
    }  # fmt: skip
    version = _write(tx, authorisation, row, values)
    signed = mint(tx, authorisation, 1, terms, committed, leaf.index)
    tx.emit(authorisation, version, State.LIVE)
    sealed = seal_capsule(tx, authorisation, terms.recipient, operator, identity, salt, signed)
    return Grant(authorisation, signed, sealed, leaf.index)


def refuse(tx: Transaction, authorisation: bytes, terms: Terms, evidence: Evidence) -> None:
    """The person said no: a fact, without a key. Said of what is live, it closes it like an opposition; what was closed before stays as
    it was."""
    _check_rule(tx, terms)
    row = adopt(tx, authorisation)
    if row is not None and step(State(row.state), Happening.REFUSED) is None:
        return
    if row is None:
        tx.mint_content_key(authorisation)
    content = msgspec.json.encode({"terms": terms, "evidence": keep(tx, authorisation, terms, evidence)})
    if row is not None:
        move(tx, [row], Happening.REFUSED, content)
        return
    leaf = tx.append("refused", authorisation, content)
    _write(
        tx,
        authorisation,
        None,
        columns(tx, terms, evidence, "") | {"state": State.REFUSED.value, "grant_leaf": leaf.index},
    )
    tx.emit(authorisation, 1, State.REFUSED)


def capsule(tx: Transaction, authorisation: bytes, operator: str) -> Grant:
    """The grant as it stands: the current certificate, and the capsule sealed to the key that `operator` holds today."""
    row = adopt(tx, authorisation)
    if row is None or not row.certificate:
        raise Refused(Code.AUTHORISATION_UNKNOWN)
    salt, identity = person(tx, row)
    sealed = seal_capsule(tx, row.id, row.recipient, operator, identity, salt, row.certificate)
    return Grant(row.id, row.certificate, sealed, row.grant_leaf)


def keep(
    tx: Transaction,
    authorisation: bytes,
    terms: Terms,
    evidence: Evidence,
    vouched: tuple[str, dict[str, Any]] = ("", {}),
) -> Kept:
    """Evidence, without anybody's identity in it: tokens go into a leaf of their own. The content key must be there."""
    spoke, tokens = evidence.representation, evidence.tokens
    reference = subject_reference(tx.keys.secrets["pseudonym.key"], terms.recipient, spoke.identity) if spoke else b""
    held = Vouched(tokens.id_token, tokens.userinfo, tokens.random, *vouched) if tokens else None
    apart = tx.append("vouched", authorisation, msgspec.json.encode(held)).hash if held else b""
    return Kept(
        evidence.channel, evidence.agent, evidence.evidence_hash, evidence.assurance,
        spoke.kind if spoke else "", reference, spoke.evidence_hash if spoke else b"",
        apart,
    )  # fmt: skip


def vouched_for(
    tx: Transaction,
    issuers: Issuers,
    authorisation: bytes,
    terms: Terms,
    identity: bytes,
    evidence: Evidence,
) -> tuple[str, dict[str, Any]]:
    """Who the issuers vouch for, their nonce used up; nobody where an act without tokens may be declared, or rests on the law."""
    if evidence.channel != "online":
        _within_quota(tx, evidence)
    if evidence.tokens is None and (issuers.declared or told_is_enough(terms, evidence)):
        return "", {}
    from consent.tokens import vouch  # here: a ledger nobody logs in to starts a third of a second sooner

    vouched = vouch(issuers.issuers, authorisation, ordered(terms), identity, evidence, tx.now_ms)
    nonce = bytes.fromhex(vouched.nonce)
    if tx.connection.execute(select(t.nonce.c.at).where(t.nonce.c.nonce == nonce)).first():
        raise Refused(Code.EVIDENCE_INVALID)
    tx.connection.execute(insert(t.nonce).values(nonce=nonce, at=tx.now_ms))
    return vouched.subject, vouched.key


def _within_quota(tx: Transaction, evidence: Evidence) -> None:
    if assisted(tx.connection, evidence.agent, tx.now_ms) >= ASSISTED_A_DAY_MAX:
        raise Refused(Code.AGENT_QUOTA)


def assisted(connection: Connection, agent: str, now_ms: int) -> int:
    """How many agreements an agent recorded for others in the last 24 h."""
    a = t.authorisation.c
    today = select(func.count()).where(a.agent == agent, a.channel != "online", a.at > now_ms - DAY_MS)
    return int(connection.execute(today).scalar_one())


def _check(tx: Transaction, terms: Terms, evidence: Evidence, identity: bytes) -> None:
    reason = objection(terms, evidence, identity, tx.now_ms)
    if reason is not None:
        raise Refused(reason)
    _check_rule(tx, terms)
    h = t.habilitation.c
    entitled = tx.connection.execute(
        select(h.scopes, h.legal_reference).where(
            h.recipient == terms.recipient, h.data_set == terms.data_set, h.purpose == terms.purpose, h.not_after > tx.now_ms
        )
    ).first()  # fmt: skip
    if entitled is None or not terms.scopes or not set(terms.scopes) <= set(json.loads(entitled.scopes)):
        raise Refused(Code.HABILITATION_ABSENT)
    if terms.basis == "legal" and terms.legal_reference != entitled.legal_reference:
        raise Refused(Code.HABILITATION_ABSENT)


def _check_rule(tx: Transaction, terms: Terms) -> None:
    """A rule agreed to is signed by this bus, about the data set agreed to, and reads only what is agreed to."""
    if not terms.rule:
        return
    try:
        rule = rules.open_signed(terms.rule, rules.verifier(tx.keys.origin, public_bytes(tx.keys.registrar)))
    except rules.BadRule:
        raise Refused(Code.RULE_INVALID) from None
    if rule.data_set != terms.data_set:
        raise Refused(Code.RULE_INVALID)
    if not set(rules.scopes_of(rule)) <= set(terms.scopes):
        raise Refused(Code.SCOPE_EXCEEDED)


def _not_opposed(tx: Transaction, terms: Terms, reference: bytes) -> None:
    """An opposition holds for every later exchange on a legal basis, whatever its id; only an agreement goes past it."""
    a = t.authorisation.c
    against = select(a.id).where(
        a.subject_ref == reference,
        a.data_set == terms.data_set,
        a.purpose == terms.purpose,
        a.state == State.OPPOSED.value,
    )
    if terms.basis == "legal" and tx.connection.execute(against).first() is not None:
        raise Refused(Code.OPPOSED)


def _given_again(tx: Transaction, row: Any, terms: Terms, identity: bytes, operator: str) -> Grant:
    if State(row.state) is not State.LIVE:
        raise Refused(Code.CONFLICT)
    _, held = person(tx, row)
    if held != identity or terms_of(row) != ordered(terms):
        raise Refused(Code.CONFLICT)
    return capsule(tx, row.id, operator)


def columns(tx: Transaction, terms: Terms, evidence: Evidence, operator: str) -> dict[str, Any]:
    """Terms, and how they were collected, as the columns of an authorisation."""
    return term_columns(terms) | {
        "assurance": evidence.assurance, "channel": evidence.channel, "agent": evidence.agent, "operator": operator, "representation": "",
        "representative_ref": b"", "at": tx.now_ms,
    }  # fmt: skip


def term_columns(terms: Terms) -> dict[str, Any]:
    """Terms as the columns of an authorisation."""
    return {
        "recipient": terms.recipient, "provider": terms.provider, "data_set": terms.data_set, "purpose": terms.purpose,
        "scopes": json.dumps(sorted(terms.scopes)), "basis": terms.basis, "legal_reference": terms.legal_reference,
        "notice_hash": terms.notice_hash, "notice_version": terms.notice_version, "data_life_days": terms.data_life_days,
        "assurance_required": terms.assurance, "not_before": terms.not_before_ms, "not_after": terms.not_after_ms,
        "max_uses": terms.max_uses, "rule": terms.rule, "watch_every_ms": terms.watch_every_ms,
    }  # fmt: skip


def held_terms(connection: Connection, authorisation: bytes) -> Terms:
    """The terms of an authorisation as they stand; `Refused` if it is unknown."""
    row = row_of(connection, authorisation)
    if row is None:
        raise Refused(Code.AUTHORISATION_UNKNOWN)
    return terms_of(row)


def terms_of(row: Any) -> Terms:
    """The terms an authorisation's row holds."""
    return Terms(
        row.recipient, row.provider, row.data_set, row.purpose, read_scopes(row.scopes), row.not_before, row.not_after, row.max_uses,
        row.basis, row.legal_reference, row.notice_hash, row.notice_version, row.data_life_days, row.assurance_required,
        row.rule, row.watch_every_ms,
    )  # fmt: skip


def ordered(terms: Terms) -> Terms:
    """Terms as the ledger keeps them: scopes in order."""
    return msgspec.structs.replace(terms, scopes=tuple(sorted(terms.scopes)))


def _write(tx: Transaction, authorisation: bytes, row: Any, values: dict[str, Any]) -> int:
    """A new row, or the one that was requested; its version."""
    if row is not None:
        tx.connection.execute(
            update(t.authorisation)
            .where(t.authorisation.c.id == authorisation)
            .values(values | {"version": row.version + 1})
        )
        return int(row.version) + 1
    blank = {
        "uses": 0,
        "subject_ref": b"",
        "commitment": bytes(32),
        "person": b"",
        "epoch": 1,
        "certificate": b"",
        "certificate_hash": b"",
    }
    tx.connection.execute(insert(t.authorisation).values(blank | values | {"id": authorisation, "version": 1}))
    return 1


def mint(tx: Transaction, authorisation: bytes, epoch: int, terms: Terms, committed: bytes, leaf: int) -> bytes:
    """A key pair for this epoch: the private half wrapped in the ledger, the public half certified."""
    suite = tx.keys.suite
    private, public = suites.generate(suite)
    signed = certificates.issue(
        tx.keys.origin, authorisation, epoch, public, terms, committed, leaf, tx.keys.certificate, suite
    )
    hashed = certificates.certificate_hash(signed)
    wrapped = tx.keys.wrap_release(authorisation, epoch, private, suite)
    tx.connection.execute(insert(t.release_key).values(
        authorisation=authorisation, epoch=epoch, certificate_hash=hashed, kek_epoch=tx.keys.release.newest, suite=suite, wrapped=wrapped, at=tx.now_ms))  # fmt: skip
    tx.connection.execute(
        update(t.authorisation)
        .where(t.authorisation.c.id == authorisation)
        .values(certificate=signed, certificate_hash=hashed)
    )
    return signed


def seal_capsule(
    tx: Transaction, authorisation: bytes, recipient: str, operator: str, identity: bytes, salt: bytes, signed: bytes
) -> bytes:
    """Identity, salt and certificate, for the recipient key that `operator` holds; `Refused` without one."""
    entry = recipient_entries(tx.connection, [recipient], tx.now_ms).get((recipient, operator))
    if entry is None:
        raise Refused(Code.DELEGATION_ABSENT)
    plain = catalogue().codec("capsule").encode({"identity": identity, "salt": salt, "certificate": signed})
    return seal(entry.public_key, plain, sealing.capsule_info(recipient, authorisation))


def bind(tx: Transaction, authorisation: bytes, identity: bytes) -> tuple[bytes, bytes, bytes]:
    """A fresh salt, the commitment C to this person, and both sealed under the authorisation's content key."""
    cipher = tx.content_cipher(authorisation)
    if cipher is None:
        raise Refused(Code.ERASED)
    salt, nonce = tx.keys.entropy(SALT_BYTES), tx.keys.entropy(12)
    return salt, commitment(salt, identity), seal_salted(cipher, nonce, PERSON, salt, identity)


def person(tx: Transaction, row: Any) -> tuple[bytes, bytes]:
    """The salt and canonical identity an authorisation is bound to; `Refused` once erased."""
    cipher = tx.content_cipher(row.id)
    if cipher is None or not row.person:
        raise Refused(Code.ERASED)
    return open_salted(cipher, PERSON, row.person)

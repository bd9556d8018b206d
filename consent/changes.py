"""What changes in an agreement that goes on: fewer scopes, more time, a corrected identity, a new key. Each is a fact with an epoch,
a key and a certificate of its own; the old key dies, so answers in flight under the old terms do not open (protocol §2, §6)."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import update

from consent.core.agreement import extends, objection
from consent.core.facts import Evidence, Grant, State, Terms
from consent.core.rules import REFUSAL, Happening, step
from consent.grants import bind, keep, mint, ordered, person, seal_capsule, term_columns, terms_of, vouched_for
from consent.issuers import Issuers
from consent.stores import tables as t
from consent.transaction import Leaf, Transaction, row_of
from consent.transitions import destroy
from exchange.core.errors import Code
from exchange.core.identity import subject_reference
from exchange.ports import Refused


def narrow(tx: Transaction, authorisation: bytes, scopes: tuple[str, ...], operator: str) -> Grant:
    """Fewer scopes."""
    row = _row(tx, authorisation, Happening.NARROWED)
    held = terms_of(row)
    if not scopes or not set(scopes) < set(held.scopes):
        raise Refused(Code.SCOPE_EXCEEDED)
    terms = ordered(msgspec.structs.replace(held, scopes=scopes))
    return _reissue(tx, row, Happening.NARROWED, terms, msgspec.json.encode({"scopes": terms.scopes}), operator)


def renew(
    tx: Transaction, issuers: Issuers, authorisation: bytes, terms: Terms, evidence: Evidence, operator: str
) -> Grant:
    """More time or uses, agreed to anew by the same person; what is renewed may be expired or used up. `terms.max_uses` more uses
    from now on: those made before stay counted."""
    row = _row(tx, authorisation, Happening.RENEWED)
    _, identity = person(tx, row)
    reason = objection(terms, evidence, identity, tx.now_ms)
    if reason is not None or terms.not_after_ms <= tx.now_ms:
        raise Refused(reason or Code.EXPIRED)
    if not extends(terms_of(row), terms):
        raise Refused(Code.SCOPE_EXCEEDED)
    vouched = vouched_for(tx, issuers, authorisation, terms, identity, evidence)
    kept = keep(tx, authorisation, terms, evidence, vouched)
    content = msgspec.json.encode({"terms": terms, "evidence": kept, "uses": row.uses})
    terms = ordered(msgspec.structs.replace(terms, max_uses=row.uses + terms.max_uses))
    columns = {
        "at": tx.now_ms, "channel": evidence.channel, "agent": evidence.agent, "assurance": evidence.assurance, "operator": operator,
        "representation": kept.representation, "representative_ref": kept.representative_ref,
    }  # fmt: skip
    return _reissue(tx, row, Happening.RENEWED, terms, content, operator, columns)


def rebind(
    tx: Transaction, issuers: Issuers, authorisation: bytes, identity: bytes, evidence: Evidence, operator: str
) -> Grant:
    """The same person under a corrected identity: new commitment, new subject reference."""
    row = _row(tx, authorisation, Happening.REBOUND)
    terms = terms_of(row)
    reason = objection(terms, evidence, identity, tx.now_ms)
    if reason is not None:
        raise Refused(reason)
    vouched = vouched_for(tx, issuers, authorisation, terms, identity, evidence)
    reference = subject_reference(tx.keys.secrets["pseudonym.key"], row.recipient, identity)
    tx.mint_content_key(authorisation, reference)
    _, committed, sealed = bind(tx, authorisation, identity)
    content = msgspec.json.encode(
        {"evidence": keep(tx, authorisation, terms, evidence, vouched), "commitment": committed}
    )
    columns = {"subject_ref": reference, "commitment": committed, "person": sealed}
    return _reissue(tx, row, Happening.REBOUND, terms, content, operator, columns)


def rekey(tx: Transaction, authorisation: bytes) -> Leaf:
    """A new key under the same terms, where the old one was lost or has served long enough; the capsule is asked for."""
    row = _row(tx, authorisation, Happening.REKEYED)
    return _replace_key(tx, row, Happening.REKEYED, terms_of(row), b"", {})


def _row(tx: Transaction, authorisation: bytes, happening: Happening) -> Any:
    row = row_of(tx.connection, authorisation)
    if row is None:
        raise Refused(Code.AUTHORISATION_UNKNOWN)
    if step(State(row.state), happening) is None:
        raise Refused(REFUSAL[State(row.state)])
    return row


def _reissue(
    tx: Transaction,
    row: Any,
    happening: Happening,
    terms: Terms,
    content: bytes,
    operator: str,
    columns: dict[str, Any] | None = None,
) -> Grant:
    leaf = _replace_key(tx, row, happening, terms, content, columns or {})
    now = row_of(tx.connection, row.id)
    salt, identity = person(tx, now)
    sealed = seal_capsule(tx, row.id, row.recipient, operator, identity, salt, now.certificate)
    return Grant(row.id, now.certificate, sealed, leaf.index)


def _replace_key(
    tx: Transaction, row: Any, happening: Happening, terms: Terms, content: bytes, columns: dict[str, Any]
) -> Leaf:
    """The fact, the new epoch, its key and its certificate, in place of the old ones."""
    leaf = tx.append(happening.value, row.id, content)
    destroy(tx, [row.id])
    a = t.authorisation
    changes = {"state": State.LIVE.value, "epoch": row.epoch + 1, "version": row.version + 1}
    tx.connection.execute(update(a).where(a.c.id == row.id).values(term_columns(terms) | columns | changes))
    mint(tx, row.id, row.epoch + 1, terms, columns.get("commitment", row.commitment), row.grant_leaf)
    tx.emit(row.id, row.version + 1, State.LIVE)
    return leaf

"""What the HTTP API tells, as JSON values: ids in hexadecimal, times in RFC 3339, sealed bytes in base64; nothing of any person in clear."""

from __future__ import annotations

import base64
from typing import Any

from consent.core.facts import Acknowledgement, Authorisation, DirectoryEntry, Grant, Outcome, Terms, Waiting
from exchange.core.errors import Code
from exchange.core.rendering import rfc3339
from portal.core.language import Language
from portal.core.problems import explained
from portal.core.submissions import Accepted

Told = Outcome | Waiting
"""What the bus says of a request: its one outcome, or that an answer waits, for its person or to be opened."""


def accepted(one: Accepted, told: Told | None, message: bytes, language: Language) -> dict[str, Any]:
    """A request: where it stands and, once it has ended, its outcome. `message` is what the bus told (`outcome.v1.avsc`, `waiting.v1.avsc`),
    framed: receipt and sealed answer, which the collectivity alone can open."""
    return {
        "id": one.key.request.hex(),
        "authorisation": one.key.authorisation.hex(),
        "status": "accepted" if told is None else code_of(told),
        "accepted_at": rfc3339(one.at_ms),
        "deadline": rfc3339(one.deadline_ms),
        "outcome": outcome(told, language) if isinstance(told, Outcome) else None,
        "message": text(message),
    }


def outcome(told: Outcome, language: Language) -> dict[str, Any]:
    """The one fate of a request."""
    code = Code.WITHDRAWN if told.delivery == "cut" else told.reason
    return {
        "code": told.code,
        "delivery": told.delivery,
        "reason": told.reason,
        "provider_code": told.provider_code,
        "decided_at": rfc3339(told.decided_at_ms),
        "problem": explained(Code(code), language, told.provider_code) if code else None,
    }


def event(cursor: str, at_ms: int, told: Told, message: bytes, language: Language) -> dict[str, Any]:
    """What an operator was told of one request; `cursor` resumes after it."""
    return {
        "cursor": cursor,
        "type": event_type(told),
        "at": rfc3339(at_ms),
        "request": told.key.request.hex(),
        "authorisation": told.key.authorisation.hex(),
        "outcome": outcome(told, language) if isinstance(told, Outcome) else None,
        "message": text(message),
    }


def code_of(told: Told) -> str:
    if isinstance(told, Waiting):
        return "preview_pending" if told.awaits == "person" else "waiting"
    return told.code


def event_type(told: Told) -> str:
    """What happened to a request, in a word."""
    return f"request.{code_of(told)}"


def agreement(held: Authorisation, terms: Terms) -> dict[str, Any]:
    """An agreement as its collectivity may see it: its terms and where it stands; nobody is named."""
    return {
        "id": held.id.hex(),
        "state": held.state.value,
        "version": held.version,
        "recipient": terms.recipient,
        "provider": terms.provider,
        "data_set": terms.data_set,
        "purpose": terms.purpose,
        "scopes": list(terms.scopes),
        "basis": terms.basis,
        "legal_reference": terms.legal_reference,
        "notice_hash": terms.notice_hash.hex(),
        "notice_version": terms.notice_version,
        "not_before": rfc3339(terms.not_before_ms),
        "not_after": rfc3339(terms.not_after_ms),
        "uses": held.uses,
        "max_uses": terms.max_uses,
        "data_life_days": terms.data_life_days,
        "assurance": terms.assurance,
        "rule": text(terms.rule),
        "watch_every_ms": terms.watch_every_ms,
    }


def acknowledgement(ack: Acknowledgement) -> dict[str, Any]:
    """The ledger's signed word on a withdrawal; `named` are the requests already on their way."""
    return {
        "authorisation": ack.authorisation.hex(),
        "state": ack.state.value,
        "at": rfc3339(ack.at_ms),
        "leaf_index": ack.leaf_index,
        "leaf_hash": ack.leaf_hash.hex(),
        "named": [request.hex() for request in ack.named],
        "note": ack.note,
    }


def capsule(grant: Grant) -> dict[str, Any]:
    """Identity, salt and certificate of an agreement, sealed to the key its collectivity holds."""
    return {
        "authorisation": grant.authorisation.hex(),
        "certificate": text(grant.certificate),
        "capsule": text(grant.capsule),
        "leaf_index": grant.leaf_index,
    }


def entry(of: DirectoryEntry) -> dict[str, Any]:
    """A public key of the directory, with both signatures."""
    return {
        "kind": of.kind,
        "organisation": of.organisation,
        "operator": of.operator,
        "public_key": text(of.public_key),
        "not_after": of.not_after_ms,
        "enrolment_key": text(of.enrolment_key),
        "signature": text(of.signature),
        "countersignature": text(of.countersignature),
    }


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()

"""Whom an act is about, as it travels sealed to the ledger through doors that must not see it (ADR 0034): values only.

Terms, channel and agent travel beside it, in clear; the seal is bound to all of them.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from consent.core.agreement import terms_bytes
from consent.core.facts import Evidence, Representation, Terms, Tokens
from exchange.core.encoding import digest, join


class Whom(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """JSON, bytes in base64. `identity` and `speaker` are canonical (`exchange.core.identity`); who speaks for the person does so as
    `speaks`, with the hash of what shows it; `id_token`, `userinfo` and `random` are an identity provider's word (protocol §7)."""

    identity: bytes
    speaks: Literal["", "parent", "mandate"] = ""
    speaker: bytes = b""
    speaker_evidence_hash: bytes = b""
    id_token: str = ""
    userinfo: str = ""
    random: bytes = b""


def whom(identity: bytes, evidence: Evidence) -> Whom:
    """What of an act names somebody."""
    spoke, tokens = evidence.representation, evidence.tokens
    told = Whom(identity)
    if spoke is not None:
        told = msgspec.structs.replace(
            told, speaks=spoke.kind, speaker=spoke.identity, speaker_evidence_hash=spoke.evidence_hash
        )
    if tokens is not None:
        told = msgspec.structs.replace(told, id_token=tokens.id_token, userinfo=tokens.userinfo, random=tokens.random)
    return told


def nameless(evidence: Evidence) -> Evidence:
    """The rest of the evidence: what may travel in clear."""
    return msgspec.structs.replace(evidence, representation=None, tokens=None)


def joined(evidence: Evidence, told: Whom) -> Evidence:
    """The evidence as it was, of both halves."""
    spoke = Representation(told.speaks, told.speaker, told.speaker_evidence_hash) if told.speaks else None
    tokens = Tokens(told.id_token, told.userinfo, told.random) if told.id_token else None
    return msgspec.structs.replace(evidence, representation=spoke, tokens=tokens)


def act_digest(operator: str, authorisation: bytes, terms: Terms, evidence: Evidence) -> bytes:
    """What the seal is bound to: who publishes, which authorisation, its terms, and how the act was collected."""
    collected = (evidence.channel, evidence.agent, evidence.assurance)
    return digest(
        b"accord.act.v1", operator.encode(), authorisation, terms_bytes(terms), terms.notice_hash,
        join(*(text.encode() for text in collected)), evidence.evidence_hash,
    )  # fmt: skip

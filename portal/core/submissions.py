"""A request as the SDK made it, met at the HTTP door: what can be known of it without any key."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import NamedTuple

from consent.core.facts import RequestKey, Verdict
from exchange.core.decision import TTL_MAX_MS, TTL_MIN_MS, Ask, DataSet
from exchange.core.errors import Code
from exchange.core.heads import BadRequest, read_head
from exchange.core.sealing import ask_hash, request_digest

AskReader = Callable[[bytes], Ask | None]


class Unusable(ValueError):
    """Bytes the gate would not take either, and why."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.value)
        self.code = code


class Submitted(NamedTuple):
    """A request of an operator: `digest` tells it from another ask under the same id; `ttl_ms` counts from when the broker has it."""

    key: RequestKey
    digest: bytes
    ttl_ms: int
    ask: Ask


class Accepted(NamedTuple):
    """A request the broker has."""

    key: RequestKey
    digest: bytes
    at_ms: int
    deadline_ms: int


def decoded(text: str) -> bytes:
    """Base64 in its one form (RFC 4648 §4); `Unusable` otherwise."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Unusable(Code.BAD_FRAME) from None
    if base64.b64encode(data).decode() != text:
        raise Unusable(Code.BAD_FRAME)
    return data


def submitted(value: bytes, operator: str, prefix: bytes, read_ask: AskReader) -> Submitted:
    """The request in these bytes, strictly; `Unusable` where the gate would find a dead letter."""
    try:
        head = read_head(value, prefix)
    except BadRequest:
        raise Unusable(Code.BAD_FRAME if value[: len(prefix)] != prefix else Code.BAD_AVRO) from None
    ask = read_ask(head.ask)
    if ask is None:
        raise Unusable(Code.BAD_AVRO)
    key = RequestKey(operator, head.authorisation, head.request)
    digest = request_digest(operator, head.authorisation, head.request, ask_hash(head.ask))
    return Submitted(key, digest, head.ttl_ms, ask)


def objection(
    asked: Submitted, authorisation: bytes, recipients: frozenset[str], data_sets: dict[str, DataSet]
) -> Code | None:
    """Why the door does not take it, None where it does: what the gate alone can tell is left to the gate."""
    if asked.key.authorisation != authorisation:
        return Code.BAD_KEY
    if not TTL_MIN_MS <= asked.ttl_ms <= TTL_MAX_MS:
        return Code.TTL_OUT_OF_BOUNDS
    if asked.ask.data_set not in data_sets:
        return Code.DATA_SET_UNKNOWN
    return None if asked.ask.recipient in recipients else Code.DELEGATION_ABSENT


def cancellation(accepted: Accepted) -> Verdict:
    """The fate its own operator proposes for a request; the ledger decides which comes first."""
    return Verdict(accepted.key, accepted.digest, accepted.deadline_ms, "cancelled", Code.CANCELLED)

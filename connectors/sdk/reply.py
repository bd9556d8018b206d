"""Step (9) of a task: the State's answer minimised, padded, signed and sealed (protocol §5); what a chunk says is signed together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.contract import Reading
from connectors.sdk.task import Refused, Task
from consent.certificates import BadCertificate, check_entry
from consent.core.facts import Attempted
from exchange import wire
from exchange.core import sealing
from exchange.core.avro import BadAvro
from exchange.core.errors import Code
from exchange.sealing import AnswerKeys, seal_signed, sign_answers

TOGETHER = 64
"""Most answers under one signature: six hashes beside each; to seal them takes some 20 ms, and then others have their turn."""


class Reply(NamedTuple):
    """What is to be sealed, in clear; to whom (a raw public key), and what it is bound to."""

    task: Task
    context: sealing.Context
    plain: bytes
    recipient: bytes


def reply(task: Task, granted: Attempted, reading: Reading, registrar: bytes, now_ms: int) -> Reply:
    """To a task that T-attempt granted. Raises Refused."""
    head, recipient = task.head, _recipient(task, granted, registrar, now_ms)
    try:
        told = task.plain(reading, now_ms)
    except BadAvro:
        raise Refused("failed", Code.PROVIDER_ERROR) from None
    context = sealing.Context(
        head.digest,
        task.certificate.hash,
        sealing.key_id(recipient),
        task.schema_hash,
        task.scopes,
        task.rule_hash,
        head.deadline_ms,
    )
    return Reply(task, context, told, recipient)


def _recipient(task: Task, granted: Attempted, registrar: bytes, now_ms: int) -> bytes:
    """Its raw public key; Refused unless it is this recipient's under this operator, in force, and the registrar signed it."""
    entry, expected = granted.recipient, ("recipient", task.certificate.recipient, task.head.key.operator)
    try:
        if entry is None:
            raise BadCertificate("no recipient key")
        check_entry(entry, registrar, now_ms)
        if (entry.kind, entry.organisation, entry.operator) != expected:
            raise BadCertificate("somebody else's key")
    except BadCertificate:
        raise Refused("refused", Code.DELEGATION_ABSENT) from None
    return entry.public_key


def seal(replies: Sequence[Reply], signing: Ed25519PrivateKey, mac: bytes) -> list[bytes | Refused]:
    """Of each the bytes of its answer, or that it is too large."""
    signed = sign_answers([(one.context, one.plain) for one in replies], signing) if replies else []
    return [_seal(one, each, signing, mac) for one, each in zip(replies, signed, strict=True)]


def _seal(one: Reply, signed: bytes, signing: Ed25519PrivateKey, mac: bytes) -> bytes | Refused:
    head, certificate = one.task.head, one.task.certificate
    keys = AnswerKeys(one.recipient, certificate.public_key, signing, mac, certificate.suite)
    sealed = seal_signed(one.context, signed, keys)
    if len(sealed.outer) > wire.OUTER_MAX_BYTES:
        return Refused("failed", Code.PROVIDER_ERROR)
    return wire.write_answer(head.key, head.digest, sealed.tag, sealed.sealed_key, sealed.outer)

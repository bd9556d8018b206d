"""What a connector writes to itself of a watch (`exchange.core.watch`, ADR 0019): the record of `watches.<provider>`, under its own tag."""

from __future__ import annotations

import hmac
from typing import Any, NamedTuple

from consent.core.facts import Submission
from exchange import wire
from exchange.core.decision import Ask
from exchange.core.errors import Code
from exchange.core.sealing import ask_hash, request_digest
from exchange.core.watch import Look, Watch, tag
from exchange.hpke import KeyPair
from exchange.ports import Message, Record
from exchange.tracing import OutHeaders

SIZE_MAX_BYTES = 1_000_000
"""Of a record: with its headers it must still be one message of 1 MiB."""


class Waiting(NamedTuple):
    """A watch between two looks, as its record says; `body` is the task of its request."""

    record: Record
    watch: Watch
    look: Look
    due_ms: int
    task: bytes
    body: dict[str, Any]

    @property
    def size_bytes(self) -> int:
        return 1024 + 2 * len(self.task)


class TooLarge(ValueError):
    """A record that no topic takes."""


def secret_of(private: KeyPair) -> bytes:
    """The key of fingerprints and tags: this provider's connector alone has it, and loses it when it changes its sealing key."""
    return hmac.digest(private.private, b"accord.watch.v1", "sha256")


def watch_of(first: Submission, ask: Ask, deadline_ms: int) -> Watch | None:
    """The watch that a request asks for; None if it asks for none, or for one that ends before its first look."""
    if not ask.watch_every_ms:
        return None
    hashed = ask_hash(wire.write_ask(ask))
    watch = Watch(first, hashed, deadline_ms, ask.watch_every_ms, ask.watch_until_ms)
    return None if watch.over(1) else watch


def write(
    secret: bytes, watch: Watch, look: Look, due_ms: int, task: bytes, answer: bytes, headers: OutHeaders
) -> Message:
    """The record of a watch whose next look is `look`; `answer` is to be sent when it is read. Raises TooLarge."""
    value = wire.write("exchange-look", {
        "due_ms": due_ms.to_bytes(8, "big"), "number": look.number, "sent": look.sent, "fingerprint": look.fingerprint,
        "calls": look.calls, "task": task, "answer": answer, "tag": tag(secret, look, due_ms, task, answer),
    })  # fmt: skip
    if len(value) > SIZE_MAX_BYTES:
        raise TooLarge
    key = watch.submission(look.number).key
    return wire.message("exchange-look", key.authorisation, value, key.request.hex(), headers)


def read(secret: bytes, record: Record) -> tuple[Waiting, bytes]:
    """A watch and the answer to send now (empty: none). BadBytes for what this connector did not write."""
    body = wire.read("exchange-look", record.value)
    look, due_ms = Look(body["number"], body["sent"], body["fingerprint"], body["calls"]), wire.time_ms(body["due_ms"])
    try:
        expected = tag(secret, look, due_ms, body["task"], body["answer"])
    except OverflowError:
        raise wire.BadBytes(Code.BAD_AVRO) from None
    if not hmac.compare_digest(expected, body["tag"]):
        raise wire.BadBytes(Code.BAD_SEAL)
    task = wire.read("exchange-task", body["task"])
    key, asked = wire.request_key(task), wire.read_ask(task["ask"])
    if record.key != key.authorisation:
        raise wire.BadBytes(Code.BAD_KEY)
    digest = request_digest(key.operator, key.authorisation, key.request, ask_hash(task["ask"]))
    watch = watch_of(Submission(key, digest), asked, wire.time_ms(task["deadline_ms"])) if asked else None
    if watch is None:
        raise wire.BadBytes(Code.BAD_AVRO)
    return Waiting(record, watch, look, due_ms, body["task"], task), body["answer"]

"""A task at its connector: what its bytes say, what is known of it once checked, and the two ways it may not be answered now."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.answer import plain
from connectors.contract import Reading
from connectors.sdk.lanes import Asking, Way
from consent.certificates import Certificate, certificate_hash
from consent.core.facts import Attempt, RequestKey, Submission
from exchange import wire
from exchange.core import sealing
from exchange.core.decision import Ask
from exchange.core.identity import Identity
from exchange.core.rule import Rule
from exchange.ports import Record
from exchange.schemas import catalogue


@dataclass(frozen=True, slots=True)
class Head:
    """What a task says before anything of it is believed. The look of a watch says it of itself: `first` is then the digest of the
    watch's request, to which the identity is sealed, and `last` what the answer last sent was sent under."""

    record: Record
    key: RequestKey
    digest: bytes
    deadline_ms: int
    first: bytes
    last: Submission | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """A task that passed steps (1)–(6); `signed`: its certificate's bytes."""

    head: Head
    certificate: Certificate
    signed: bytes
    ask: Ask
    identity: Identity
    scopes: tuple[str, ...]
    way: Way
    rule: Rule | None = None

    @property
    def rule_hash(self) -> bytes:
        return sealing.bound_rule(self.certificate.rule_hash)

    @property
    def schema_hash(self) -> bytes:
        return bytes.fromhex(catalogue().codec_of_data_set(self.ask.data_set).sha256)

    @property
    def same(self) -> tuple[RequestKey, bytes, bytes]:
        """What two deliveries of one task have in common; a narrowed agreement has another certificate."""
        return self.head.key, self.head.digest, self.certificate.hash

    def plain(self, reading: Reading, now_ms: int) -> bytes:
        """What is sealed of a reading at that time; BadAvro."""
        return plain(self.ask.data_set, self.scopes, self.rule, reading, now_ms)

    def bearing(self) -> bytes:
        """Its bytes, with its certificate: a watch outlives what is kept of certificates, and the one in force."""
        return wire.write("exchange-task", wire.read("exchange-task", self.head.record.value) | bearing(self.signed))

    def asking(self) -> Asking:
        return self.way.asked(self.identity, self.ask.recipient, dict(self.ask.parameters), self.scopes)

    def attempt(self) -> Attempt:
        head = self.head
        return Attempt(
            head.key,
            head.digest,
            self.scopes,
            self.schema_hash,
            self.rule_hash,
            self.certificate.hash,
            head.deadline_ms,
            self.ask.watch_every_ms,
            head.last,
        )


def bearing(signed: bytes) -> dict[str, bytes]:
    """The fields of a task that bears its certificate."""
    return {"certificate_hash": certificate_hash(signed), "certificate": signed}


class Refused(Exception):
    """A task that gets a verdict instead of a call."""

    def __init__(self, code: str, reason: str, provider_code: str = "") -> None:
        self.code, self.reason, self.provider_code = code, reason, provider_code


class Unbegun(Exception):
    """The look of a watch whose first answer was not released: whoever asked was told so, and waits for nothing."""


class Later(Exception):
    """A task that waits longer than its chunk. `code` is the State's, where it asked for that; `calls` are those made."""

    def __init__(self, due_ms: int, code: str, calls: int) -> None:
        self.due_ms, self.code, self.calls = due_ms, code, calls

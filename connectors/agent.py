"""A connector: from `tasks.<provider>` to `answers.<provider>`, or a `failed`/`refused` verdict.

For each task, in order (protocol §3.4): (1) deadline; (2) the certificate's signature, provider, data set, purpose, recipient;
(3) D recomputed; (4) the identity opens; (5) it is the person of the authorisation, or `subject_mismatch` without any State
call; (6) effective scopes; (7) T-attempt, before each State call, at most three; (8) the call, under the deadline; (9) the
answer minimised, padded, signed, sealed. Found, not found and the State's refusals are all answers; only technical failure is
a verdict. Tasks of a chunk run side by side, up to a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from connectors.contract import Failure, Found, NotFound, Reading, Retry, StateApi
from connectors.core.minimise import minimise
from consent.certificates import BadCertificate, Certificate, check_entry
from consent.certificates import read as read_certificate
from consent.core.facts import Attempt, Attempted, RequestKey, Verdict
from exchange import wire
from exchange.agents.base import Outgoing, Quiet
from exchange.core import sealing
from exchange.core.avro import BadAvro
from exchange.core.decision import Ask
from exchange.core.errors import Code
from exchange.core.identity import BadIdentity, Identity
from exchange.core.identity import read as read_identity
from exchange.core.shape import complete
from exchange.core.topics import VERDICTS, answers, tasks
from exchange.ports import Clock, Ledger, Outbox, Record
from exchange.schemas import catalogue
from exchange.sealing import AnswerKeys, SubjectMismatch, Unopenable, open_identity, seal_answer
from exchange.tracing import Tracing
from exchange.trust import Trust

CALLS_AT_ONCE = 16
WAIT_MAX_S = 15.0
_CAUSES = {"wrong_person": Code.WRONG_PERSON}


@dataclass(frozen=True, slots=True)
class ConnectorKeys:
    """The provider's sealing key, the connector's signing key, and the secret shared with the ledger."""

    sealing: X25519PrivateKey
    signing: Ed25519PrivateKey
    mac: bytes


@dataclass(frozen=True, slots=True)
class _Task:
    """A task that passed steps (1)–(6)."""

    record: Record
    key: RequestKey
    digest: bytes
    deadline_ms: int
    certificate: Certificate
    ask: Ask
    identity: Identity
    scopes: tuple[str, ...]

    @property
    def schema_hash(self) -> bytes:
        return bytes.fromhex(catalogue().codec_of_data_set(self.ask.data_set).sha256)

    def attempt(self) -> Attempt:
        return Attempt(
            self.key,
            self.digest,
            self.scopes,
            self.schema_hash,
            sealing.NO_RULE,
            self.certificate.hash,
            self.deadline_ms,
        )


class _Refused(Exception):
    """A task that gets a verdict instead of a call."""

    def __init__(self, code: str, reason: str, provider_code: str = "") -> None:
        self.code, self.reason, self.provider_code = code, reason, provider_code


class Connector(Quiet):
    """Answers for one provider by calling its State API."""

    def __init__(
        self,
        provider: str,
        api: StateApi,
        keys: ConnectorKeys,
        trust: Trust,
        ledger: Ledger,
        outbox: Outbox,
        clock: Clock,
        tracing: Tracing,
        worker: str = "",
    ) -> None:
        self.name, self.topics, self._provider = f"connector.{provider}", (tasks(provider),), provider
        self._api, self._keys, self._trust, self._ledger = api, keys, trust, ledger
        self._outbox, self._clock, self._tracing, self._worker = outbox, clock, tracing, worker or self.name

    async def handle(self, chunk: Sequence[Record]) -> None:
        outgoing, ready = Outgoing(self._outbox), []
        for record in chunk:
            try:
                body = wire.read("exchange-task", record.value)
                key = wire.request_key(body)
                deadline_ms = wire.time_ms(body["deadline_ms"])
                if record.key != key.authorisation:
                    raise wire.BadBytes(Code.BAD_KEY)
            except wire.BadBytes as bad:
                outgoing.bury(record, bad.code)
                continue
            digest = sealing.request_digest(
                key.operator, key.authorisation, key.request, sealing.ask_hash(body["ask"])
            )  # (3)
            try:
                ready.append(self._prepare(record, key, digest, deadline_ms, body))
            except _Refused as refused:
                self._refuse(outgoing, record, key, digest, deadline_ms, refused)
        first = await self._ledger.attempt([task.attempt() for task in ready], self._worker) if ready else []
        limit = asyncio.Semaphore(CALLS_AT_ONCE)
        await asyncio.gather(
            *(self._serve(task, granted, limit, outgoing) for task, granted in zip(ready, first, strict=True))
        )
        await outgoing.send()

    def _prepare(self, record: Record, key: RequestKey, digest: bytes, deadline_ms: int, body: dict[str, Any]) -> _Task:
        ask = wire.read_ask(body["ask"])
        if self._clock.now_ms() >= deadline_ms:  # (1)
            raise _Refused("expired", Code.DEADLINE_PASSED)
        try:
            certificate = read_certificate(body["certificate"], self._trust.certificate)  # (2)
        except BadCertificate:
            raise _Refused("refused", Code.CERTIFICATE_INVALID) from None
        if ask is None or not self._certified(certificate, key, ask):
            raise _Refused("refused", Code.CERTIFICATE_INVALID)
        try:
            identity = read_identity(
                open_identity(self._keys.sealing, digest, body["identity"], certificate.commitment)
            )  # (4) (5)
        except SubjectMismatch:
            raise _Refused("refused", Code.SUBJECT_MISMATCH) from None
        except (Unopenable, BadIdentity):
            raise _Refused("refused", Code.IDENTITY_UNOPENABLE) from None
        scopes = sealing.effective_scopes(ask.scopes, certificate.scopes)  # (6)
        if not scopes:
            raise _Refused("refused", Code.SCOPE_EXCEEDED)
        return _Task(record, key, digest, deadline_ms, certificate, ask, identity, scopes)

    def _certified(self, certificate: Certificate, key: RequestKey, ask: Ask) -> bool:
        return (
            certificate.origin == self._trust.log.name
            and certificate.provider == self._provider
            and certificate.authorisation_id == key.authorisation
            and (certificate.recipient, certificate.data_set, certificate.purpose)
            == (ask.recipient, ask.data_set, ask.purpose)
        )

    async def _serve(self, task: _Task, granted: Attempted, limit: asyncio.Semaphore, outgoing: Outgoing) -> None:
        try:
            async with limit:
                with self._tracing.span(
                    "connector", task.record.headers, task.record.topic, task.key.request
                ) as headers:
                    reading, granted = await self._call(task, granted)
                    value = self._seal(task, granted, reading)
            message = wire.message("exchange-answer", task.key.authorisation, value, task.key.request.hex(), headers)
            outgoing.add(answers(self._provider), task.record, message)
        except _Refused as refused:
            self._refuse(outgoing, task.record, task.key, task.digest, task.deadline_ms, refused)

    async def _call(self, task: _Task, granted: Attempted) -> tuple[Reading, Attempted]:
        """(7) (8): what the State says in the end; a wait it asks for is kept within the deadline."""
        while True:
            if granted.reason:
                raise _Refused("expired" if granted.reason == Code.DEADLINE_PASSED else "refused", granted.reason)
            reading = await self._api.fetch(task.identity, task.ask.recipient, dict(task.ask.parameters))
            if isinstance(reading, Failure):
                raise _Refused("failed", _CAUSES.get(reading.cause, Code.PROVIDER_ERROR), reading.code)
            if not isinstance(reading, Retry):
                return reading, granted
            left_s = (task.deadline_ms - self._clock.now_ms()) / 1000
            wait_s = max(reading.after_s, 0.2)
            if wait_s > min(left_s, WAIT_MAX_S):
                raise _Refused("failed", Code.PROVIDER_UNAVAILABLE, reading.code)
            await self._clock.sleep(wait_s)
            granted = (await self._ledger.attempt([task.attempt()], self._worker))[0]
            if granted.reason == Code.ATTEMPTS_EXHAUSTED:
                raise _Refused("failed", Code.PROVIDER_UNAVAILABLE, reading.code)

    def _seal(self, task: _Task, granted: Attempted, reading: Reading) -> bytes:
        """(9)."""
        entry = granted.recipient
        try:
            if entry is None:
                raise BadCertificate("no recipient key")
            check_entry(entry, self._trust.registrar, self._clock.now_ms())
            if (entry.kind, entry.organisation, entry.operator) != (
                "recipient",
                task.certificate.recipient,
                task.key.operator,
            ):
                raise BadCertificate("somebody else's key")
        except BadCertificate:
            raise _Refused("refused", Code.DELEGATION_ABSENT) from None
        try:
            plain = _plain(task, reading)
        except BadAvro:
            raise _Refused("failed", Code.PROVIDER_ERROR) from None
        context = sealing.Context(
            task.digest,
            task.certificate.hash,
            sealing.key_id(entry.public_key),
            task.schema_hash,
            task.scopes,
            sealing.NO_RULE,
            task.deadline_ms,
        )
        own, certificate = self._keys, task.certificate
        keys = AnswerKeys(entry.public_key, certificate.public_key, own.signing, own.mac, certificate.suite)
        sealed = seal_answer(context, plain, keys)
        if len(sealed.outer) > wire.OUTER_MAX_BYTES:
            raise _Refused("failed", Code.PROVIDER_ERROR)
        return wire.write_answer(task.key, task.digest, sealed.tag, sealed.sealed_key, sealed.outer)

    def _refuse(
        self, outgoing: Outgoing, record: Record, key: RequestKey, digest: bytes, deadline_ms: int, refused: _Refused
    ) -> None:
        verdict = Verdict(key, digest, deadline_ms, refused.code, refused.reason, refused.provider_code)  # type: ignore[arg-type]  # one of the four
        headers = self._tracing.mark("connector", record.headers, record.topic, key.request)
        value = wire.write_verdict(verdict, "connector")
        outgoing.add(VERDICTS, record, wire.message("verdict", key.authorisation, value, key.request.hex(), headers))


def _plain(task: _Task, reading: Reading) -> bytes:
    """StateAnswer bytes: minimised to the effective scopes. BadAvro where the State's words are not the data set's."""
    status, code, title, data = "refused", "", "", b""
    if isinstance(reading, Found):
        codec = catalogue().codec_of_data_set(task.ask.data_set)
        status, data = "found", codec.encode(complete(codec.schema, minimise(reading.data, frozenset(task.scopes))))
    elif not isinstance(reading, Retry | Failure):
        status, code, title = ("not_found" if isinstance(reading, NotFound) else "refused"), reading.code, reading.title
    return catalogue().codec("state-answer").encode({"status": status, "code": code, "title": title, "data": data})

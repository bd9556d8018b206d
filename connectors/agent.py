"""A connector: from `tasks.<provider>` to `answers.<provider>`, or a `failed`/`refused` verdict.

For each task, in order (protocol §3.4): (1) deadline; (2) the certificate's signature, provider, data set, purpose, recipient, rule;
(3) D recomputed; (4) the identity opens; (5) it is the person of the authorisation, or `subject_mismatch` without any State
call; (6) effective scopes; (7) T-attempt, before each State call (each round of them, for a composed data set:
`connectors.core.composition`), at most three; (8) the call, under the deadline; (9) the
answer minimised, padded, signed, sealed. Found, not found and the State's refusals are all answers; only technical failure is
a verdict. Tasks of a chunk run side by side, each in the lane of its data set (rate, concurrency, circuit breaker); what cannot
be answered within the patience of a chunk goes to `retries.<provider>`, and comes back when its time has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.contract import Failure, Reading, Retry, StateApi
from connectors.sdk.attempts import Attempts
from connectors.sdk.certificates import Certificates, borne
from connectors.sdk.core.told import Told
from connectors.sdk.lanes import Asking, Lanes, Way
from connectors.sdk.reply import TOGETHER, Reply, reply, seal
from connectors.sdk.task import Head, Later, Refused, Task, Unbegun
from connectors.sdk.watch import TooLarge, secret_of, watch_of
from connectors.sdk.watch import write as write_look
from consent.certificates import BadCertificate, Certificate
from consent.certificates import read as read_certificate
from consent.core.facts import CALLS_MAX, Attempted, RequestKey, Submission, Verdict
from exchange import rules, wire
from exchange.agents.base import Outgoing, Quiet, slices
from exchange.agents.retries import calls_before, calls_header
from exchange.core import sealing
from exchange.core.decision import Ask
from exchange.core.errors import Code
from exchange.core.identity import BadIdentity
from exchange.core.identity import read as read_identity
from exchange.core.rule import BadRule, Rule, rule_hash
from exchange.core.topics import VERDICTS, answers, retries, tasks, watches
from exchange.core.watch import Look, allowed, fingerprint
from exchange.data_sets import DATA_SETS
from exchange.hpke import KeyPair
from exchange.ports import Clock, Ledger, Message, Outbox, Record
from exchange.sealing import SubjectMismatch, Unopenable, open_identity
from exchange.together import side_by_side
from exchange.tracing import OutHeaders, Tracing, carried
from exchange.trust import Trust

PATIENCE_S = 15.0
"""How long a chunk may wait for turns and retries; a call begun then still has its own time (a chunk stalls after 30 s)."""
RETRY_LEAST_S = 0.2
_CAUSES = {"wrong_person": Code.WRONG_PERSON}


@dataclass(frozen=True, slots=True)
class ConnectorKeys:
    """The provider's sealing key, the connector's signing key, and the secret shared with the ledger."""

    sealing: KeyPair
    signing: Ed25519PrivateKey
    mac: bytes


class _Said(NamedTuple):
    """What a task leads to, and until when it may be said again."""

    topic: str
    message: Message
    until_ms: int

    @property
    def size_bytes(self) -> int:
        return 512 + len(self.message.value)


class _Answered(NamedTuple):
    """What the State said to a task, not yet sealed."""

    reading: Reading
    reply: Reply
    headers: OutHeaders

    @property
    def until_ms(self) -> int:
        return self.reply.task.head.deadline_ms

    @property
    def size_bytes(self) -> int:
        return 4096 + len(self.reply.plain)


class Connector(Quiet):
    """Answers for one provider by calling its State API. `api`: one for all its data sets, one for each, or its lanes."""

    together, timed = True, False

    def __init__(
        self,
        provider: str,
        api: StateApi | Mapping[str, StateApi] | Lanes,
        keys: ConnectorKeys,
        trust: Trust,
        ledger: Ledger,
        outbox: Outbox,
        clock: Clock,
        tracing: Tracing,
        worker: str = "",
    ) -> None:
        self.name, self.topics, self.provider = f"connector.{provider}", (tasks(provider),), provider
        self._lanes = api if isinstance(api, Lanes) else Lanes(provider, api, clock)
        self._keys, self._trust, self._attempts = keys, trust, Attempts(ledger, worker or self.name)
        self._outbox, self._clock, self._tracing = outbox, clock, tracing
        self._told: Told[_Said | _Answered] = Told()
        self.secret, self._ledger, self._certificates = secret_of(keys.sealing), ledger, Certificates(ledger, clock)

    async def handle(self, chunk: Sequence[Record]) -> None:
        outgoing, ready = Outgoing(self._outbox), dict[Any, Task]()
        asked = [found for record in chunk if (found := _read(record, outgoing))]
        certificates = await self._certificates.of(body for _, body in asked)
        for head, body in asked:
            if task := self._prepared(head, body, borne(body, certificates), outgoing):
                ready.setdefault(task.same, task)  # met twice in a chunk: answered once
        until_ms = self._clock.now_ms() + int(1000 * PATIENCE_S)
        said = await side_by_side(self._once(task, until_ms) for task in ready.values())
        sealed = await self._sealed([one for one in said if not isinstance(one, BaseException)])
        if len(sealed) < len(said):  # the chunk comes again; what was answered is kept
            raise next(one for one in said if isinstance(one, BaseException))
        for task, one in zip(ready.values(), sealed, strict=True):
            outgoing.add(one.topic, task.head.record, one.message)
        await outgoing.send()

    def _prepared(
        self, head: Head, body: Mapping[str, Any], certificate: bytes | Code, outgoing: Outgoing
    ) -> Task | None:
        """(1)–(6): a task to answer, or None once its fate is gathered."""
        try:
            return self.prepare(head, body, certificate)
        except Refused as refused:
            said = self.refusal(head, refused)
            outgoing.add(said.topic, head.record, said.message)
            return None

    def prepare(self, head: Head, body: Mapping[str, Any], signed: bytes | Code) -> Task:
        """`signed`: the certificate relied upon, or why there is none."""
        ask = wire.read_ask(body["ask"])
        if self._clock.now_ms() >= head.deadline_ms:  # (1)
            raise Refused("expired", Code.DEADLINE_PASSED)
        if isinstance(signed, Code):  # (2)
            raise Refused("refused", signed)
        certificate = self._certificate(signed, head.key, ask)
        if ask is None or certificate is None:
            raise Refused("refused", Code.CERTIFICATE_INVALID)
        way = self._way(certificate, ask)
        try:
            identity = read_identity(
                open_identity(self._keys.sealing, head.first, body["identity"], certificate.commitment)
            )  # (4) (5)
        except SubjectMismatch:
            raise Refused("refused", Code.SUBJECT_MISMATCH) from None
        except (Unopenable, BadIdentity):
            raise Refused("refused", Code.IDENTITY_UNOPENABLE) from None
        scopes = sealing.effective_scopes(ask.scopes, certificate.scopes)  # (6)
        if not scopes:
            raise Refused("refused", Code.SCOPE_EXCEEDED)
        return Task(head, certificate, signed, ask, identity, scopes, way, self._ruled(certificate, ask, scopes))

    def _ruled(self, certificate: Certificate, ask: Ask, scopes: tuple[str, ...]) -> Rule | None:
        """The rule agreed to and asked, once its signature, grammar, data set and scopes hold; None where the data are."""
        if certificate.rule_hash != rule_hash(ask.rule):
            raise Refused("refused", Code.RULE_MISMATCH)
        if not ask.rule:
            return None
        try:
            rule = rules.open_signed(ask.rule, self._trust.rules)
        except BadRule:
            raise Refused("refused", Code.RULE_INVALID) from None
        if rule.data_set != ask.data_set:
            raise Refused("refused", Code.RULE_INVALID)
        if not set(rules.scopes_of(rule)) <= set(scopes):
            raise Refused("refused", Code.SCOPE_EXCEEDED)
        return rule

    def _way(self, certificate: Certificate, ask: Ask) -> Way:
        """The way of what is asked, where we have one and may take it."""
        way = self._lanes.of(ask.data_set)
        if way is None:
            raise Refused("refused", Code.DATA_SET_UNKNOWN)
        if not allowed(ask.watch_every_ms, ask.watch_until_ms, certificate.watch_every_ms):
            raise Refused("refused", Code.WATCH_EXCEEDED)
        if not {name for name, _ in ask.parameters} <= DATA_SETS[ask.data_set].parameters:
            raise Refused("refused", Code.PARAMETER_UNKNOWN)
        return way

    def _certificate(self, signed: bytes, key: RequestKey, ask: Ask | None) -> Certificate | None:
        """The certificate, if the ledger signed it and it is about this ask of this authorisation."""
        try:
            certificate = read_certificate(signed, self._trust.certificate)
        except BadCertificate:
            return None
        return certificate if ask is not None and self._certified(certificate, key, ask) else None

    def _certified(self, certificate: Certificate, key: RequestKey, ask: Ask) -> bool:
        return (
            certificate.origin == self._trust.log.name
            and certificate.provider == self.provider
            and certificate.authorisation_id == key.authorisation
            and (certificate.recipient, certificate.data_set, certificate.purpose)
            == (ask.recipient, ask.data_set, ask.purpose)
        )

    async def successor(self, authorisation: bytes, signed: bytes) -> bytes | None:
        """The certificate in force, where it differs from `signed` in its key and validity at most; None otherwise."""
        (held,) = await self._ledger.lookup([authorisation])
        try:
            if held is None:
                return None
            now, before = (read_certificate(each, self._trust.certificate) for each in (held.certificate, signed))
        except BadCertificate:
            return None
        return held.certificate if now.hash != before.hash and now.terms == before.terms else None

    async def _once(self, task: Task, until_ms: int) -> _Said | _Answered:
        """What was said of this task before, or what the State says now."""
        said = self._told.get(task.same, self._clock.now_ms())
        if said is None:
            said = await self._answer(task, min(until_ms, task.head.deadline_ms))
            self._told.keep(task.same, said, said.until_ms)
        return said

    async def _answer(self, task: Task, until_ms: int) -> _Said | _Answered:
        head = task.head
        try:
            with self._tracing.span("connector", head.record.headers, head.record.topic, head.key.request) as headers:
                reading, granted = await self._call(task, until_ms)
                return _Answered(reading, self.reply(task, granted, reading), headers)
        except Refused as refused:
            return self.refusal(head, refused)
        except Later as later:
            if later.due_ms >= head.deadline_ms:
                return self.refusal(head, Refused("failed", Code.PROVIDER_UNAVAILABLE, later.code))
            return _Said(retries(self.provider), _postponed(head, later), later.due_ms)

    async def _sealed(self, said: Sequence[_Said | _Answered]) -> list[_Said]:
        """Each in its place; what was not sealed yet is signed together."""
        sealed = list[_Said]()
        for some in slices(said, TOGETHER):
            if sealed:
                await asyncio.sleep(0)
            values = iter(self.seal([one.reply for one in some if isinstance(one, _Answered)]))
            sealed += [self._said(one, next(values)) if isinstance(one, _Answered) else one for one in some]
        return sealed

    def _said(self, one: _Answered, value: bytes | Refused) -> _Said:
        """Kept: a task met again is told the same bytes."""
        said = self.refusal(one.reply.task.head, value) if isinstance(value, Refused) else self._message(one, value)
        self._told.keep(one.reply.task.same, said, said.until_ms)
        return said

    def _message(self, one: _Answered, value: bytes) -> _Said:
        """The answer; of a request that watches, in the first record of its watch."""
        task, head = one.reply.task, one.reply.task.head
        watch = watch_of(Submission(head.key, head.digest), task.ask, head.deadline_ms)
        if watch is None:
            message = wire.message(
                "exchange-answer", head.key.authorisation, value, head.key.request.hex(), one.headers
            )
            return _Said(answers(self.provider), message, head.deadline_ms)
        look = Look(1, 0, fingerprint(self.secret, head.digest, task.plain(one.reading, 0)))
        try:
            message = write_look(self.secret, watch, look, watch.due_ms(1), task.bearing(), value, one.headers)
        except TooLarge:
            return self.refusal(head, Refused("failed", Code.PROVIDER_ERROR))
        return _Said(watches(self.provider), message, head.deadline_ms)

    async def _call(self, task: Task, until_ms: int) -> tuple[Reading, Attempted]:
        """(7) (8): what the State says in the end, each call in its turn and after its T-attempt, within `until_ms`."""
        asked, calls, code = task.asking(), calls_before(task.head.record.headers), ""
        while True:
            now_ms = self._clock.now_ms()
            turn_ms = asked.turn_ms(now_ms, until_ms)
            if turn_ms > until_ms:
                raise Later(asked.later_ms(turn_ms), code, calls)
            if turn_ms > now_ms:
                await self._clock.sleep((turn_ms - now_ms) / 1000)
            async with asked.at_once:
                now_ms = self._clock.now_ms()
                if now_ms > until_ms:
                    raise Later(asked.later_ms(now_ms), code, calls)
                if not asked.entered(now_ms):
                    continue
                reading, granted = await self.attempted(task, asked, calls, code)
            calls += 1
            if isinstance(reading, Failure):
                raise Refused("failed", _CAUSES.get(reading.cause, Code.PROVIDER_ERROR), reading.code)
            if not isinstance(reading, Retry):
                return reading, granted
            code = reading.code
            if calls >= CALLS_MAX:
                raise Refused("failed", Code.PROVIDER_UNAVAILABLE, code)
            wait_s = max(reading.after_s, RETRY_LEAST_S)
            due_ms = self._clock.now_ms() + int(1000 * wait_s)
            if due_ms > until_ms:
                raise Later(due_ms, code, calls)
            await self._clock.sleep(wait_s)

    async def attempted(self, task: Task, asked: Asking, calls: int, code: str) -> tuple[Reading, Attempted]:
        """One call, or one round of them, if the ledger allows it now."""
        granted, head = await self._attempts.ask(task.attempt()), task.head
        if granted.reason == Code.ATTEMPTS_EXHAUSTED and calls:
            raise Refused("failed", Code.PROVIDER_UNAVAILABLE, code)
        if granted.reason:
            raise Refused("expired" if granted.reason == Code.DEADLINE_PASSED else "refused", granted.reason)
        if head.last is not None and head.last.digest == head.first and not granted.told:
            raise Unbegun
        left_s = (head.deadline_ms - self._clock.now_ms()) / 1000
        return await asked.fetch(left_s), granted

    def reply(self, task: Task, granted: Attempted, reading: Reading) -> Reply:
        """(9): minimised, and to whom."""
        return reply(task, granted, reading, self._trust.registrar, self._clock.now_ms())

    def seal(self, replies: Sequence[Reply]) -> list[bytes | Refused]:
        """(9): padded, signed together, sealed; of each its answer's bytes, or why there is none."""
        return seal(replies, self._keys.signing, self._keys.mac)

    def refusal(self, head: Head, refused: Refused) -> _Said:
        key, record = head.key, head.record
        verdict = Verdict(key, head.digest, head.deadline_ms, refused.code, refused.reason, refused.provider_code)  # type: ignore[arg-type]  # one of the four
        headers = self._tracing.mark("connector", record.headers, record.topic, key.request)
        value = wire.write_verdict(verdict, "connector")
        message = wire.message("verdict", key.authorisation, value, key.request.hex(), headers)
        return _Said(VERDICTS, message, head.deadline_ms)


def _read(record: Record, outgoing: Outgoing) -> tuple[Head, dict[str, Any]] | None:
    """A task's head and record, or None once it is with the dead letters."""
    try:
        body = wire.read("exchange-task", record.value)
        key = wire.request_key(body)
        deadline_ms = wire.time_ms(body["deadline_ms"])
        if record.key != key.authorisation:
            raise wire.BadBytes(Code.BAD_KEY)
    except wire.BadBytes as bad:
        outgoing.bury(record, bad.code)
        return None
    digest = sealing.request_digest(key.operator, key.authorisation, key.request, sealing.ask_hash(body["ask"]))  # (3)
    return Head(record, key, digest, deadline_ms, digest), body


def _postponed(head: Head, later: Later) -> Message:
    """The task's own bytes, behind the time it waits for."""
    body = {"due_ms": later.due_ms.to_bytes(8, "big"), "task": head.record.value or b""}
    extra = [*carried(head.record.headers), *calls_header(later.calls)]
    value = wire.write("exchange-retry", body)
    return wire.message("exchange-retry", head.key.authorisation, value, head.key.request.hex(), extra)

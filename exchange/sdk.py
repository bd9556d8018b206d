"""The SDK of an application: ask, wait for the answer, read what happened.

    async with Bus(...) as bus:
        request = await bus.request("cnaf.quotient-familial.v1", consent=agreement, purpose="tarification-cantine")
        answer = await request.answer(timeout_s=30)

The identity is sealed here, to the provider: neither the broker nor the bus ever sees it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from consent import certificates
from consent.core.facts import Acknowledgement, Evidence, Outcome, RequestKey, Submission, Terms, Waiting
from exchange import many, outcomes, recording, rules, wire
from exchange.core import sealing
from exchange.core.decision import TTL_MAX_MS, Ask
from exchange.core.errors import Code
from exchange.core.heads import HEAD, varint
from exchange.core.identity import Identity
from exchange.core.topics import outcomes as outcomes_topic
from exchange.core.topics import requests as requests_topic
from exchange.data_sets import DATA_SETS
from exchange.hearing import Hearing, pulled
from exchange.known_keys import KnownKeys
from exchange.many import Ended
from exchange.opened import Opener, Released, open_released, read
from exchange.ports import LEASE_MS, Clock, Ledger, Outbox, Reader, Record, Refused, Unavailable
from exchange.publishing import Publishing
from exchange.schemas import catalogue
from exchange.sealing import seal_identity
from exchange.tracing import Tracing
from exchange.trust import Trust
from exchange.wallet import Capsule, Wallet
from exchange.watching import Watch, parts_of

READ_AGAIN_S = 0.5
TRIES = 5
TTL_S, PREVIEW_TTL_S = 300.0, TTL_MAX_MS / 1000
"""How long a request lives where nobody says: five minutes; two days where its person is asked before the answer is handed over."""
ReaderFactory = Callable[[str, Mapping[int, int]], Reader]


class Told(NamedTuple):
    """One outcome of this operator, or the notice that an answer waits. `cursor` resumes after it."""

    cursor: str
    told: Outcome | Waiting


class Event(NamedTuple):
    """One outcome of this operator. `cursor` resumes after it."""

    cursor: str
    request: bytes
    outcome: Outcome


@dataclass
class Request:
    """A request that was accepted by the broker."""

    bus: Bus
    key: RequestKey
    digest: bytes
    authorisation: bytes
    ask_hash: bytes = b""
    again: Callable[[], Awaitable[Request]] | None = None
    """Asks anew, once, under the agreement's new key."""

    @property
    def submission(self) -> Submission:
        """What tells it from another ask under the same id."""
        return Submission(self.key, self.digest)

    async def outcome(self, timeout_s: float = 30.0) -> Outcome:
        """The one terminal fate. If none is told in time (the request goes on): `AwaitsPerson` where an answer is there and its person has
        not let it through yet, else `BusUnavailable`. An answer that waits to be opened is opened by this."""
        return await self.bus.outcome(await self.bus.hearing.told(self.submission, timeout_s))

    async def waiting(self, timeout_s: float = 30.0) -> bool:
        """Whether an answer waits to be opened, once there is news; False where the request has its fate already. Opens nothing."""
        return pulled(await self.bus.hearing.told(self.submission, timeout_s, keep=True))

    async def awaits_person(self, timeout_s: float = 30.0) -> bool:
        """Whether an answer is there that its person has to let through, once there is news; False where there is other news first. Then
        `answer` goes on waiting for what they say."""
        return await self.bus.hearing.shown(self.submission, timeout_s)

    async def answer(self, timeout_s: float = 30.0) -> outcomes.Answer:
        """The answer, opened and its receipt verified; an `ExchangeError` where there is none. Where the agreement's key was replaced
        meanwhile, that of a request of its own under the new one."""
        told = await self.outcome(timeout_s)
        if told.reason == Code.CERTIFICATE_OUTDATED and self.again is not None:
            return await (await self.again()).answer(timeout_s)
        answer = self.bus.open(self, told)
        await self.bus.received(self)
        return answer


@dataclass
class Bus:
    """One collectivity under one operator. Of the ledger it asks for public keys, the agreements it wants or records, their capsules, and
    answers that wait."""

    wallet: Wallet
    outbox: Outbox
    reader: ReaderFactory
    ledger: Ledger
    trust: Trust
    clock: Clock
    tracing: Tracing = field(default_factory=Tracing)
    hearing: Hearing = field(init=False)
    _pulled: set[Submission] = field(default_factory=set)
    _reading: asyncio.Task[None] | None = None
    keys: KnownKeys = field(init=False)
    opener: Opener = field(init=False)
    _publishing: Publishing = field(init=False)

    def __post_init__(self) -> None:
        self.hearing, self._publishing = Hearing(self.clock), Publishing(self.outbox)
        self.keys = KnownKeys(self.ledger, self.trust, self.clock)
        self.opener = Opener(self.wallet.private, self.trust, self.keys.connectors)

    async def __aenter__(self) -> Self:
        async with self.reader(outcomes_topic(self.wallet.operator), {}) as reader:
            ends = await reader.end_offsets()
        self._reading = asyncio.create_task(self._read(ends))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self.opener.aclose()

    async def request(
        self,
        data_set: str,
        *,
        consent: bytes,
        purpose: str,
        scopes: Sequence[str] | None = None,
        parameters: Mapping[str, str] | None = None,
        rule: bytes = b"",
        ttl_s: float | None = None,
        request_id: bytes | None = None,
        capsule: Capsule | None = None,
        watch_every_ms: int = 0,
        watch_until_ms: int = 0,
    ) -> Request:
        """Publish a request under an agreement (its 16-byte id). On return the broker has it, durably.

        `scopes` default to all the data set has; `parameters` select (annee, mois); `request_id` is a UUIDv7 of yours, for an
        idempotent retry; `ttl_s` defaults to five minutes, or to two days where the data set asks for a preview; `rule` is a signed rule, to be answered instead of the data: the scopes then default to those it reads;
        `capsule` stands for the one the wallet holds; the watch is for `watch`. `UnknownDataSet`, `ConsentRequired` or `NotEntitled` here when the SDK knows
        already that it cannot be asked.
        """
        known = DATA_SETS.get(data_set)
        if known is None:
            raise outcomes.UnknownDataSet(Code.DATA_SET_UNKNOWN)
        capsule = capsule or self.wallet.capsule(consent)
        if capsule is None:
            raise outcomes.ConsentRequired(Code.AUTHORISATION_UNKNOWN)
        ask = wire.write_ask(
            Ask(
                self.wallet.recipient,
                data_set,
                purpose,
                tuple(scopes or (self._scopes_of(rule) if rule else known.scopes)),
                tuple((parameters or {}).items()),
                rule,
                watch_every_ms,
                watch_until_ms,
            )
        )
        key = RequestKey(self.wallet.operator, consent, request_id or uuid7(self.clock.now_ms(), os.urandom(10)))
        ask_hash = sealing.ask_hash(ask)
        digest = sealing.request_digest(key.operator, consent, key.request, ask_hash)
        provider = await self.keys.entry("provider", known.provider)
        self.hearing.expect(Submission(key, digest))
        usual_s = PREVIEW_TTL_S if known.preview else TTL_S
        ttl_ms, held = round(1000 * (usual_s if ttl_s is None else ttl_s)), capsule
        await self._publish(key, lambda: _request(key, digest, ttl_ms, ask, held, provider.public_key))

        async def again() -> Request:
            await self.recall(consent)
            more: dict[str, Any] = {"scopes": scopes, "parameters": parameters, "rule": rule, "ttl_s": ttl_s}
            return replace(await self.request(data_set, consent=consent, purpose=purpose, **more), again=None)

        return Request(self, key, digest, consent, ask_hash, again)

    async def want(self, terms: Terms, authorisation: bytes = b"", evidence: Evidence = recording.ONLINE) -> bytes:
        """Ask for an agreement under these terms, that the person gives or refuses elsewhere; its id, a new one unless given. The same
        again changes nothing. An `ExchangeError` where it cannot be asked for."""
        return await recording.want(self, terms, authorisation, evidence)

    async def record(
        self, terms: Terms, identity: Identity, evidence: Evidence = recording.ONLINE, authorisation: bytes = b""
    ) -> bytes:
        """Have recorded what the person said here, or what the law allows: an agreement with the tokens that vouch for it (`nonce` =
        `consent.core.agreement.grant_nonce` of these terms and this id), or terms of basis `legal` with text, notice hash and version.
        The identity is sealed to the ledger; the capsule is in the wallet on return. The agreement's id. An `ExchangeError` says why not."""
        return await recording.record(self, terms, identity, evidence, authorisation)

    async def refuse(self, terms: Terms, authorisation: bytes, evidence: Evidence = recording.ONLINE) -> None:
        """Have recorded that the person said no: to what was wanted under this id, or to what is live, which it closes."""
        await recording.refuse(self, terms, authorisation, evidence)

    async def withdraw(self, authorisation: bytes, happening: str = "withdrawn") -> Acknowledgement:
        """Have recorded what closes an agreement: `withdrawn` or `opposed` by the person, `ended` by the collectivity. Keys are gone on return."""
        return await recording.withdraw(self, authorisation, happening)

    async def recall(self, authorisation: bytes) -> None:
        """Fetch the capsule of an agreement again, its key having been replaced; `ConsentRequired` where it is gone."""
        try:
            grant = await self.ledger.capsule(authorisation, self.wallet.operator)
        except Refused as refused:
            raise outcomes.ConsentRequired(refused.code) from None
        self.wallet.keep(authorisation, grant.capsule)

    async def watch(
        self, data_set: str, *, consent: bytes, purpose: str, every_s: float, until_ms: int = 0, **asked: Any
    ) -> Watch:
        """Ask as `request` does (`asked` are its other arguments), and be told again whenever the answer has changed, looked up every
        `every_s` (an hour at least, and no more often than the agreement allows) until `until_ms` or as long as the agreement lasts.
        """
        topic = outcomes_topic(self.wallet.operator)
        async with self.reader(topic, {}) as reader:
            cursor = cursor_of(await reader.end_offsets())
        every_ms = round(every_s * 1000)
        request = await self.request(
            data_set, consent=consent, purpose=purpose, watch_every_ms=every_ms, watch_until_ms=until_ms, **asked
        )
        self.hearing.forget(request.submission)  # told by the watch
        return Watch(request, until_ms, cursor)

    def resume(self, name: str) -> Watch:
        """A watch begun in another process, by its name. Raises ValueError."""
        key, digest, ask_hash, until_ms = parts_of(name, self.wallet.operator)
        return Watch(Request(self, key, digest, key.authorisation, ask_hash), until_ms)

    def _scopes_of(self, signed: bytes) -> tuple[str, ...]:
        try:
            return rules.scopes_of(rules.open_signed(signed, self.trust.rules))
        except rules.BadRule:
            raise outcomes.NotEntitled(Code.RULE_INVALID) from None

    async def publish(self, key: RequestKey, value: bytes) -> None:
        """The bytes of a request, as they are: for tests, and for requests made by other means."""
        await self._publish(key, lambda: value)

    async def _publish(self, key: RequestKey, made: Callable[[], bytes]) -> None:
        topic = requests_topic(key.operator)
        partition = key.authorisation[0] % max(self.outbox.partitions(topic), 1)
        with self.tracing.span("request", [], topic, key.request, root=True) as headers:
            event_id = key.request.hex()
            await self._publishing.send(
                (topic, partition),
                lambda: wire.laid("exchange-request", key.authorisation, made(), event_id, headers),
            )

    async def outcome(self, told: Outcome | Waiting) -> Outcome:
        """The outcome of what was told: where an answer waits, or was opened elsewhere, that of opening it here and now."""
        return await self.pull(Submission(told.key, told.digest)) if pulled(told) else told  # type: ignore[return-value]  # what is not pulled is an outcome

    async def pull(self, submission: Submission) -> Outcome:
        """Open what waits: this is the release (protocol §2). `NothingWaits` where there is nothing, `AwaitsPerson` where it waits for its
        person first, `BusUnavailable` where what came with its key came too late to be used."""
        for _ in range(TRIES):
            started_ms = self.clock.monotonic_ms()
            try:
                outcome = await self.ledger.open(submission)
            except Refused as refused:
                raise outcomes.of(refused.code) from None
            if outcome.delivery != "key":
                return outcome
            if self.clock.monotonic_ms() - started_ms <= LEASE_MS:
                self._pulled.add(submission)
                return outcome
        raise outcomes.BusUnavailable(Code.UNAVAILABLE)

    async def received(self, request: Request) -> None:
        """An answer that was pulled is here and opened: the ledger may forget it. Nothing for any other."""
        if request.submission in self._pulled:
            self._pulled.discard(request.submission)
            await self.ledger.received([request.submission])

    def open(self, request: Request, outcome: Outcome) -> outcomes.Answer:
        """Open and verify: receipt, T, the connector's signature. An `ExchangeError` for an outcome without an answer."""
        released = self.released(request, outcome)
        return read(outcome, open_released(released, self.wallet.private, self.trust, self.keys.connector))

    def released(self, request: Request, outcome: Outcome) -> Released:
        """What it takes to open the answer of an outcome. An `ExchangeError` for one without an answer."""
        if outcome.code != "released" or outcome.delivery != "key":
            raise outcomes.error(outcome)
        capsule = self.wallet.capsule(request.authorisation)
        if capsule is None:
            raise outcomes.ConsentRequired(Code.AUTHORISATION_UNKNOWN)
        return Released(outcome, request.digest, capsule)

    def answers(self, requests: Iterable[Request], after: str = "") -> AsyncGenerator[Ended, None]:
        """The answer of each of these requests, or the error that there is none, as they are told after a cursor (empty: from the oldest
        kept); over with the last. Where many are told at once, a second process helps to open them (`exchange.opened`)."""
        return many.answers(self, requests, after)

    async def events(self, after: str = "") -> AsyncGenerator[Event, None]:
        """Every outcome of this operator after a cursor (empty: from the oldest kept), and on."""
        async with aclosing(self.told(after)) as told:
            async for cursor, what in told:
                if isinstance(what, Outcome):
                    yield Event(cursor, what.key.request, what)

    async def told(self, after: str = "") -> AsyncGenerator[Told, None]:
        """The same, and each answer that waits, for its person or to be opened."""
        async with aclosing(self.heard(after)) as heard:
            async for chunk in heard:
                for told in chunk:
                    yield told

    async def heard(self, after: str = "") -> AsyncGenerator[list[Told], None]:
        """The same, as many at once as there are of a partition."""
        offsets = {int(p): int(o) for p, _, o in (item.partition(":") for item in after.split(",") if item)}
        async with self.reader(outcomes_topic(self.wallet.operator), offsets) as reader:
            while True:
                for chunk in await reader.next():
                    heard = list[Told]()
                    for record in chunk:
                        offsets[record.partition] = record.offset + 1
                        if (told := _told(record)) is not None:
                            heard.append(Told(cursor_of(offsets), told))
                    yield heard

    async def _read(self, offsets: dict[int, int]) -> None:
        """For ever, from these offsets on: a broker that was away is read again from where it left."""
        while True:
            with suppress(Unavailable):
                async with self.reader(outcomes_topic(self.wallet.operator), dict(offsets)) as reader:
                    while True:
                        for chunk in await reader.next():
                            self._hear(chunk)
                            offsets[chunk[-1].partition] = chunk[-1].offset + 1
            await self.clock.sleep(READ_AGAIN_S)

    def _hear(self, chunk: Sequence[Record]) -> None:
        for record in chunk:
            if (told := _told(record)) is not None:
                self.hearing.hear(told)


def cursor_of(offsets: Mapping[int, int]) -> str:
    """Where to go on, by partition."""
    return ",".join(f"{partition}:{offset}" for partition, offset in sorted(offsets.items()))


def _told(record: Record) -> Outcome | Waiting | None:
    try:
        return wire.read_told(record)
    except wire.BadBytes:
        return None


def _request(key: RequestKey, digest: bytes, ttl_ms: int, ask: bytes, capsule: Capsule, provider: bytes) -> bytes:
    """The bytes of a request, its identity sealed to the provider's raw public key."""
    identity = seal_identity(provider, digest, capsule.salt, capsule.identity)
    relied_upon = certificates.certificate_hash(capsule.certificate)
    head = HEAD.pack(catalogue().prefix("exchange-request"), key.request, key.authorisation, relied_upon, ttl_ms)
    return head + varint(len(ask)) + ask + varint(len(identity)) + identity


def uuid7(now_ms: int, entropy: bytes) -> bytes:
    """UUIDv7 (RFC 9562 §5.7): 48 bits of Unix ms, then 74 random bits out of the 10 bytes given."""
    body = bytearray(now_ms.to_bytes(6, "big") + entropy)
    body[6] = body[6] & 0x0F | 0x70
    body[8] = body[8] & 0x3F | 0x80
    return bytes(body)

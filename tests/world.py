"""A ledger with its parties known to it, and what a connector would do by hand: for the tests of the ledger and of the seals."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors.agent import ConnectorKeys
from connectors.contract import Found, Reading
from consent import certificates
from consent.certificates import Certificate
from consent.core import note
from consent.core.facts import (
    Answer,
    Attempt,
    Attempted,
    Authorisation,
    Confirmation,
    DeadLetter,
    Dropped,
    Outcome,
    Position,
    RequestKey,
    Verdict,
)
from consent.keys import KeyRing, ephemeral
from consent.ledger import Ledger
from consent.stores.engine import open_store
from exchange import wire
from exchange.core import sealing, topics
from exchange.core.decision import Ask
from exchange.core.heads import HEAD, varint
from exchange.core.identity import Identity, canonical
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.hpke import KeyPair
from exchange.introduction import PURPOSES, give, introduce_collectivity, introduce_provider
from exchange.schemas import catalogue
from exchange.sealing import AnswerKeys, public_bytes, seal_answer, seal_identity
from exchange.testing import START_MS, TICK_S, MemoryBus
from exchange.wallet import Wallet

T = TypeVar("T")
RECIPIENT, OPERATOR, PROVIDER = "21130055300016", "211300553", "cnaf"
JEANNE = Identity("MARTIN", prenoms=("Jeanne",), date_naissance="1980-01-02", sexe_etat_civil="F")
PAUL = Identity("DURAND", prenoms=("Paul",), date_naissance="1979-11-30", sexe_etat_civil="M")
QUOTIENT = {"quotient_familial": {"fournisseur": "CNAF", "valeur": 742, "annee": 2026, "mois": 3}}
BURSARY = {"statut_boursier": {"est_boursier": True, "est_radie": False, "date_radiation": None}}
SCHEMA = hashlib.sha256(b"schema").digest()


class SetClock:
    """`exchange.ports.Clock`: moves when told, and by what it is asked to sleep. The wall clock may be moved on its own."""

    def __init__(self) -> None:
        self.wall_ms, self.monotonic = START_MS, 0

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic_ms(self) -> int:
        return self.monotonic

    async def sleep(self, seconds: float) -> None:
        self.advance(round(seconds * 1000))
        await asyncio.sleep(0)

    def advance(self, ms: int) -> None:
        self.wall_ms, self.monotonic = self.wall_ms + ms, self.monotonic + ms


class ScriptedApi:
    """A `StateApi` that gives the readings it was given, the last one for ever, and keeps what it was asked."""

    def __init__(self, *readings: Reading) -> None:
        self.readings = list(readings) or [Found(QUOTIENT)]
        self.asked: list[Any] = []

    async def fetch(self, data_set: str, identity: Any, recipient: str, parameters: Any) -> Reading:
        self.asked.append(identity)
        return self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]

    async def close(self) -> None: ...


class Asked(NamedTuple):
    """A request at its connector: certificate and attempt."""

    key: RequestKey
    digest: bytes
    attempt: Attempt
    certificate: Certificate


class World:
    """One ledger (in memory, or at `store`: a file, or a URL of PostgreSQL), one provider, one collectivity under one operator."""

    def __init__(self, store: Path | str | None = None, keys: KeyRing | None = None) -> None:
        self.clock, self.keys = SetClock(), keys or ephemeral("accord.test/ledger")
        self.connector = ConnectorKeys(KeyPair.generate(), Ed25519PrivateKey.generate(), os.urandom(32))
        self.wallet = Wallet.new(RECIPIENT, OPERATOR)
        self.engine = open_store(store)
        self._numbers = itertools.count(1)
        self.restart()

    def restart(self) -> None:
        """Another process on the same store and keys."""
        self.ledger = Ledger(self.engine, self.keys, self.clock, lambda provider: self.connector.mac)

    @classmethod
    async def open(cls, store: Path | str | None = None, keys: KeyRing | None = None) -> World:
        world = cls(store, keys)
        await introduce_provider(world.ledger, PROVIDER, world.connector, Ed25519PrivateKey.generate(), START_MS)
        await introduce_collectivity(world.ledger, world.wallet, START_MS)
        return world

    async def give(self, identity: Identity = JEANNE, **changes: object) -> bytes:
        """An agreement; `changes` replace terms. Returns its id."""
        return await give(self.ledger, self.wallet, identity, self.clock.now_ms(), **changes)

    def certificate(self, authorisation: bytes) -> Certificate:
        capsule = self.wallet.capsule(authorisation)
        assert capsule is not None
        return certificates.read(capsule.certificate, public_bytes(self.keys.certificate))

    def ask(
        self, authorisation: bytes, *, request: bytes | None = None, month: str = "3", ttl_ms: int = 300_000
    ) -> Asked:
        """A request as its connector sees it; nothing reaches the ledger yet. `month` tells two asks of one id apart."""
        certificate = self.certificate(authorisation)
        key = RequestKey(
            OPERATOR, authorisation, request or hashlib.sha256(str(next(self._numbers)).encode()).digest()[:16]
        )
        asked = Ask(RECIPIENT, QUOTIENT_FAMILIAL.name, PURPOSES[0], certificate.scopes, (("mois", month),))
        digest = sealing.request_digest(
            key.operator, key.authorisation, key.request, sealing.ask_hash(wire.write_ask(asked))
        )
        attempt = Attempt(
            key, digest, certificate.scopes, SCHEMA, sealing.NO_RULE, certificate.hash, self.clock.now_ms() + ttl_ms
        )
        return Asked(key, digest, attempt, certificate)

    async def attempt(self, asked: Asked) -> Attempted:
        return (await self.ledger.attempt([asked.attempt]))[0]

    def context(self, asked: Asked) -> sealing.Context:
        a, recipient_key = asked.attempt, sealing.key_id(self.wallet.private.public)
        return sealing.Context(
            a.digest, a.certificate_hash, recipient_key, a.schema_hash, a.scopes, a.rule_hash, a.deadline_ms
        )

    def answer(self, asked: Asked, plain: bytes = b"found", mac: bytes | None = None) -> Answer:
        """The State's answer, sealed afresh at each call."""
        keys = AnswerKeys(
            self.wallet.private.public,
            asked.certificate.public_key,
            self.connector.signing,
            mac or self.connector.mac,
            asked.certificate.suite,
        )
        sealed = seal_answer(self.context(asked), plain, keys)
        position = Position("answers.cnaf.v1", 0, 0)
        return Answer(asked.key, PROVIDER, asked.digest, sealed.tag, sealed.sealed_key, sealed.outer, position)

    async def answered(self, authorisation: bytes, **changes: Any) -> tuple[Asked, Answer]:
        """A request that was attempted and has an answer, not yet released."""
        asked = self.ask(authorisation, **changes)
        assert (await self.attempt(asked)).reason == ""
        return asked, self.answer(asked)

    async def release(self, *items: Answer | Verdict) -> list[Outcome | Dropped | DeadLetter]:
        return await self.ledger.release(items, [])

    async def told(self, item: Answer | Verdict) -> Outcome:
        """The outcome of one item, which must have one."""
        (outcome,) = await self.release(item)
        assert isinstance(outcome, Outcome), outcome
        return outcome

    async def confirm(self, *outcomes: Outcome) -> None:
        await self.ledger.release([], [confirmation(o) for o in outcomes])


def confirmation(outcome: Outcome) -> Confirmation:
    return Confirmation(outcome.key, outcome.digest, outcome.delivery == "key")


def codes(results: Sequence[Outcome | Dropped | DeadLetter]) -> list[str]:
    """Each result in a word: an outcome's code, or what it is."""
    return [
        r.code if isinstance(r, Outcome) else "dead:" + r.reason if isinstance(r, DeadLetter) else "dropped"
        for r in results
    ]


async def until(bus: MemoryBus, what: Callable[[], T | None]) -> T:
    """What is there at last, on the bus's own clock: ten minutes of it at most."""
    for _ in range(1_200):
        found = what()
        if found is not None:
            return found
        await bus.clock.sleep(TICK_S)
    raise AssertionError("it never came")


def told(bus: MemoryBus, request: bytes) -> list[Outcome]:
    """Every outcome of a request on its topic."""
    read = [wire.read_outcome(record) for record in bus.broker.records(topics.outcomes(bus.operator))]
    return [outcome for outcome in read if outcome.key.request == request]


async def outcome_of(bus: MemoryBus, request: bytes) -> Outcome:
    return await until(bus, lambda: next(iter(told(bus, request)), None))


async def publish(bus: MemoryBus, authorisation: bytes, identity: Identity, provider: KeyPair | None = None) -> bytes:
    """A request made by hand, for whoever `identity` is, sealed to `provider` or else to the real one; its id."""
    capsule = bus.wallet.capsule(authorisation)
    assert capsule is not None
    ask = wire.write_ask(
        Ask(bus.recipient, QUOTIENT_FAMILIAL.name, PURPOSES[0], tuple(sorted(QUOTIENT_FAMILIAL.scopes)), ())
    )
    key = RequestKey(bus.operator, authorisation, os.urandom(16))
    digest = sealing.request_digest(key.operator, authorisation, key.request, sealing.ask_hash(ask))
    entries = await bus.ledger.directory()
    sealed_to = provider.public if provider else next(e.public_key for e in entries if e.kind == "provider")
    identity_sealed = seal_identity(sealed_to, digest, capsule.salt, canonical(identity))
    head = HEAD.pack(
        catalogue().prefix("exchange-request"),
        key.request,
        authorisation,
        certificates.certificate_hash(capsule.certificate),
        60_000,
    )
    await bus.sdk.publish(key, head + varint(len(ask)) + ask + varint(len(identity_sealed)) + identity_sealed)
    return key.request


async def held(world: World, authorisation: bytes) -> Authorisation:
    (found,) = await world.ledger.lookup([authorisation])
    assert found is not None
    return found


async def log_size(world: World) -> int:
    head = note.parse_checkpoint(note.verify(await world.ledger.checkpoint(), world.keys.verifier))
    return head.size

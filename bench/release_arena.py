"""A ledger with its collectivity, provider and agreements, where answers are made, released and opened: for benches of release."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Engine

from bench import bare
from bench.agreements import person
from bench.load import WrongCount
from bench.report import Figures
from bench.watch import family_cpu_s
from connectors.agent import ConnectorKeys
from consent import certificates
from consent.certificates import Certificate
from consent.core.facts import Answer, Attempt, Confirmation, Outcome, Position, RequestKey
from consent.keys import KeyRing
from consent.ledger import Ledger
from consent.opening import Opener, here
from consent.rotation import private_keys
from exchange import wire
from exchange.agents.release import AT_ONCE, SLICE
from exchange.clock import SystemClock
from exchange.core import sealing
from exchange.core.decision import Ask
from exchange.core.topics import answers as answers_topic
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.hpke import KeyPair
from exchange.introduction import ONLINE, introduce_collectivity, introduce_provider, terms
from exchange.schemas import catalogue
from exchange.sdk import uuid7
from exchange.sealing import AnswerKeys, public_bytes, seal_answer
from exchange.stopping import long_lived
from exchange.wallet import Wallet

RECIPIENT, OPERATOR, PROVIDER = "21310555400017", "213105554", QUOTIENT_FAMILIAL.provider
TTL_MS = 24 * 3_600_000
TICK_S = 0.01
"""The least CPU time that can be told: a quick machine has done a small load in none."""
ANSWER_BYTES = 900
"""Of a plain answer, before it is padded."""


class Sealed(NamedTuple):
    """An answer on its way, and what opens its key: what the limit opens, and nothing else."""

    answer: Answer
    certificate_hash: bytes
    info: bytes


@dataclass(frozen=True)
class Arena:
    """A ledger that knows one collectivity, one provider, and agreements whose certificates are held here."""

    engine: Engine
    keys: KeyRing
    ledger: Ledger
    wallet: Wallet
    connector: ConnectorKeys
    certificates: tuple[Certificate, ...]

    async def begin(self) -> None:
        """A slice released before anything counts: the process that opens beside the ledger has started."""
        await self.release(await self.load(SLICE))

    async def load(self, count: int) -> list[Sealed]:
        """As many answers, each attempted for, of the agreements in turn."""
        sealed = [self._sealed(self.certificates[number % len(self.certificates)]) for number in range(count)]
        for first in range(0, count, SLICE):
            told = await self.ledger.attempt([attempt for attempt, _ in sealed[first : first + SLICE]], "bench")
            if refused := next((one.reason for one in told if one.reason), ""):
                raise WrongCount(f"an attempt was refused: {refused}")
        return [one for _, one in sealed]

    def _sealed(self, certificate: Certificate) -> tuple[Attempt, Sealed]:
        request = uuid7(SystemClock().now_ms(), os.urandom(10))  # as the SDK names one
        key = RequestKey(self.wallet.operator, certificate.authorisation_id, request)
        ask = wire.write_ask(
            Ask(self.wallet.recipient, QUOTIENT_FAMILIAL.name, certificate.purpose, certificate.scopes, ())
        )
        digest = sealing.request_digest(key.operator, key.authorisation, key.request, sealing.ask_hash(ask))
        schema = bytes.fromhex(catalogue().codec_of_data_set(QUOTIENT_FAMILIAL.name).sha256)
        recipient, deadline_ms = self.wallet.private.public, SystemClock().now_ms() + TTL_MS
        context = sealing.Context(
            digest,
            certificate.hash,
            sealing.key_id(recipient),
            schema,
            certificate.scopes,
            sealing.NO_RULE,
            deadline_ms,
        )
        keys = AnswerKeys(
            recipient, certificate.public_key, self.connector.signing, self.connector.mac, certificate.suite
        )
        made = seal_answer(context, os.urandom(ANSWER_BYTES), keys)
        place = Position(answers_topic(PROVIDER), 0, 0)
        attempt = Attempt(
            key, digest, certificate.scopes, schema, sealing.NO_RULE, certificate.hash, context.deadline_ms
        )
        answer = Answer(key, PROVIDER, digest, made.tag, made.sealed_key, made.outer, place)
        info = sealing.release_info(sealing.transcript(context), made.outer)
        return attempt, Sealed(answer, certificate.hash, info)

    def open(self, load: Sequence[Sealed]) -> Figures:
        """The limit: the HPKE of `cryptography` alone."""
        with self.engine.begin() as connection:
            found = private_keys(connection, self.keys, {one.answer.key.authorisation for one in load})
        held = {certificate: bare.loaded(key.raw) for certificate, key in found.items()}
        work = [(held[one.certificate_hash], one.answer.sealed_key, one.info) for one in load]
        wall_s, cpu_s = perf_counter(), family_cpu_s()
        for private, sealed_key, info in work:
            bare.HPKE.decrypt(sealed_key, private, info=info)
        return _rate(len(load), wall_s, cpu_s)

    async def release(self, load: Sequence[Sealed]) -> Figures:
        """In slices, so many at once, each confirmed with a later one, as `exchange.agents.release` does."""
        turns, confirmed = asyncio.Semaphore(AT_ONCE), list[Confirmation]()

        async def settled(part: Sequence[Sealed]) -> int:
            async with turns:
                before, confirmed[:] = tuple(confirmed), ()
                told = await self.ledger.release([one.answer for one in part], before, "bench")
            outcomes = [one for one in told if isinstance(one, Outcome) and one.inner]
            confirmed.extend(Confirmation(o.key, o.digest, True) for o in outcomes)
            return len(outcomes)

        long_lived()
        wall_s, cpu_s = perf_counter(), family_cpu_s()
        parts = [load[first : first + SLICE] for first in range(0, len(load), SLICE)]
        opened = sum(await asyncio.gather(*map(settled, parts)))
        await self.ledger.release([], confirmed)
        found = _rate(len(load), wall_s, cpu_s)
        if opened != len(load):
            raise WrongCount(f"{opened} answers opened of {len(load)}")
        return found


def _rate(count: int, wall_s: float, cpu_s: float) -> Figures:
    used_s = max(family_cpu_s() - cpu_s, TICK_S)
    return {"per_s": count / (perf_counter() - wall_s), "per_cpu_s": count / used_s}


async def new_arena(engine: Engine, keys: KeyRing, agreements: int, opener: Opener = here) -> Arena:
    connector = ConnectorKeys(KeyPair.generate(), Ed25519PrivateKey.generate(), os.urandom(32))
    clock, wallet = SystemClock(), Wallet.new(RECIPIENT, OPERATOR)
    ledger = Ledger(engine, keys, clock, lambda _: connector.mac, opener=opener)
    await introduce_provider(ledger, PROVIDER, connector, Ed25519PrivateKey.generate(), clock.now_ms())
    await introduce_collectivity(ledger, wallet, clock.now_ms())
    agreed = terms(RECIPIENT, clock.now_ms(), max_uses=1 << 40)
    made = [
        (await ledger.grant(os.urandom(16), agreed, person(number), ONLINE, OPERATOR)).certificate
        for number in range(agreements)
    ]
    held = tuple(certificates.read(one, public_bytes(keys.certificate)) for one in made)
    return Arena(engine, keys, ledger, wallet, connector, held)

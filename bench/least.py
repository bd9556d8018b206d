"""The least that exchanges cost, whatever carries them: what each seals, opens and signs, and the State's answer to it, in as much company
as a connector signs together. No bus, no ledger, nothing kept: what a machine's cores could do at most, if all else were free.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.load import WrongCount
from bench.report import Figures
from bench.town import DATA_SET, VALUE, parameters, person
from bench.watch import family_cpu_s
from connectors.answer import plain
from connectors.contract import Found, Reading
from connectors.rest.api import RestApi
from connectors.sdk.reply import TOGETHER
from consent.core import note
from exchange import suites
from exchange.core import sealing
from exchange.core.identity import SALT_BYTES, canonical, commitment
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.hpke import KeyPair
from exchange.sealing import (
    AnswerKeys,
    open_identity,
    open_inner,
    open_outer,
    public_bytes,
    seal_identity,
    seal_signed,
    sign_answers,
)

ORIGIN, SCOPES = "accord.bench/least", tuple(sorted(QUOTIENT_FAMILIAL.scopes))


class Least:
    """Application, connector and ledger in one place, each with its keys, for people of a town."""

    def __init__(self, api: RestApi, recipient: str, people: int) -> None:
        self._api, self._recipient, self._people, self._numbers = api, recipient, people, itertools.count()
        self._own, self._provider = KeyPair.generate(), KeyPair.generate()
        self._signing, self._log = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self._raw, public = suites.generate(sealing.X25519)
        self._keys = AnswerKeys(self._own.public, public, self._signing, os.urandom(32))

    async def measure(self, seconds: float) -> Figures:
        """As many as the cores could do in a second, from what each costs in processor, the sandbox's included."""
        await self._company()
        count, begun_s, cpu_s = 0, perf_counter(), family_cpu_s()
        while perf_counter() - begun_s < seconds:
            count += await self._company()
        per_cpu_s = count / max(family_cpu_s() - cpu_s, 0.01)
        return {"max_per_s": per_cpu_s * (os.cpu_count() or 1), "per_cpu_s": per_cpu_s}

    async def _company(self) -> int:
        """So many exchanges at once, each whole and checked."""
        asked = [divmod(next(self._numbers), self._people) for _ in range(TOGETHER)]
        readings = await asyncio.gather(*[self._told(who, turn) for turn, who in asked])
        contexts = [self._context() for _ in asked]
        said = [(c, plain(DATA_SET, SCOPES, None, r, 0)) for c, r in zip(contexts, readings, strict=True)]
        signed = sign_answers(said, self._signing)
        inner = [self._released(*pair) for pair in zip(contexts, signed, strict=True)]
        told = note.sign(f"{ORIGIN}/batch\n{len(inner)}\n{os.urandom(32).hex()}\n", ORIGIN, self._log)
        note.verify(told, note.Verifier(ORIGIN, public_bytes(self._log)))
        for (context, expected), sealed in zip(said, inner, strict=True):
            if open_inner(context, sealed, self._own, public_bytes(self._signing)) != expected:
                raise WrongCount("another answer")
        return len(inner)

    async def _told(self, who: int, turn: int) -> Reading:
        """What the State says of a person, whose identity came to the connector sealed."""
        somebody, digest, salt = person(who), os.urandom(32), os.urandom(SALT_BYTES)
        identity = canonical(somebody)
        sealed = seal_identity(self._provider.public, digest, salt, identity)
        open_identity(self._provider, digest, sealed, commitment(salt, identity))
        reading = await self._api.fetch(DATA_SET, somebody, self._recipient, parameters(turn))
        if not isinstance(reading, Found) or reading.data["quotient_familial"]["valeur"] != VALUE:
            raise WrongCount("another answer of the State's")
        return reading

    def _context(self) -> sealing.Context:
        ids = os.urandom(32), os.urandom(32), sealing.key_id(self._keys.recipient_public), bytes(32)
        return sealing.Context(*ids, SCOPES, sealing.NO_RULE, 1 << 40)

    def _released(self, context: sealing.Context, signed: bytes) -> bytes:
        """What an answer is inside its outer seal, as the ledger opens it: its key is loaded for this one."""
        sealed = seal_signed(context, signed, self._keys)
        return open_outer(sealing.transcript(context), sealed, suites.private_key(sealing.X25519, self._raw))


@asynccontextmanager
async def least(url: str, token: str, recipient: str, people: int) -> AsyncIterator[Least]:
    """Beside the sandbox at this address."""
    api = RestApi(url, token)
    try:
        yield Least(api, recipient, people)
    finally:
        await api.close()

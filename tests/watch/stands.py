"""A bus in memory with a watch on it, and an API whose answers are set by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from connectors.contract import Found, Reading
from connectors.sdk.lanes import Limits
from consent.core.facts import Outcome
from exchange import wire
from exchange.core import topics
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.sdk import Request
from exchange.testing import MemoryBus, VirtualClock
from exchange.watching import Change, Watch
from tests.world import JEANNE

HOUR_MS = 3_600_000
DATA_SET, WATCHES = QUOTIENT_FAMILIAL.name, topics.watches("cnaf")


def quotient(value: int) -> Found:
    """What the State says of a family quotient."""
    return Found({"quotient_familial": {"fournisseur": "CNAF", "valeur": value, "annee": 2026, "mois": 3}})


class SetApi:
    """A `StateApi` that says what it is told to, and keeps when it was asked."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.says, self.asked_ms = clock, quotient(742), list[int]()
        self.reading: Reading | None = None

    async def fetch(self, data_set: str, identity: Any, recipient: str, parameters: Any) -> Reading:
        self.asked_ms.append(self.clock.now_ms())
        self.clock.activity += 1
        return self.reading or self.says

    async def close(self) -> None: ...


class Stand:
    """A bus, its API and one agreement that allows a watch every hour."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.clock = VirtualClock()
        self.api = SetApi(self.clock)
        chosen = {DATA_SET: limits} if limits else None
        self.bus = MemoryBus(self.api, clock=self.clock, limits=chosen)
        self.consent = b""

    async def watch(self, **more: Any) -> Watch:
        """A watch every hour, its first answer told."""
        asked: dict[str, Any] = {
            "consent": self.consent,
            "purpose": "tarification-cantine",
            "every_s": 3600,
            "ttl_s": 20,
        } | more
        watch = await self.bus.sdk.watch(DATA_SET, **asked)
        await self.rest()
        return watch

    async def hours(self, count: int = 1) -> None:
        """So many periods go by, each with its looks made."""
        for _ in range(count):
            self.clock.advance(HOUR_MS)
            await self.rest()

    async def rest(self) -> None:
        """Time for whoever has something to do: more than the deadline of the request, from which periods count."""
        await self.clock.sleep(30)

    @property
    def values(self) -> list[int]:
        """The family quotient of each answer released, opened, in order."""
        told = [
            self.bus.sdk.open(_request(self, outcome), outcome)
            for outcome in self.outcomes
            if outcome.code == "released"
        ]
        return [answer.data["quotient_familial"]["valeur"] for answer in told if answer.data]

    @property
    def outcomes(self) -> list[Outcome]:
        return [wire.read_outcome(record) for record in self.bus.broker.records(topics.outcomes(self.bus.operator))]

    @property
    def codes(self) -> list[str]:
        """What was told, in order: `released`, or the reason."""
        return [outcome.reason or outcome.code for outcome in self.outcomes]

    async def uses(self) -> int:
        (held,) = await self.bus.ledger.lookup([self.consent])
        assert held is not None
        return held.uses


def _request(stand: Stand, outcome: Outcome) -> Request:
    return Request(stand.bus.sdk, outcome.key, outcome.digest, outcome.key.authorisation)


@asynccontextmanager
async def standing(limits: Limits | None = None, **terms: Any) -> AsyncIterator[Stand]:
    stand = Stand(limits)
    async with stand.bus:
        stand.consent = await stand.bus.give(JEANNE, **({"watch_every_ms": HOUR_MS} | terms))
        yield stand


async def take(changes: AsyncIterator[Change], stand: Stand, timeout_s: float = 30) -> Change:
    """The next change; AssertionError if none comes in time, on the bus's own clock."""
    coming = asyncio.ensure_future(anext(changes))
    over = asyncio.ensure_future(stand.clock.sleep(timeout_s))
    await asyncio.wait((coming, over), return_when=asyncio.FIRST_COMPLETED)
    over.cancel()
    assert coming.done(), "no change came"
    return coming.result()

"""Where a connector is examined: the bus in memory, and a State API that answers what it is told, whatever it is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import httpx

from connectors.core.cases import Case
from connectors.sdk.declare import Service
from consent.core.facts import Outcome
from exchange import wire
from exchange.core import topics
from exchange.core.identity import Identity
from exchange.data_sets import DATA_SETS
from exchange.introduction import PURPOSES
from exchange.outcomes import Answer
from exchange.sdk import Request
from exchange.testing import MemoryBus, VirtualClock
from exchange.wallet import Capsule

URL, TOKEN = "https://etat.exemple", "conformance"  # a token of nobody's
Make = Callable[[httpx.AsyncClient], Service]
JSON = {"content-type": "application/json"}


class Said(NamedTuple):
    """One answer of the State. `meanwhile` happens while the call is under way."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = JSON
    meanwhile: Callable[[], Awaitable[object]] | None = None


def refusal(status: int, code: str, retry_in_s: int = 0, **headers: str) -> Said:
    """An error answer in the State's shape."""
    meta = {"retry_in": retry_in_s} if retry_in_s else {}
    item = {"code": code, "title": "Conformité", "detail": "", "source": None, "meta": meta}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Said(status, json.dumps({"errors": [item]}).encode(), JSON | named)


async def _never() -> None:
    await asyncio.Event().wait()


SILENCE = Said(200, meanwhile=_never)
"""A State that takes the call and says nothing."""


class _Body(httpx.AsyncByteStream):
    """A body not read yet, as the network gives it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


class ScriptedState(httpx.AsyncBaseTransport):
    """The State, in place of the network: answers in the order told, the last one for ever, and keeps what it was asked, and when (ms)."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock, self._answers = clock, list[Said]()
        self.calls: list[tuple[int, str]] = []

    def says(self, *answers: Said) -> None:
        self._answers = list(answers)
        self.calls.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._clock.activity += 1
        self.calls.append((self._clock.now_ms(), unquote_plus(str(request.url))))
        said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if said.meanwhile is not None:
            await said.meanwhile()
        return httpx.Response(said.status, headers=said.headers, stream=_Body(said.body))


@dataclass(frozen=True)
class Play:
    """What is played: a data set, a case where the State finds, and whom it is about."""

    data_set: str
    case: Case = field(repr=False)
    identity: Identity = field(repr=False)
    parameters: dict[str, str] = field(repr=False)

    @property
    def found(self) -> Said:
        return Said(200, self.case.payload)


@dataclass
class Stage:
    """A bus with the connector on it, for one promise."""

    play: Play
    bus: MemoryBus
    state: ScriptedState
    service: Service

    async def agreement(self, identity: Identity | None = None) -> bytes:
        data_set = DATA_SETS[self.play.data_set]
        scopes = tuple(sorted(data_set.scopes))
        terms = {"provider": data_set.provider, "data_set": data_set.name, "scopes": scopes}
        return await self.bus.give(identity or self.play.identity, **terms)

    async def ask(
        self,
        consent: bytes,
        *,
        ttl_s: float = 300,
        scopes: list[str] | None = None,
        request_id: bytes | None = None,
        capsule: Capsule | None = None,
    ) -> Request:
        play = self.play
        more: dict[str, Any] = {"ttl_s": ttl_s, "scopes": scopes, "request_id": request_id, "capsule": capsule}
        return await self.bus.sdk.request(
            play.data_set, consent=consent, purpose=PURPOSES[0], parameters=play.parameters, **more
        )

    async def outcome(self, request: Request) -> Outcome:
        """Its one outcome, waited for a little longer than its deadline."""
        return await request.outcome(600)

    async def answer(self, request: Request) -> Answer:
        """Opened; the outcome must be a release."""
        return self.bus.sdk.open(request, await self.outcome(request))

    async def fresh(self) -> Outcome:
        """The outcome of a request under an agreement of its own."""
        return await self.outcome(await self.ask(await self.agreement()))

    def outers(self) -> list[int]:
        """The sizes of the sealed answers, in order."""
        return [len(wire.read_answer(record).outer) for record in self.records(topics.answers(self.bus.provider))]

    def records(self, topic: str) -> list[Any]:
        return list(self.bus.broker.records(topic))

    async def until(self, what: Callable[[], object], seconds: int = 120) -> None:
        """Until it is so, or that much time has passed on the bus."""
        for _ in range(2 * seconds):
            if what():
                return
            await self.bus.clock.sleep(0.5)


@asynccontextmanager
async def staged(play: Play, make: Make) -> AsyncIterator[Stage]:
    """A stage of its own for one promise; all is torn down."""
    clock = VirtualClock()
    state = ScriptedState(clock)
    state.says(play.found)
    async with httpx.AsyncClient(transport=state) as client:
        service = make(client)
        calling = {"provider": service.provider, "limits": service.limits, "rate": service.rate}
        async with MemoryBus(service.apis, clock=clock, **calling) as bus:  # type: ignore[arg-type]  # as the service's fields
            yield Stage(play, bus, state, service)
        await service.close()

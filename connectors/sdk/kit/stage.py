"""Where a connector is examined: the bus in memory, and a State API that answers what it is told, whatever it is asked."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import httpx

from connectors.core.cases import Case
from connectors.core.description import PLACEHOLDER, Description
from connectors.core.dgfip import TOKEN_PATH, is_gateway
from connectors.rest.descriptions import compositions
from connectors.sdk.declare import Service
from consent.core.facts import Outcome
from exchange import wire
from exchange.core import topics
from exchange.core.identity import Identity
from exchange.core.referentials import purposes_of
from exchange.data_sets import DATA_SETS
from exchange.outcomes import Answer
from exchange.sdk import Request
from exchange.testing import MemoryBus, VirtualClock
from exchange.wallet import Capsule

URL, TOKEN = "https://etat.exemple", "conformance"  # a token of nobody's
Make = Callable[[httpx.AsyncClient], Service]
JSON = {"content-type": "application/json"}


class Said(NamedTuple):
    """One answer of the State, its body the same wherever it is asked, or by the path asked. `meanwhile` happens during the call."""

    status: int
    body: bytes | Callable[[str], bytes] = b""
    headers: dict[str, str] = JSON
    meanwhile: Callable[[], Awaitable[object]] | None = None


def refusal(status: int, code: str, retry_in_s: int = 0, **headers: str) -> Said:
    """An error answer in the shape of whoever is asked; the DGFiP says when to come back by `Retry-After` alone."""
    meta = {"retry_in": retry_in_s} if retry_in_s else {}
    item = {"code": code, "title": "Conformité", "detail": "", "source": None, "meta": meta}
    erreur = {"code": code, "message": "Conformité", "horodatage": ""}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    named |= {"retry-after": str(retry_in_s)} if retry_in_s else {}

    def body(path: str) -> bytes:
        return json.dumps({"erreur": erreur} if is_gateway(path) else {"errors": [item]}).encode()

    return Said(status, body, JSON | named)


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
    """The State, in place of the network: answers in the order told, at each path, the last one for ever, and keeps what it was asked."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock, self._answers = clock, list[Said]()
        self.calls: list[tuple[int, str]] = []
        """When (ms), and the URL."""
        self.times: dict[str, list[int]] = {}
        """When (ms), by path."""

    def says(self, *answers: Said) -> None:
        self._answers = list(answers)
        self.calls.clear()
        self.times.clear()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._clock.activity += 1
        path = request.url.path
        if path == TOKEN_PATH:
            return httpx.Response(
                200, headers=JSON, stream=_Body(b'{"access_token": "conformance", "expires_in": 3600}')
            )
        self.calls.append((self._clock.now_ms(), unquote_plus(str(request.url))))
        met = self.times.setdefault(path, [])
        said = self._answers[min(len(met), len(self._answers) - 1)]
        met.append(self._clock.now_ms())
        if said.meanwhile is not None:
            await said.meanwhile()
        body = said.body if isinstance(said.body, bytes) else said.body(path)
        return httpx.Response(said.status, headers=said.headers, stream=_Body(body))


@dataclass(frozen=True)
class Play:
    """What is played: a data set, cases where the State finds, by the description they are of, and whom they are about."""

    data_set: str
    cases: tuple[tuple[Description, Case], ...] = field(repr=False)
    identity: Identity = field(repr=False)
    parameters: dict[str, str] = field(repr=False)

    @property
    def found(self) -> Said:
        return Said(200, self._payload)

    def _payload(self, path: str) -> bytes:
        """That of the data set asked at this path; of the only one, wherever it is asked."""
        asked = (case for about, case in self.cases if any(served(path, each.path) for each in about.operations))
        return next(asked, self.cases[0][1]).payload


def served(path: str, route: str) -> bool:
    """Whether a path is that of a route with placeholders."""
    return re.fullmatch(PLACEHOLDER.sub("[^/]+", route), path) is not None


class Part(NamedTuple):
    """What an answer says of one State call: of the whole, or of a part of a composed data set."""

    status: str
    code: str
    data: object


def parts_told(answer: Answer, data_set: str) -> list[Part]:
    """What an answer says, part by part."""
    if data_set not in compositions() or answer.data is None:
        return [Part(answer.status, answer.code, answer.data)]
    return [Part(part["status"], part["code"], part["data"]) for part in answer.data.values()]


@dataclass
class Stage:
    """A bus with the connector on it, for one promise."""

    play: Play
    bus: MemoryBus
    state: ScriptedState
    service: Service

    async def agreement(self, identity: Identity | None = None, rule: bytes = b"") -> bytes:
        data_set = DATA_SETS[self.play.data_set]
        scopes = tuple(sorted(data_set.scopes))
        terms = {"provider": data_set.provider, "data_set": data_set.name, "scopes": scopes, "rule": rule}
        return await self.bus.give(identity or self.play.identity, **terms)

    async def ask(
        self,
        consent: bytes,
        *,
        ttl_s: float = 300,
        scopes: list[str] | None = None,
        request_id: bytes | None = None,
        capsule: Capsule | None = None,
        rule: bytes = b"",
    ) -> Request:
        play = self.play
        more: dict[str, Any] = {
            "ttl_s": ttl_s,
            "scopes": scopes,
            "request_id": request_id,
            "capsule": capsule,
            "rule": rule,
        }
        return await self.bus.sdk.request(
            play.data_set, consent=consent, purpose=purposes_of(play.data_set)[0], parameters=play.parameters, **more
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

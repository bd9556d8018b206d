"""The HTTP API over a bus in memory, and clients of it, as the tests of this folder need them."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, Key
from starlette.applications import Starlette

from connectors.sandbox import FAMILIES, load_cases
from consent import certificates
from exchange import wire
from exchange.adapters.http import HttpDoor, HttpOutbox, HttpReader, http_ledger
from exchange.core import sealing
from exchange.core.decision import Ask
from exchange.core.heads import HEAD, varint
from exchange.data_sets import DATA_SETS, QUOTIENT_FAMILIAL
from exchange.introduction import PURPOSES
from exchange.schemas import catalogue
from exchange.sdk import Bus, uuid7
from exchange.sealing import seal_identity
from exchange.testing import CasesApi, MemoryBus, VirtualClock
from portal.api import clients
from portal.api.clients import Client
from portal.parts import Parts
from tests.portal.stand import URL, portal

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass
class Stand:
    """One portal's API on one bus. `call` goes as the first client, with a token that is good."""

    bus: MemoryBus
    parts: Parts
    app: Starlette
    http: httpx.AsyncClient
    key: Key = field(default_factory=lambda: ECKey.generate_key("P-256"))
    token: str = ""

    def now_s(self) -> int:
        return self.bus.clock.now_ms() // 1000

    def calm(self) -> None:
        """Nobody has called lately."""
        self.app.state.http.api.wrong._buckets.clear()
        self.app.state.http.api.calls._buckets.clear()

    def register(self, name: str, operator: str, key: Key, thumbprint: str = "") -> None:
        jwk = json.dumps(key.as_dict(private=False))
        clients.add(self.parts.store, Client(name, operator, jwk, thumbprint, 0))

    def assertion(self, name: str = "mairie", key: Key | None = None, alg: str = "ES256", **claims: Any) -> str:
        """A client's, good unless `claims` say otherwise; None removes one."""
        every = {
            "iss": name,
            "sub": name,
            "aud": f"{URL}/v1/token",
            "exp": self.now_s() + 60,
            "jti": os.urandom(8).hex(),
        } | claims
        return jwt.encode(
            {"alg": alg}, {k: v for k, v in every.items() if v is not None}, key or self.key, algorithms=[alg]
        )

    async def ask_token(self, assertion: str, headers: Mapping[str, str] | None = None, **more: str) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION,
            "client_assertion": assertion,
        } | more
        return await self.http.post("/v1/token", data=form, headers=headers)

    async def login(self, name: str = "mairie", key: Key | None = None) -> str:
        return str((await self.ask_token(self.assertion(name, key))).json()["access_token"])

    async def another(self, operator: str, name: str = "") -> str:
        """The token of a client of another operator."""
        key, name = ECKey.generate_key("P-256"), name or f"client-{operator}"
        self.register(name, operator, key)
        return await self.login(name, key)

    async def call(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token or self.token}"} | more.pop("headers", {})
        return await self.http.request(method, f"/v1{path}", headers=headers, **more)

    def message(
        self, agreement: bytes, request: bytes | None = None, recipient: str = "", **ask: Any
    ) -> tuple[bytes, bytes]:
        """A request as the SDK makes it: its id and its bytes."""
        bus = self.bus
        capsule = bus.wallet.capsule(agreement)
        assert capsule is not None
        wanted = {"data_set": QUOTIENT_FAMILIAL.name, "purpose": PURPOSES[0], "scopes": tuple(sorted(QUOTIENT_FAMILIAL.scopes)),
                  "parameters": ()} | {k: v for k, v in ask.items() if k != "ttl_ms"}  # fmt: skip
        written = wire.write_ask(Ask(recipient or bus.recipient, **wanted))
        request = request or uuid7(bus.clock.now_ms(), os.urandom(10))
        digest = sealing.request_digest(bus.operator, agreement, request, sealing.ask_hash(written))
        asked = DATA_SETS.get(str(wanted["data_set"]), QUOTIENT_FAMILIAL)
        keys = bus.connector_keys.get(asked.provider, bus.connector_keys[bus.provider])
        provider = keys.sealing.public
        identity = seal_identity(provider, digest, capsule.salt, capsule.identity)
        relied = certificates.certificate_hash(capsule.certificate)
        head = HEAD.pack(catalogue().prefix("exchange-request"), request, agreement, relied, ask.get("ttl_ms", 300_000))
        return request, head + varint(len(written)) + written + varint(len(identity)) + identity


@asynccontextmanager
async def open_stand(folder: Path, clock: VirtualClock | None = None, **settings: Any) -> AsyncIterator[Stand]:
    """`settings` are the portal's; `outside` among them is whom it asks."""
    async with (
        MemoryBus(CasesApi(load_cases(FAMILIES)), more_providers=("cnous",), clock=clock) as bus,
        over(bus, folder, **settings) as stand,
    ):
        yield stand


@asynccontextmanager
async def over(bus: MemoryBus, folder: Path, **settings: Any) -> AsyncIterator[Stand]:
    """The API over a bus that is there; its first client is the collectivity's own operator."""
    async with portal(folder, bus, **settings) as below:
        stand = Stand(bus, below.parts, below.app, below.browser)
        stand.register("mairie", bus.operator, stand.key)
        stand.token = await stand.login()
        yield stand


@asynccontextmanager
async def by_http(bus: MemoryBus, folder: Path) -> AsyncIterator[Bus]:
    """The SDK of this bus's collectivity, over the portal's API."""
    async with over(bus, folder, traces=False) as stand:
        door = HttpDoor(URL, "mairie", stand.key, bus.clock, stand.http)
        reader = lambda topic, offsets: HttpReader(door, topic, offsets)  # noqa: E731  # a reader for any topic
        async with Bus(bus.wallet, HttpOutbox(door), reader, http_ledger(door), bus.trust, bus.clock) as sdk:
            yield sdk

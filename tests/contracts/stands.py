"""One bus for the contract suite, in memory or on a real broker, behind the same few methods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from connectors.sandbox import FAMILIES, load_cases
from consent.core.facts import Acknowledgement, Handover
from consent.door import Door
from consent.issuers import Issuers, write_issuers
from exchange import introduction
from exchange.adapters.kafka import KafkaReader
from exchange.clock import SystemClock
from exchange.core.identity import Identity
from exchange.local import LocalBus, client, local_bus
from exchange.ports import Outbox, Record
from exchange.sdk import Bus
from exchange.settings import Settings
from exchange.testing import CasesApi, MemoryBus
from tests.portal.api.stand import by_http


class Stand(Protocol):
    """What a scenario needs."""

    sdk: Bus
    ledger: Door
    outbox: Outbox
    """The broker's own, for bytes that no SDK makes."""

    async def give(self, identity: Identity, **changes: object) -> bytes: ...
    async def believe(self, issuers: Issuers) -> None: ...
    async def withdraw(self, authorisation: bytes, happening: str = "withdrawn") -> Acknowledgement: ...
    async def pause(self, agent: str) -> None: ...
    async def resume(self, agent: str) -> None: ...
    async def records(self, topic: str) -> list[Record]: ...
    async def moment(self) -> None: ...
    async def hand_over(self, handover: Handover) -> None: ...


async def given(sdk: Bus, identity: Identity, changes: dict[str, object]) -> bytes:
    """An agreement that the person gave to the collectivity, recorded by its own application."""
    return await sdk.record(introduction.terms(sdk.wallet.recipient, sdk.clock.now_ms(), **changes), identity)


class MemoryStand:
    """`Stand` in memory."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus, self.sdk, self.ledger, self.outbox = bus, bus.sdk, bus.ledger, bus.broker
        self.withdraw, self.pause, self.resume = bus.withdraw, bus.pause, bus.resume
        self.hand_over = bus.hand_over

    async def give(self, identity: Identity, **changes: object) -> bytes:
        return await given(self.sdk, identity, changes)

    async def believe(self, issuers: Issuers) -> None:
        self._bus.ledger.issuers = lambda: issuers

    async def records(self, topic: str) -> list[Record]:
        return list(self._bus.broker.records(topic))

    async def moment(self) -> None:
        await self._bus.clock.sleep(0.2)


class KafkaStand:
    """`Stand` on processes and a broker. Each agent runs in a process of its own."""

    def __init__(self, local: LocalBus, sdk: Bus) -> None:
        self._local, self.sdk, self.ledger, self.outbox = local, sdk, local.ledger, sdk.outbox

    async def give(self, identity: Identity, **changes: object) -> bytes:
        return await given(self.sdk, identity, changes)

    async def believe(self, issuers: Issuers) -> None:
        write_issuers(self._local.places.issuers, issuers)

    async def withdraw(self, authorisation: bytes, happening: str = "withdrawn") -> Acknowledgement:
        return await self.ledger.withdraw(authorisation, happening)

    async def pause(self, agent: str) -> None:
        await asyncio.to_thread(self._local.kill, agent.replace(".", "-"))

    async def resume(self, agent: str) -> None:
        if agent.startswith("connector."):
            self._local.start_connector(agent.partition(".")[2])
        else:
            self._local.start_worker(agent, (agent,))

    async def hand_over(self, handover: Handover) -> None:
        wallet, until_ms = self.sdk.wallet, SystemClock().now_ms() + introduction.KEY_LIFE_MS
        await self.ledger.delegate(wallet.recipient, wallet.operator, until_ms, handover)

    async def records(self, topic: str) -> list[Record]:
        async with KafkaReader(self._local.bootstrap, topic) as reader:
            return [record async for chunk in reader.to_end() for record in chunk]

    async def moment(self) -> None:
        await asyncio.sleep(0.2)


@asynccontextmanager
async def memory_stand() -> AsyncIterator[Stand]:
    async with MemoryBus(CasesApi(load_cases(FAMILIES)), more_providers=("cnous",)) as bus:
        yield MemoryStand(bus)


@asynccontextmanager
async def http_stand(folder: Path) -> AsyncIterator[Stand]:
    """The bus in memory again, but the collectivity's SDK goes by the portal's HTTP API."""
    async with MemoryBus(CasesApi(load_cases(FAMILIES)), more_providers=("cnous",)) as bus, by_http(bus, folder) as sdk:
        stand = MemoryStand(bus)
        stand.sdk = sdk
        yield stand


@asynccontextmanager
async def kafka_stand(folder: Path) -> AsyncIterator[Stand]:
    settings = Settings(data=folder)
    async with (
        local_bus(settings, settings.places(), brief=True) as local,
        client(settings, local.places, local.bootstrap) as sdk,
    ):
        yield KafkaStand(local, sdk)

"""The processes of a bus, each joined from its parts here and nowhere else: worker and connector (the ledger's is `consent.process`).

Each runs until SIGTERM or Ctrl-C, calls `ready` once it works, and ends with exit code 70 on a bug.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress

from connectors.agent import Connector
from connectors.cnaf import CnafApi
from consent.client import connect
from exchange import wire
from exchange.adapters.kafka import KafkaOutbox, KafkaReader
from exchange.agents.deadline import Deadline
from exchange.agents.gate import Gate, Listener
from exchange.agents.journal import Journal
from exchange.agents.relay import Relay
from exchange.agents.release import Release
from exchange.clock import SystemClock
from exchange.core.memory import Memory
from exchange.core.topics import CONSENT_EVENTS
from exchange.faust_runner import FaustRunner
from exchange.introduction import open_connector_keys
from exchange.journal.store import JournalStore
from exchange.places import Places
from exchange.ports import Agent, Ledger, Unavailable
from exchange.stopping import long_lived, stopping
from exchange.tracing import Tracing, to_file
from exchange.trust import Trust

RELAY_S = 0.25
Ready = Callable[[], None]


def tracing(places: Places, name: str, enabled: bool) -> Tracing:
    return to_file(name, places.traces(name)) if enabled else Tracing()


async def run_worker(
    places: Places, bootstrap: str, roles: Sequence[str], name: str, ready: Ready, *, traced: bool
) -> None:
    """Gate, release, deadlines, journal, or some of them; the gate brings the relay of the ledger's outbox along."""
    stop, clock, ledger = stopping(), SystemClock(), connect(places.socket)
    spans = tracing(places, name, traced)
    async with AsyncExitStack() as stack:
        memory = Memory()
        agents = [_agent(role, places, ledger, await _outbox(stack, bootstrap), memory, spans, name) for role in roles]
        background: list[asyncio.Task[None]] = []
        if "gate" in roles:
            relay = Relay(ledger, await _outbox(stack, bootstrap), clock, await _last_sequence(bootstrap))
            background = [asyncio.create_task(_relay(relay)), asyncio.create_task(_listen(bootstrap, Listener(memory)))]
        await _host(agents, bootstrap, ready, stop)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


def _agent(
    role: str, places: Places, ledger: Ledger, outbox: KafkaOutbox, memory: Memory, spans: Tracing, name: str
) -> Agent:
    clock = SystemClock()
    if role == "gate":
        return Gate(ledger, outbox, clock, memory, spans)
    if role == "release":
        return Release(ledger, outbox, clock, spans, name)
    if role == "deadline":
        return Deadline(ledger, outbox, clock)
    return Journal(outbox, JournalStore(places.journal), clock)


async def run_connector(
    places: Places, bootstrap: str, provider: str, url: str, token: str, ready: Ready, *, traced: bool
) -> None:
    """The connector of one provider."""
    stop, clock, name = stopping(), SystemClock(), f"connector-{provider}"
    api = CnafApi(url, token)
    async with AsyncExitStack() as stack:
        outbox = await _outbox(stack, bootstrap)
        keys, trust = open_connector_keys(places.connector(provider)), Trust.load(places.trust)
        spans = tracing(places, name, traced)
        agent = Connector(provider, api, keys, trust, connect(places.socket), outbox, clock, spans, name)
        await _host([agent], bootstrap, ready, stop)
    await api.close()


async def _outbox(stack: AsyncExitStack, bootstrap: str) -> KafkaOutbox:
    return await stack.enter_async_context(KafkaOutbox(bootstrap))


async def _host(agents: Sequence[Agent], bootstrap: str, ready: Ready, stop: asyncio.Event) -> None:
    long_lived()
    runner = FaustRunner(agents, bootstrap)
    await runner.start()
    ready()
    await stop.wait()
    await runner.stop()


async def _relay(relay: Relay) -> None:
    while True:
        with suppress(Unavailable):  # the gate trusts no memory meanwhile
            await relay.tick()
        await asyncio.sleep(RELAY_S)


async def _listen(bootstrap: str, listener: Listener) -> None:
    while True:
        try:
            async with KafkaReader(bootstrap, CONSENT_EVENTS) as reader:
                async for chunk in reader:
                    listener.handle(chunk)
        except Unavailable:
            await asyncio.sleep(1)


async def _last_sequence(bootstrap: str) -> int:
    """The outbox's last line known to be published."""
    async with KafkaReader(bootstrap, CONSENT_EVENTS) as reader:
        ends = await reader.end_offsets()
    if not ends.get(0):
        return 0
    async with KafkaReader(bootstrap, CONSENT_EVENTS, {0: ends[0] - 1}) as reader:
        async for chunk in reader.to_end():
            return int(wire.read("consent-event", chunk[-1].value)["sequence"])
    return 0

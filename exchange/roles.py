"""The processes of a bus, each joined from its parts here and nowhere else: worker and connector (the ledger's is `consent.process`).

Each runs until SIGTERM or Ctrl-C, calls `ready` once it works, and ends with exit code 70 on a bug.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import NamedTuple

from connectors.agent import Connector
from connectors.sdk.core.health import Health
from connectors.sdk.declare import Service
from connectors.sdk.lanes import Lanes
from connectors.watcher import Watcher
from consent.client import connect
from exchange import wire
from exchange.adapters.kafka import KafkaOutbox, KafkaReader
from exchange.agents.deadline import Deadline
from exchange.agents.gate import Gate, Listener
from exchange.agents.journal import Journal
from exchange.agents.relay import Relay
from exchange.agents.release import Release
from exchange.agents.retries import Retries
from exchange.clock import SystemClock
from exchange.core.memory import Memory
from exchange.core.topics import CONSENT_EVENTS
from exchange.faust_runner import FaustRunner
from exchange.introduction import open_connector_keys
from exchange.journal.store import JournalStore
from exchange.places import Places
from exchange.ports import Agent, Clock, Ledger, Unavailable
from exchange.stopping import long_lived, stopping
from exchange.tracing import Tracing, to_file
from exchange.trust import Trust

RELAY_S = 0.25
PING_S = 30.0
HEALTH_S = 2.0
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
        memory = Memory(os.urandom(32))
        outboxes = await _outboxes(stack, bootstrap, len(roles) + ("gate" in roles))
        agents = [_agent(role, places, ledger, outboxes.pop(), memory, spans, name) for role in roles]
        background: list[asyncio.Task[None]] = []
        if "gate" in roles:
            told = await _told(bootstrap)
            relay = Relay(ledger, outboxes.pop(), clock, told.sequence)
            listening = _listen(bootstrap, Listener(memory), told.end)
            background = [asyncio.create_task(_relay(relay)), asyncio.create_task(listening)]
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
    if role == "retries":
        return Retries(ledger, outbox, clock)
    return Journal(outbox, JournalStore(places.journal), clock)


async def run_connectors(
    places: Places, bootstrap: str, services: Sequence[Service], name: str, ready: Ready, *, traced: bool
) -> None:
    """The connectors of these providers, in one process; the services are closed at the end."""
    stop, clock = stopping(), SystemClock()
    async with AsyncExitStack() as stack:
        agents: list[Agent] = []
        trust, spans = Trust.load(places.trust), tracing(places, name, traced)
        outboxes = await _outboxes(stack, bootstrap, len(services))
        for service, outbox in zip(services, outboxes, strict=True):
            stack.push_async_callback(service.close)
            lanes = Lanes(service.provider, service.apis, clock, service.limits, service.rate)
            keys = open_connector_keys(places.connector(service.provider))
            connector = Connector(
                service.provider, lanes, keys, trust, connect(places.socket), outbox, clock, spans, name
            )
            agents += [connector, Watcher(connector, outbox, clock, spans)]
            watch = asyncio.create_task(_watch(places, service, lanes, clock))
            stack.callback(watch.cancel)
        await _host(agents, bootstrap, ready, stop)


async def _watch(places: Places, service: Service, lanes: Lanes, clock: Clock) -> None:
    """For ever: ask the provider's ping where it has one, and write down its health."""
    pinged, next_ms = Health(), 0
    while True:
        now_ms = clock.now_ms()
        if service.ping is not None and now_ms >= next_ms:
            next_ms = now_ms + int(1000 * PING_S)
            pinged = pinged.seen("ok" if await _is_well(service.ping) else "bad_gateway", clock.now_ms())
        last = max(lanes.health(), pinged, key=lambda health: health.updated_ms)
        last = last._replace(ok_ms=max(lanes.health().ok_ms, pinged.ok_ms))
        places.announce(places.health(service.provider), provider=service.provider, **last.document(now_ms))
        await clock.sleep(HEALTH_S)


async def _is_well(ping: Callable[[], Awaitable[bool]]) -> bool:
    try:
        async with asyncio.timeout(PING_S / 2):
            return await ping() is True
    except Exception:  # whatever a ping of somebody else's raises, the provider is not well
        return False


async def _outboxes(stack: AsyncExitStack, bootstrap: str, count: int) -> list[KafkaOutbox]:
    """So many, started side by side; none of them shares its fate with another."""
    outboxes = [KafkaOutbox(bootstrap) for _ in range(count)]
    for outbox in outboxes:
        stack.push_async_callback(outbox.stop)
    await asyncio.gather(*(outbox.start() for outbox in outboxes))
    return outboxes


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


async def _listen(bootstrap: str, listener: Listener, after: int) -> None:
    """For ever: hear what `consent.events.v1` holds from the offset `after` on, wherever the broker was away.

    `after` is the topic's end as it was before any agent was started, hence before the ledger was asked for anything: memory was empty. A
    change that memory may not know is one made after the ledger gave the view, so it is told after that, so it lies at `after` or later,
    and is heard. What lies before concerns views that are not there: 7 days of it need not be read. Going on after a failure is from the
    first offset not heard, never from a new end. The topic has one partition.
    """
    while True:
        try:
            async with KafkaReader(bootstrap, CONSENT_EVENTS, {0: after}) as reader:
                async for chunk in reader:
                    listener.handle(chunk)
                    after = chunk[-1].offset + 1
        except Unavailable:
            await asyncio.sleep(1)


class _Told(NamedTuple):
    """What `consent.events.v1` holds: the offset of its end, and the outbox's last line known to be there."""

    end: int
    sequence: int


async def _told(bootstrap: str) -> _Told:
    async with KafkaReader(bootstrap, CONSENT_EVENTS) as reader:
        end = (await reader.end_offsets()).get(0, 0)
    if not end:
        return _Told(0, 0)
    async with KafkaReader(bootstrap, CONSENT_EVENTS, {0: end - 1}) as reader:
        async for chunk in reader.to_end():
            return _Told(end, int(wire.read("consent-event", chunk[-1].value)["sequence"]))
    return _Told(end, 0)

"""The process of the connectors, joined from its parts here and nowhere else (a worker's: `exchange.roles`). It runs until SIGTERM or Ctrl-C,
calls `ready` once it works, and ends with exit code 70 on a bug."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from connectors.agent import Connector
from connectors.sdk.core.health import Health
from connectors.sdk.declare import Service
from connectors.sdk.lanes import Lanes
from connectors.watcher import Watcher
from consent.client import connect
from exchange.clock import SystemClock
from exchange.introduction import open_connector_keys
from exchange.places import Places
from exchange.ports import Agent, Clock
from exchange.roles import Ready, host, outboxes_of, tracing
from exchange.stopping import stopping
from exchange.trust import Trust

PING_S = 30.0
HEALTH_S = 2.0


async def run_connectors(
    places: Places, bootstrap: str, services: Sequence[Service], name: str, ready: Ready, *, traced: bool
) -> None:
    """The connectors of these providers, in one process; the services are closed at the end."""
    stop, clock = stopping(), SystemClock()
    async with AsyncExitStack() as stack:
        agents: list[Agent] = []
        trust, spans = Trust.load(places.trust), tracing(places, name, traced)
        outboxes = await outboxes_of(stack, bootstrap, len(services))
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
        await host(agents, bootstrap, ready, stop)


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

"""The portal's process, joined from its parts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, closing

import uvicorn
from starlette.applications import Starlette

from consent.client import connect, hang_up
from exchange.adapters.kafka import KafkaOutbox, KafkaReader
from exchange.adapters.progress import KafkaProgress
from exchange.clock import SystemClock
from exchange.places import Places
from exchange.settings import Settings
from exchange.trust import Trust
from portal.app import create_app
from portal.console.meter import Meter
from portal.parts import Parts
from portal.store import open_store
from portal.theme import open_theme

HOST = "127.0.0.1"
BACKLOG = 512
IDLE_S = 5
"""How long a connection may keep still between two requests."""


async def run_portal(
    places: Places, settings: Settings, bootstrap: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serve on this machine's loopback until SIGTERM; `ready` is given the URL once it listens."""
    theme = open_theme(places, settings)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(closing(listening(port)))
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        ledger = connect(places.socket)
        stack.push_async_callback(hang_up, ledger)
        outbox = await stack.enter_async_context(KafkaOutbox(bootstrap))
        store = open_store(places.portal)
        stack.callback(store.dispose)
        source, clock = KafkaProgress(bootstrap), SystemClock()
        stack.push_async_callback(source.close)
        meter = Meter(source, clock)
        metering = asyncio.create_task(meter.run())
        stack.callback(metering.cancel)
        parts = Parts(
            ledger,
            outbox,
            lambda topic, offsets: KafkaReader(bootstrap, topic, offsets),
            Trust.load(places.trust),
            clock,
            places,
            settings,
            store,
            url,
            meter=meter,
            theme=theme,
        )
        stack.push_async_callback(parts.outside.close)
        await serve(create_app(parts), listener, lambda: ready(url))


def listening(port: int) -> socket.socket:
    """A socket that listens on this port of the loopback, or on any free one where it is 0 or taken."""
    try:
        return socket.create_server((HOST, port), backlog=BACKLOG)
    except OSError:
        return socket.create_server((HOST, 0), backlog=BACKLOG)


async def serve(app: Starlette, listener: socket.socket, ready: Callable[[], None]) -> None:
    """Serve an application on a socket that listens, until SIGTERM or Ctrl-C. No access log: an address may name a person's agreement."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=IDLE_S,
        h11_max_incomplete_event_size=16_384,
    )
    await _Server(config, ready).serve(sockets=[listener])


class _Server(uvicorn.Server):
    """Says when it serves; hears SIGTERM and Ctrl-C itself."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

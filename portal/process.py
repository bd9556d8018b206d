"""The portal's process, joined from its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, closing

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
from portal.serving import listening, serve, tls_of
from portal.store import open_store


async def run_portal(
    places: Places, settings: Settings, bootstrap: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serve until SIGTERM, on this machine's loopback unless the settings name another address; `ready` is given the URL once it listens."""
    tls = tls_of(settings)
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(closing(listening(port, settings.portal_host)))
        own = f"{'https' if tls else 'http'}://{settings.portal_host}:{listener.getsockname()[1]}"
        url = settings.portal_url.rstrip("/") or own
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
        )
        stack.push_async_callback(parts.outside.close)
        app = create_app(parts)
        await serve(app, listener, lambda: ready(url), tls=tls, stopping=app.state.http.api.feeds.closing.set)

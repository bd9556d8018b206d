"""The portal served for real on the loopback, over a bus in memory that goes by the wall clock, in a thread of its own."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from consent.public_log import FOLDER
from consent.publish import publish
from exchange.clock import SystemClock
from exchange.testing import VirtualClock
from portal.core.allowance import Rate
from portal.serving import Server, listening
from portal.web.connection import PATIENCE, Patience
from tests.portal.api import stand as stands
from tests.portal.api.stand import Stand
from tests.world import JEANNE


class WallClock(VirtualClock):
    """The bus in memory, but nobody waits for less than they say."""

    def now_ms(self) -> int:
        return SystemClock().now_ms()

    def monotonic_ms(self) -> int:
        return SystemClock().monotonic_ms()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def run(self) -> None:
        await asyncio.Event().wait()


class Served:
    """A stand, its loop, and where it is served. Of what a client may do in a second nothing is refused here. `more` are the portal's
    settings."""

    def __init__(
        self, folder: Path, tls: ssl.SSLContext | None = None, patience: Patience = PATIENCE, **more: Any
    ) -> None:
        self._folder, self._up, self._stop = folder, threading.Event(), asyncio.Event()
        self._tls, self._patience, self._more = tls, patience, more
        self.stand: Stand
        self.loop: asyncio.AbstractEventLoop
        self.port, self.url = 0, ""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    @contextmanager
    def up(self) -> Iterator[Served]:
        self._thread.start()
        assert self._up.wait(60)
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """As SIGTERM does; returns once nothing is served any more. Twice is once."""
        if not self._thread.is_alive():
            return
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(30)
        assert not self._thread.is_alive()

    def run(self, work: object) -> Any:
        """A coroutine, on the stand's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)  # type: ignore[arg-type]  # any coroutine

    async def _publish_log(self) -> None:
        await self.stand.bus.give(JEANNE)
        ledger = self.stand.bus.ledger
        publish(self._folder / FOLDER, ledger.source(), [await ledger.checkpoint()])

    async def _serve(self) -> None:
        with ExitStack() as stack:
            listener = listening(0)
            stack.callback(listener.close)
            async with stands.open_stand(self._folder, clock=WallClock(), **self._more) as self.stand:
                await self._publish_log()
                http = self.stand.app.state.http.api
                http.calls._rate = http.wrong._rate = Rate(10**9, 10**9)
                self.port, self.loop = listener.getsockname()[1], asyncio.get_running_loop()
                self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"
                server = Server(
                    self.stand.app,
                    listener,
                    self._up.set,
                    self._tls,
                    http.feeds.closing.set,
                    self._patience,
                    lifespan=False,
                )
                serving = asyncio.create_task(server.serve())
                await self._stop.wait()
                server.should_exit = True
                await serving

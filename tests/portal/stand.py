"""A portal over a bus in memory, asked in process: what tests of pages and of the HTTP API stand on."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from exchange.bounded import Outside
from exchange.settings import Settings
from exchange.testing import MemoryBus, MemoryReader
from portal.app import create_app
from portal.parts import Parts
from portal.store import open_store
from portal.web.pages import SESSION
from portal.web.sessions import Sessions
from tests.world import ScriptedApi

URL = "http://127.0.0.1:8600"


@dataclass
class Stand:
    """The portal, the bus below it, and a browser without JavaScript: it keeps cookies and follows nothing by itself."""

    bus: MemoryBus
    parts: Parts
    app: Starlette
    browser: httpx.AsyncClient

    def log_in(self, role: str, who: Mapping[str, Any]) -> None:
        """Somebody is logged in, as an identity provider's answer would leave them."""
        sessions = Sessions(self.parts.store, self.parts.clock.now_ms)
        held = sessions.read(self.browser.cookies.get(SESSION))
        held.let_in(role, dict(who))
        sessions.keep(held)
        self.browser.cookies.set(SESSION, held.cookie, domain="portal.test")

    async def submit(self, page: str, path: str, fields: Mapping[str, Any] | None = None) -> httpx.Response:
        """Send the form of a page that posts to `path`, with its token."""
        return await self.browser.post(
            path, data={"csrf": token_of((await self.browser.get(page)).text)} | dict(fields or {})
        )


def token_of(html: str) -> str:
    """The token of a page's first form."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', html)
    assert found is not None, html
    return found[1]


@asynccontextmanager
async def portal(
    folder: Path,
    bus: MemoryBus | None = None,
    outside: Outside | None = None,
    changes: Mapping[str, Any] = {},
    **chosen: Any,
) -> AsyncIterator[Stand]:
    """One over a bus of its own, or over this one, which its maker has entered; `changes` replace parts, `chosen`
    are settings."""
    if bus is None:
        async with MemoryBus(ScriptedApi()) as own, portal(folder, own, outside, changes, **chosen) as stand:
            yield stand
        return
    settings = Settings(data=folder, **chosen)
    parts = Parts(
        ledger=bus.ledger,
        outbox=bus.broker,
        reader=lambda topic, offsets: MemoryReader(bus.broker, topic, offsets),
        trust=bus.trust,
        clock=bus.clock,
        places=settings.places(),
        settings=settings,
        store=open_store(None),
        url=URL,
        outside=outside or Outside(),
    )
    parts = replace(parts, **changes)
    app = create_app(parts)
    async with (
        app.state.http.running(),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=parts.url) as browser,
    ):
        yield Stand(bus, parts, app, browser)

"""The collectivity's démarches as one ASGI application, and its process: the SDK, its own wallet, its own store; no part of the bus."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, closing

from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount

from exchange.bounded import Outside
from exchange.local import by_http, client
from exchange.places import Places
from exchange.ports import Unavailable
from exchange.sdk import Bus
from exchange.settings import Settings
from portal.demarches import company, families
from portal.demarches.kinds import FAMILIES
from portal.identity.logins import Logins
from portal.identity.routes import routes as identity
from portal.serving import HOST, listening, serve
from portal.store import open_store
from portal.web.middleware import Guard
from portal.web.pages import Asked, Page, Pages
from portal.web.sessions import Sessions
from portal.web.static import Static

COOKIE = "demarche"


def create_app(bus: Bus, logins: Logins, store: Engine, url: str, portal: Callable[[], str]) -> Starlette:
    """`portal` says where people find their agreements again, empty where that is not known."""
    pages = Pages(Sessions(store, bus.clock.now_ms), url, COOKIE)

    async def home(asked: Asked) -> Page:
        listed = [{"slug": each.slug, "title": list(each.title)} for each in FAMILIES]
        return Page("demarches/home.html", {"demarches": listed, "recipient": bus.wallet.recipient, "portal": portal()})

    async def missing(request: Request, _: Exception) -> Response:
        return pages.missing(request)

    routes = [
        Mount("/static", Static()),
        *identity(pages, logins),
        *pages.page("/", home),
        *families.routes(pages, logins, bus, store, portal),
        *company.routes(pages, bus),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, url=url, explain=pages.refused)],
        exception_handlers={404: missing, 405: missing},
    )


async def run_demarches(
    places: Places, settings: Settings, bootstrap: str, port: int, ready: Callable[[str], None]
) -> None:
    """Serve on this machine's loopback until SIGTERM; `ready` is given the URL once it listens. Without `bootstrap` the SDK goes by the
    HTTP API that the settings name."""
    folder = places.collectivity(settings.recipient)

    def portal() -> str:
        try:
            return settings.url if not bootstrap else places.running().get("portal", "")
        except Unavailable:
            return ""

    async with AsyncExitStack() as stack:
        listener = stack.enter_context(closing(listening(port)))
        url = f"http://{HOST}:{listener.getsockname()[1]}"
        store = open_store(folder / "demarches.db")
        stack.callback(store.dispose)
        sdk = client(settings, places, bootstrap) if bootstrap else by_http(settings, places)
        bus, outside = await stack.enter_async_context(sdk), Outside()
        stack.push_async_callback(outside.close)
        logins = Logins(folder, url, outside, bus.clock)
        await serve(create_app(bus, logins, store, url, portal), listener, lambda: ready(url))

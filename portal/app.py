"""The portal as one ASGI application: the HTTP API below `/v1`, a space for each kind of person beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from portal.api.app import ApiMount, HttpApi
from portal.citizen.routes import routes as citizen
from portal.console.routes import routes as console
from portal.dpo import space as dpo
from portal.guichet import space as guichet
from portal.home import routes as home
from portal.identity.logins import Logins
from portal.identity.routes import routes as identity
from portal.parts import Parts
from portal.web.middleware import Guard
from portal.web.pages import Pages
from portal.web.sessions import Sessions
from portal.web.static import Static

API = "/v1"


def create_app(parts: Parts) -> Starlette:
    """The application over its parts; nothing is opened or started here."""
    pages = Pages(Sessions(parts.store, parts.clock.now_ms), parts.url)
    logins = Logins(parts.places.root, parts.url, parts.outside, parts.clock)

    async def missing(request: Request, _: Exception) -> Response:
        return pages.missing(request)

    http = HttpApi(parts)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with http.running():
            yield

    app = Starlette(
        routes=_routes(parts, pages, http, logins),
        middleware=[Middleware(Guard, url=parts.url, explain=pages.refused, itself=API)],
        exception_handlers={404: missing, 405: missing},
        lifespan=lifespan,
    )
    app.state.http = http
    return app


def _routes(parts: Parts, pages: Pages, http: HttpApi, logins: Logins) -> list[BaseRoute]:
    """Each space's, in the order in which a newcomer meets them."""
    return [
        Route("/healthz", _healthz),
        ApiMount(API, http.asgi),
        Mount("/static", Static()),
        *home(parts, pages),
        *console(parts, pages),
        *identity(pages, logins),
        *citizen(parts, pages, logins),
        *guichet.routes(parts, pages, logins),
        *dpo.routes(parts, pages),
    ]


async def _healthz(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")

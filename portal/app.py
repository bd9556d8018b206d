"""The portal as one ASGI application: the HTTP API below `/v1`, a space for each kind of person beside it."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from portal.console.routes import routes as console
from portal.parts import Parts
from portal.web.middleware import Guard
from portal.web.pages import Pages
from portal.web.sessions import Sessions
from portal.web.static import Static


def create_app(parts: Parts) -> Starlette:
    """The application over its parts; nothing is opened or started here."""
    pages = Pages(Sessions(parts.store, parts.clock.now_ms), parts.url)

    async def missing(request: Request, _: Exception) -> Response:
        return pages.missing(request)

    return Starlette(
        routes=_routes(parts, pages),
        middleware=[Middleware(Guard, url=parts.url)],
        exception_handlers={404: missing, 405: missing},
    )


def _routes(parts: Parts, pages: Pages) -> list[BaseRoute]:
    """Each space's, in the order in which a newcomer meets them."""
    return [
        Route("/healthz", _healthz),
        Mount("/static", Static()),
        *console(parts, pages),
    ]


async def _healthz(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")

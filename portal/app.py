"""The portal as one ASGI application: the HTTP API below `/v1`, a space for each kind of person beside it."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route

from portal.parts import Parts


def create_app(parts: Parts) -> Starlette:
    """The application over its parts; nothing is opened or started here."""
    return Starlette(routes=_routes(parts))


def _routes(parts: Parts) -> list[BaseRoute]:
    return [Route("/healthz", _healthz)]


async def _healthz(_: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")

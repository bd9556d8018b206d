"""The HTTP API `/v1` as one application (OpenAPI 3.1, only GET and POST). Read `token`, `requests`, `events`, `consents`, then the rest."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import Mount
from starlette.types import ASGIApp

from exchange.data_sets import DATA_SETS
from exchange.reference import openapi
from exchange.schemas import catalogue as schemas
from portal.api import catalogue, consents, errors, events, ledger, requests, token, webhooks
from portal.api.context import Api
from portal.api.models import PROBLEMS
from portal.parts import Parts

ROUTERS = (token, requests, events, consents, webhooks, ledger, catalogue)


class HttpApi:
    """The API over its parts. `asgi` is to be mounted at `/v1`; `running` is what goes on beside the calls."""

    def __init__(self, parts: Parts) -> None:
        self.api = Api(parts)
        app = application()
        app.state.api = self.api
        self.asgi: ASGIApp = errors.Quiet(app)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """From the portal's start to its end."""
        delivering = asyncio.create_task(self.api.deliverer.run())
        try:
            yield
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)
            await self.api.feeds.close()


class ApiMount(Mount):
    """Everything below a path is the API's, also an address with a line's end in it."""

    def __init__(self, path: str, app: ASGIApp) -> None:
        super().__init__(path, app)
        self.path_regex = re.compile(self.path_regex.pattern, re.DOTALL)


def application() -> FastAPI:
    """The routes, without what they stand on."""
    app = FastAPI(
        title="Accord", version=version("accord-bus"), openapi_url="/openapi.json", docs_url=None, redoc_url=None,
        redirect_slashes=False, responses=PROBLEMS,
    )  # fmt: skip
    errors.install(app)
    for family in ROUTERS:
        app.include_router(family.router)
    app.openapi = _documented(app)  # type: ignore[method-assign]  # as FastAPI's guide has it
    return app


def _documented(app: FastAPI) -> Callable[[], dict[str, Any]]:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = described(app)
        return app.openapi_schema

    return document


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document: the reference's data sets and errors, and the paths of the application."""
    made = get_openapi(title=app.title, version=app.version, openapi_version="3.1.0", routes=app.routes)
    base = openapi.document(schemas(), DATA_SETS)
    components = made.get("components", {})
    shapes = {name: shape for name, shape in components.get("schemas", {}).items() if "ValidationError" not in name}
    base["components"]["schemas"] |= shapes
    base["components"]["securitySchemes"] = components.get("securitySchemes", {})
    return base | {"servers": [{"url": "/v1"}], "paths": made["paths"]}

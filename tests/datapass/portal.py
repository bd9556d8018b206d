"""DataPass's side of its API, as a real HTTP server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.datapass.calls import RECIPIENT, authorization

CLIENT = ("mon-identifiant", "mon-secret")


class DataPass:
    """`POST /oauth/token` and `GET /habilitations` as `config/openapi/v1.yaml` of DataPass has them. `spoil` replaces an answer."""

    def __init__(self) -> None:
        self.habilitations: list[dict[str, Any]] = []
        self.spoil: Callable[[Request], Response | None] = lambda request: None
        self.pages = 0
        self.url = ""

    def give(
        self, demande: int, siret: str = RECIPIENT, state: str = "active", scopes: list[str] | None = None
    ) -> None:
        one = authorization(state, scopes)
        self.habilitations.append(
            one | {"request_id": demande, "organization": {"id": 51, "siret": siret, "name": None}}
        )

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/api/v1/oauth/token", self._token, methods=["POST"]),
                Route("/api/v1/habilitations", self._list),
            ]
        )

    async def _token(self, request: Request) -> Response:
        form = {name: values[-1] for name, values in parse_qs((await request.body()).decode()).items()}
        if (form.get("client_id"), form.get("client_secret"), form.get("grant_type")) != (
            *CLIENT,
            "client_credentials",
        ):
            return JSONResponse({"error": "invalid_client"}, 401)
        return self.spoil(request) or JSONResponse(
            {"access_token": "jeton", "token_type": "Bearer", "expires_in": 7200}
        )

    async def _list(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer jeton":
            return JSONResponse({"errors": []}, 401)
        if spoilt := self.spoil(request):
            return spoilt
        self.pages += 1
        query = request.query_params
        states, siret = query.getlist("state[]"), query.get("siret")
        found = [
            h for h in self.habilitations if h["state"] in states and siret in (None, h["organization"]["siret"])
        ]  # fmt: skip
        start, limit = int(query.get("offset", 0)), min(int(query.get("limit", 10)), 1_000)
        return JSONResponse(found[start : start + limit])


@asynccontextmanager
async def listening(datapass: DataPass) -> AsyncIterator[DataPass]:
    config = uvicorn.Config(datapass.app(), port=0, lifespan="off", log_config=None, access_log=False)
    server, listener = uvicorn.Server(config), config.bind_socket()
    datapass.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield datapass
    finally:
        server.should_exit = True
        await task


def secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path

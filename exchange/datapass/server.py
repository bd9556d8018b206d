"""The receiver of DataPass's webhooks: `POST /` with a signed body, answered once the ledger holds it. What is not a 2xx DataPass sends
again, five times, and then switches the webhook off (DataPass `docs/webhooks.md`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from consent.keys import BadKeyFile
from consent.keys.files import read as read_secret
from exchange.bounded import TooLarge, whole
from exchange.core.datapass.events import BODY_MAX_BYTES, ENVIRONMENT, SIGNATURE, BadCall, read, signed
from exchange.core.datapass.mapping import Act
from exchange.core.errors import CATALOGUE, Code
from exchange.datapass.desk import Desk
from exchange.ports import Refused, Unavailable

SECRET_MIN_BYTES = 16
_BODY_S, _ANSWER_S = 5.0, 8.0
"""DataPass waits ten seconds for an answer."""


def read_secrets(path: Path) -> tuple[bytes, ...]:
    """The webhooks' secrets, one a line, in a file that is its owner's alone; BadKeyFile otherwise."""
    secrets = tuple(found for line in read_secret(path).splitlines() if (found := line.strip()))
    if not secrets or min(map(len, secrets)) < SECRET_MIN_BYTES:
        raise BadKeyFile(f"{path.name}: {SECRET_MIN_BYTES} bytes at least")
    return secrets


class Receiver:
    """Hears the webhooks of one environment (`production`, `staging`, `sandbox`) of DataPass; a body may take `body_s` to come."""

    def __init__(
        self, desk: Desk, secrets: tuple[bytes, ...], environment: str = "production", body_s: float = _BODY_S
    ) -> None:
        self._desk, self._secrets, self._environment, self._body_s = desk, secrets, environment, body_s

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/", self._post, methods=["POST"])])

    async def _post(self, request: Request) -> JSONResponse:
        try:
            async with asyncio.timeout(self._body_s):
                body = await whole(request.stream(), BODY_MAX_BYTES)
        except (TimeoutError, ClientDisconnect):
            return _refusal(408, "body")
        except TooLarge:
            return _refusal(413, "body")
        if not signed(body, request.headers.get(SIGNATURE, ""), self._secrets):
            return _refusal(401, SIGNATURE)
        if request.headers.get(ENVIRONMENT, "") != self._environment:
            return _refusal(403, ENVIRONMENT)
        return await self._settle(body)

    async def _settle(self, body: bytes) -> JSONResponse:
        try:
            told = read(body, self._desk.clock.now_ms() // 1000)
        except BadCall as error:
            return _refusal(422, str(error))
        try:
            async with asyncio.timeout(_ANSWER_S):
                acts = await self._desk.settle([told]) if told else []
        except (Unavailable, Refused, TimeoutError):
            return _refusal(503, "", Code.UNAVAILABLE)
        log(acts)
        return JSONResponse({"outcome": "test" if told is None else "settled", "acts": [act.reason for act in acts]})


def log(acts: Sequence[Act]) -> None:
    """What was written and why, one line each: no person is in an habilitation."""
    for act in acts:
        h = act.habilitation
        told = {"recipient": h.recipient, "data_set": h.data_set, "purpose": h.purpose}
        structlog.get_logger().info("habilitation", reason=act.reason, **told)


def _refusal(status: int, field: str, code: Code = Code.BAD_WEBHOOK) -> JSONResponse:
    """Names what will not do, never what it holds."""
    structlog.get_logger().warning("datapass_call_refused", status=status, field=field)
    return JSONResponse({"error": code.value, "cause": CATALOGUE[code].cause_en, "field": field}, status)


async def serve(
    receiver: Receiver,
    host: str,
    port: int,
    ready: Callable[[str], None],
    meanwhile: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Until SIGTERM or SIGINT; `ready` is given the URL once it listens, `meanwhile` runs beside it. Port 0: any free one."""
    config = uvicorn.Config(
        receiver.app(), host=host, port=port, lifespan="off", access_log=False, log_config=None, limit_concurrency=64
    )
    running, listener = uvicorn.Server(config), config.bind_socket()
    ready(f"http://{host}:{listener.getsockname()[1]}/")
    beside = asyncio.create_task(meanwhile())
    beside.add_done_callback(_ended)
    try:
        await running.serve(sockets=[listener])
    finally:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)


def _ended(beside: asyncio.Task[None]) -> None:
    """Webhooks are heard even where reconciling has a bug; it is not kept quiet."""
    if not beside.cancelled() and (error := beside.exception()):
        structlog.get_logger().error("datapass_bug", error=type(error).__name__)

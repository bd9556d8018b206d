"""What every endpoint of the HTTP API has in common: a body that was read strictly, an answer given once, headers that say how much is left."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.params import Form
from fastapi.routing import APIRoute
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect

from exchange.bounded import TooLarge, whole
from exchange.core.encoding import digest
from exchange.core.errors import Code
from portal.api import kept
from portal.api.context import api_of, caller_of
from portal.core import strict_json
from portal.core.allowance import Allowance
from portal.core.problems import Problem

BODY_MAX_BYTES = 1 << 20
KEY_MAX_CHARS = 255
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class _Id(Convertor[str]):
    """An id in a path: 16 bytes in hexadecimal. Nothing else is one, so nothing else is there."""

    regex = "[0-9a-f]{32}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("id", _Id())


class StrictRoute(APIRoute):
    """A route whose body is JSON in its one sense, or a form; a POST with an `Idempotency-Key` is done once."""

    def get_route_handler(self) -> Handler:
        handle, media, method = super().get_route_handler(), self._media(), "".join(self.methods or ())

        async def strict(request: Request) -> Response:
            request = Request(request.scope, request.receive)
            body = await _body(request) if method == "POST" else b""
            if media and body:
                _understood(request, body, media)
            key = request.headers.get("idempotency-key") if method == "POST" else None
            if key is None or media == FORM:
                response = await handle(request)
            else:
                response = await _once(request, key, body, handle)
            response.headers.update(told(request))
            return response

        return strict

    def _media(self) -> str:
        if self.body_field is None:
            return ""
        return FORM if isinstance(self.body_field.field_info, Form) else JSON


async def _once(request: Request, key: str, body: bytes, handle: Handler) -> Response:
    if not 0 < len(key) <= KEY_MAX_CHARS or not key.isascii() or not key.isprintable():
        raise Problem(Code.BAD_FIELD, "header.idempotency-key")
    api, caller = api_of(request), await caller_of(request)
    asked = digest(b"accord.call.v1", request.url.path.encode(), request.url.query.encode(), body)
    return await kept.once(api.parts.store, caller.client, key, asked, api.now_ms(), lambda: handle(request))


async def _body(request: Request) -> bytes:
    """The whole body; `too_large` as soon as that is known."""
    declared = request.headers.get("content-length", "0")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(Code.MEDIA_TYPE)
    if not declared.isascii() or not declared.isdigit() or int(declared[:20]) > BODY_MAX_BYTES:
        raise Problem(Code.TOO_LARGE)
    try:
        request._body = await whole(request.stream(), BODY_MAX_BYTES)
    except TooLarge:
        raise Problem(Code.TOO_LARGE) from None
    except ClientDisconnect:
        raise Problem(Code.BAD_JSON) from None  # nobody hears it
    return request._body


def _understood(request: Request, body: bytes, media: str) -> None:
    """What FastAPI will take as the body was read by us."""
    kind, *parameters = [part.strip().lower() for part in request.headers.get("content-type", "").split(";")]
    if kind != media or any(part not in ("charset=utf-8", 'charset="utf-8"') for part in parameters if part):
        raise Problem(Code.MEDIA_TYPE)
    if media == JSON:
        try:
            request._json = strict_json.read(body)
        except strict_json.BadJson:
            raise Problem(Code.BAD_JSON) from None


def told(request: Request) -> dict[str, str]:
    """How much this caller may still ask (RateLimit headers as API Particulier has them)."""
    allowance: Allowance | None = getattr(request.state, "allowance", None)
    if allowance is None:
        return {}
    return {
        "ratelimit-limit": str(allowance.limit),
        "ratelimit-remaining": str(allowance.remaining),
        "ratelimit-reset": str(allowance.reset_s),
    }

"""What surrounds every answer of the portal, as plain ASGI: whose host was asked for, how much may be sent, and what browsers are told."""

from __future__ import annotations

from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange.core.errors import Code
from portal.core import guard

Explain = Callable[[Request, Code], Response]


class Guard:
    """Refuses another host's name (421), methods but GET, HEAD and POST (405), compressed bodies (415) and bodies of more than 1 MiB
    (413), however they are announced, and `explain`s why; adds the headers that protect people's browsers. What lies below `itself` says
    no in its own words, and is called by programs that bear a token: the headers alone are added there."""

    def __init__(self, app: ASGIApp, url: str, explain: Explain, itself: str = "") -> None:
        self._app, self._url, self._explain, self._itself = app, url, explain, itself

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        free = bool(self._itself) and scope["path"].startswith(f"{self._itself}/")
        refused = None if free else self._refusal(scope)
        heard = receive if free else _Body(receive).receive
        answer = self._explain(Request(scope), refused) if refused else self._app

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in guard.HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await answer(scope, heard, guarded)
        except TooLarge:
            await self._explain(Request(scope), Code.TOO_LARGE)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> Code | None:
        headers = Headers(scope=scope)
        if not guard.host_is_ours(headers.get("host", ""), self._url):
            return Code.HOST_UNKNOWN
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return Code.METHOD_UNKNOWN
        if headers.get("content-encoding", "identity") != "identity":
            return Code.MEDIA_TYPE
        length = headers.get("content-length", "0")
        large = not length.isdecimal() or int(length[:20]) > guard.BODY_MAX_BYTES
        return Code.TOO_LARGE if large else None


class TooLarge(Exception):
    """More was sent than a body may hold, whatever was announced."""


class _Body:
    def __init__(self, receive: Receive) -> None:
        self._receive, self._size_bytes = receive, 0

    async def receive(self) -> Message:
        message = await self._receive()
        self._size_bytes += len(message.get("body", b""))
        if self._size_bytes > guard.BODY_MAX_BYTES:
            raise TooLarge
        return message

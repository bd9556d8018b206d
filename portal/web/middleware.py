"""What surrounds every answer of the portal, as plain ASGI: whose host was asked for, how much may be sent, and what browsers are told."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portal.core import guard


class Guard:
    """Refuses another host's name (421), methods but GET, HEAD and POST (405), compressed bodies (415) and bodies of more than 1 MiB
    (413), however they are announced; adds the headers that protect people's browsers."""

    def __init__(self, app: ASGIApp, url: str) -> None:
        self._app, self._url = app, url

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refused, body = self._refusal(scope), _Body(receive)
        answer = PlainTextResponse("", refused) if refused else self._app

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in guard.HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await answer(scope, body.receive, guarded)
        except TooLarge:
            await PlainTextResponse("", 413)(scope, receive, guarded)

    def _refusal(self, scope: Scope) -> int:
        headers = Headers(scope=scope)
        if not guard.host_is_ours(headers.get("host", ""), self._url):
            return 421
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405
        if headers.get("content-encoding", "identity") != "identity":
            return 415
        length = headers.get("content-length", "0")
        return 413 if not length.isdecimal() or int(length[:20]) > guard.BODY_MAX_BYTES else 0


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

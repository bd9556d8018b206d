"""One connection of a client: whose certificate it was made with, how long it may keep us waiting, and what is no clear HTTP/1.1.

uvicorn gives applications no certificate, and ends only a connection that is silent between two requests: one that says a byte now and
then, or reads a byte now and then, is never ended by it.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, NamedTuple

import h11
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from portal.core.framing import ambiguous

_VERSIONS = {"TLSv1.2": 0x0303, "TLSv1.3": 0x0304}
_UNCLEAR = PlainTextResponse("", 400, headers={"connection": "close"})


class Patience(NamedTuple):
    """How long a client is waited for. `head_s`, `body_s`: until all of a request's head, or body, is there, whatever came meanwhile;
    `read_s`: within it at least `read_bytes` of an answer are taken; `connections`: beyond so many, those that have waited longest for
    a head are ended for those that come."""

    head_s: float = 10.0
    body_s: float = 30.0
    read_s: float = 30.0
    read_bytes: int = 16_384
    connections: int = 4_096


PATIENCE = Patience()


class Connection(H11Protocol):
    """As uvicorn's, with an end. `waiting` holds the connections of one server from which a head is awaited, the longest first."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        waiting: dict[Connection, None],
        patience: Patience,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self._waiting, self._patience = waiting, patience
        self._awaited: object = None
        self._alarm: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        transport.set_write_buffer_limits(high=1)  # so that whatever is not taken is watched
        super().connection_made(transport)
        self.app = _told(self.config.loaded_app, _tls(transport))
        self._watch()
        if len(self.connections) > self._patience.connections:
            next(iter(self._waiting), self)._abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # the application has nobody left to answer
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        try:
            super().send_400_response(msg)
        except h11.LocalProtocolError:  # an answer has begun: there is no place for another
            self._abort()

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self._abort()
        else:
            super().timeout_keep_alive_handler()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self._patience.read_s, self._read, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()

    def _watch(self) -> None:
        """One deadline for all that is awaited of one head, or of one body: what comes of it does not put it off."""
        awaited = (self.conn.their_state, self.cycle)
        if awaited == self._awaited or self.transport.is_closing():
            return
        self._forget()
        self._awaited = awaited
        if self.conn.their_state is h11.IDLE:
            self._waiting[self] = None
            self._alarm = self.loop.call_later(self._patience.head_s, self.transport.close)
        elif self.conn.their_state is h11.SEND_BODY:
            self._alarm = self.loop.call_later(self._patience.body_s, self.transport.close)

    def _forget(self) -> None:
        self._waiting.pop(self, None)
        if self._alarm is not None:
            self._alarm.cancel()

    def _read(self, before_bytes: int) -> None:
        left_bytes = self.transport.get_write_buffer_size()
        if left_bytes > before_bytes - self._patience.read_bytes:
            self._abort()
        else:
            self._unread = self.loop.call_later(self._patience.read_s, self._read, left_bytes)

    def _abort(self) -> None:
        self._forget()
        self.transport.abort()


def _tls(transport: asyncio.Transport) -> dict[str, Any] | None:
    """What the application is told of TLS (ASGI's extension `tls`); None where the connection has none."""
    held = transport.get_extra_info("ssl_object")
    if held is None:
        return None
    der = held.getpeercert(binary_form=True)
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(der)] if der else [],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": _VERSIONS.get(held.version() or ""),
        "cipher_suite": None,
    }


def _told(app: Any, tls: dict[str, Any] | None) -> Any:
    """The application, told of this connection, and never of a request whose end is unclear: that one ends the connection."""
    below: ASGIApp = app

    async def told(scope: Scope, receive: Receive, send: Send) -> None:
        if tls is not None:
            scope.setdefault("extensions", {})["tls"] = tls
        clear = not ambiguous(scope["http_version"], scope["headers"])
        await (below if clear else _UNCLEAR)(scope, receive, send)

    return told

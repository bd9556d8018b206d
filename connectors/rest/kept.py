"""HTTP/1.1 over kept connections, for httpx clients that call a State API: h11 on asyncio's streams.

httpx's own pool looks at every connection, twice a call, through three layers: 2 ms of processor where this takes 0.3. Nothing is sent
twice: a server that leaves a kept connection as a call begins is an error of that call, as in httpx. Whoever calls keeps the time.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Final

import h11
import httpx

KEEP_S: Final = 4.0
"""How long an unused connection is kept: servers leave theirs after 5 s or more."""
HEAD_MAX_BYTES: Final = 100 << 10
READ_BYTES: Final = 64 << 10
_Origin = tuple[str, str, int]


class KeptConnections(httpx.AsyncBaseTransport):
    """The transport of one client. Raises httpx's `ConnectError`, `ReadError`, `WriteError` and protocol errors."""

    def __init__(self) -> None:
        self._idle: defaultdict[_Origin, list[_Connection]] = defaultdict(list)
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        origin = (url.scheme, url.raw_host.decode(), url.port or (443 if url.scheme == "https" else 80))
        connection = self._kept(origin) or await self._opened(origin)
        try:
            head = await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        return httpx.Response(head.status_code, headers=list(head.headers), stream=_Body(self, origin, connection))

    def _kept(self, origin: _Origin) -> _Connection | None:
        idle = self._idle[origin]
        while idle:
            connection = idle.pop()
            if connection.usable():
                return connection
            connection.close()
        return None

    async def _opened(self, origin: _Origin) -> _Connection:
        scheme, host, port = origin
        if scheme == "https" and self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        with _as(httpx.ConnectError):
            return _Connection(*await asyncio.open_connection(host, port, ssl=self._tls if scheme == "https" else None))

    def keep(self, origin: _Origin, connection: _Connection) -> None:
        """Its answer was read: for the next call, where both sides agree."""
        if connection.reset():
            self._idle[origin].append(connection)
        else:
            connection.close()

    async def aclose(self) -> None:
        for idle in self._idle.values():
            for connection in idle:
                connection.close()
        self._idle.clear()


class _Connection:
    """One connection, one call at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._until_s = reader, writer, 0.0
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MAX_BYTES)

    async def ask(self, request: httpx.Request) -> h11.Response:
        """Send it whole; the head of the answer."""
        with _as(httpx.WriteError):
            target, headers = request.url.raw_path, request.headers.raw
            head = self._http.send(h11.Request(method=request.method, target=target, headers=headers))
            if not isinstance(request.stream, httpx.AsyncByteStream):
                raise httpx.LocalProtocolError("a synchronous body")
            body = [self._http.send(h11.Data(part)) async for part in request.stream]
            self._writer.write(b"".join(part or b"" for part in (head, *body, self._http.send(h11.EndOfMessage()))))
            await self._writer.drain()
        while not isinstance(event := await self.next(), h11.Response):
            pass  # 1xx
        return event

    async def next(self) -> h11.Event:
        """What comes next of the answer."""
        while True:
            with _as(httpx.ReadError):
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    self._http.receive_data(await self._reader.read(READ_BYTES))
                    continue
            if isinstance(event, h11.Event) and not isinstance(event, h11.ConnectionClosed):
                return event
            raise httpx.RemoteProtocolError("no answer")

    def reset(self) -> bool:
        """Whether another call may follow."""
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        self._until_s = monotonic() + KEEP_S
        return True

    def usable(self) -> bool:
        return monotonic() < self._until_s and not self._reader.at_eof() and not self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()


class _Body(httpx.AsyncByteStream):
    """The body of an answer, as it comes."""

    def __init__(self, owner: KeptConnections, origin: _Origin, connection: _Connection) -> None:
        self._owner, self._origin, self._connection = owner, origin, connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._connection.next(), h11.Data):
            yield bytes(event.data)

    async def aclose(self) -> None:
        self._owner.keep(self._origin, self._connection)


@contextmanager
def _as(kind: type[httpx.NetworkError]) -> Iterator[None]:
    """Errors in httpx's words; none holds what was sent or received."""
    try:
        yield
    except h11.RemoteProtocolError:
        raise httpx.RemoteProtocolError("not HTTP/1.1") from None
    except h11.LocalProtocolError:
        raise httpx.LocalProtocolError("not HTTP/1.1") from None
    except OSError:
        raise kind("connection") from None

"""Kept connections to a State API: nothing is sent twice, nothing of one call reaches another, and errors are httpx's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from connectors.rest.kept import KeptConnections

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def client_of(serve: Serve) -> AsyncIterator[tuple[httpx.AsyncClient, str, list[int]]]:
    """A client, the URL of a server whose connections `serve` answers, and one entry for each connection made."""
    made: list[int] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.append(len(made))
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with httpx.AsyncClient(transport=KeptConnections(), trust_env=False) as client:
        yield client, f"http://127.0.0.1:{port}", made
    server.close()


async def always(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(OK)


async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)


async def test_calls_that_follow_each_other_share_a_connection() -> None:
    """Calls one after the other need one connection; two side by side need two."""
    async with client_of(always) as (client, url, made):
        assert [(await client.get(url)).text for _ in range(3)] == ["ok"] * 3
        assert len(made) == 1
        await asyncio.gather(client.get(url), client.get(url))
        assert len(made) == 2


async def test_a_connection_the_server_left_is_not_used() -> None:
    """A server that hangs up after each answer is called over a new connection each time."""
    async with client_of(once) as (client, url, made):
        for number in range(3):
            assert (await client.get(url)).text == "ok"
            await _left(client)
            assert len(made) == number + 1


async def _left(client: httpx.AsyncClient) -> None:
    """Until the hang-up has reached us."""
    async with asyncio.timeout(5):
        while any(one.usable() for idle in client._transport._idle.values() for one in idle):  # type: ignore[attr-defined]
            await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok", httpx.RemoteProtocolError),
        (b"SSH-2.0-nothing\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * (200 << 10), httpx.RemoteProtocolError),
    ],
)
async def test_what_is_no_answer_is_an_error_of_httpx_and_is_asked_once(said: bytes, error: type[Exception]) -> None:
    """Silence, a body cut short, bytes that are not HTTP or a head without end are errors; the call is not made again."""

    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)

    async with client_of(wrong) as (client, url, made):
        with pytest.raises(error):
            await client.get(url)
        assert len(made) == 1


async def test_an_answer_not_read_to_its_end_takes_its_connection_along() -> None:
    """What is left of one answer is never taken for the next one's."""
    async with client_of(always) as (client, url, made):
        async with client.stream("GET", url):
            pass
        assert (await client.get(url)).text == "ok"
        assert len(made) == 2


async def test_nobody_there_is_a_connect_error() -> None:
    """A port that nobody listens on."""
    async with client_of(always) as (_, url, _made):
        pass
    async with httpx.AsyncClient(transport=KeptConnections(), trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)

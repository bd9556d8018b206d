"""Calls to a State API: nothing is sent twice, nothing of one call reaches another, errors are httpx's; over kept connections as over a
client of httpx."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.rest.http import Http, Place, Sent, ThroughHttpx
from connectors.rest.kept import Kept
from exchange.bounded import TooLarge

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
PLAIN = Sent("/v3/lieu", {})
LEAST_BYTES = 1 << 10


@asynccontextmanager
async def served(serve: Serve) -> AsyncIterator[tuple[Place, list[int]]]:
    """Where a server is whose connections `serve` answers, and one entry for each connection made."""
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
    try:
        yield Place.of(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"), made
    finally:
        server.close()


@asynccontextmanager
async def kept() -> AsyncIterator[Kept]:
    http = Kept()
    try:
        yield http
    finally:
        await http.close()


@asynccontextmanager
async def through_httpx() -> AsyncIterator[Http]:
    async with httpx.AsyncClient(trust_env=False) as client:
        yield ThroughHttpx(client)


BOTH = pytest.mark.parametrize("opened", [kept, through_httpx])


async def body(http: Http, at: Place, sent: Sent = PLAIN) -> bytes:
    return (await http.call(at, sent, LEAST_BYTES)).body


async def always(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readuntil(b"\r\n\r\n"):
        writer.write(OK)


async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)


def saying(answer: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)

    return serve


async def test_calls_that_follow_each_other_share_a_connection() -> None:
    """Calls one after the other need one connection; two side by side need two."""
    async with served(always) as (at, made), kept() as http:
        assert [await body(http, at) for _ in range(3)] == [b"ok"] * 3
        assert len(made) == 1
        await asyncio.gather(body(http, at), body(http, at))
        assert len(made) == 2


async def test_a_connection_the_server_left_is_not_used() -> None:
    """A server that hangs up after each answer is called over a new connection each time."""
    async with served(once) as (at, made), kept() as http:
        for number in range(3):
            assert await body(http, at) == b"ok"
            await _left(http)
            assert len(made) == number + 1


async def _left(http: Kept) -> None:
    """Until the hang-up has reached us."""
    async with asyncio.timeout(5):
        while any(one.usable() for idle in http._idle.values() for one in idle):
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
    async with served(saying(said)) as (at, made), kept() as http:
        with pytest.raises(error):
            await body(http, at)
        assert len(made) == 1


@BOTH
async def test_a_body_over_the_size_allowed_is_not_read_on(
    opened: Callable[..., AbstractAsyncContextManager[Http]],
) -> None:
    """Nor is its connection used again: what is left of one answer is never taken for the next one's."""
    sizes = iter([LEAST_BYTES + 1, 2])

    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            size = next(sizes)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)

    async with served(large) as (at, made), opened() as http:
        with pytest.raises(TooLarge):
            await body(http, at)
        assert await body(http, at) == b"xx"
        assert len(made) == 2


@BOTH
async def test_headers_come_in_small_letters_and_are_joined(
    opened: Callable[..., AbstractAsyncContextManager[Http]],
) -> None:
    """Whatever their case; what is said several times of one name is joined by commas."""
    said = b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nVary: A\r\nvary: B\r\nContent-Length: 0\r\n\r\n"
    async with served(saying(said)) as (at, _), opened() as http:
        received = await http.call(at, PLAIN, LEAST_BYTES)
    assert received.status == 429
    assert (received.headers["retry-after"], received.headers["vary"]) == ("7", "A, B")


@BOTH
async def test_nobody_there_is_a_connect_error(opened: Callable[..., AbstractAsyncContextManager[Http]]) -> None:
    """A port that nobody listens on."""
    async with served(always) as (at, _):
        pass
    async with opened() as http:
        with pytest.raises(httpx.ConnectError):
            await body(http, at)


async def test_a_call_given_up_takes_its_connection_along() -> None:
    """An answer that comes after nobody waits for it any more is nobody's."""
    first = asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            if not first.is_set():
                first.set()
                await asyncio.sleep(0.05)
            writer.write(OK)

    async with served(slow) as (at, made), kept() as http:
        call = asyncio.create_task(body(http, at))
        await first.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await body(http, at) == b"ok"
        assert len(made) == 2


@BOTH
async def test_a_form_is_posted_whole(opened: Callable[..., AbstractAsyncContextManager[Http]]) -> None:
    """With its size and its kind, escaped."""
    heard: list[bytes] = []

    async def posted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        heard.append(await reader.readexactly(len(b"scope=a+b%C3%A9")))
        writer.write(OK)

    async with served(posted) as (at, _), opened() as http:
        assert await body(http, at, Sent("/token", {"authorization": "Basic x"}, form={"scope": "a bé"})) == b"ok"
    head, content = heard
    assert head.startswith(b"POST /token HTTP/1.1\r\n") and content == b"scope=a+b%C3%A9"
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    assert fields[b"content-type"] == b"application/x-www-form-urlencoded" and fields[b"authorization"] == b"basic x"
    assert fields[b"user-agent"] == b"accord" and fields[b"accept-encoding"] == b"identity"


def test_a_call_has_no_words_for_itself() -> None:
    """Whatever is said of it says neither who it is about nor who we are."""
    sent = Sent("/spi/3000123", {"authorization": "Bearer secret"}, [("nom", "DUPONT")])
    assert not any(word in f"{sent!r} {sent}" for word in ("3000123", "secret", "DUPONT"))


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)


@given(TEXT, st.lists(st.tuples(TEXT, TEXT), max_size=3, unique_by=lambda pair: pair[0]))
@example("", [("prenoms[]", "Anne Éloïse"), ("a&b", "c=d#e?f+g/h")])
@example("é/a b/../c?x=1#y", [])
@example("v3/a?x=1", [("y", "2")])
def test_what_is_asked_is_escaped_as_httpx_does(path: str, query: list[tuple[str, str]]) -> None:
    """Whatever the path and the query hold; a base with a path of its own comes before. (httpx puts those of one name side by side.)"""
    at = Place.of("https://api.exemple.fr/base/")
    url = httpx.URL(at.url + "/" + path, **({"params": query} if query else {}))  # type: ignore[arg-type]  # httpx takes pairs
    assert at.target("/" + path, query).encode() == url.raw_path
    assert (at.host, at.port, at.netloc) == ("api.exemple.fr", 443, "api.exemple.fr")

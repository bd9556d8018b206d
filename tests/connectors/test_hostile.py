"""A hostile or broken State API, over real sockets: a reading each time, nothing leaked, the next call answered."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.contract import Failure, Found, Reading, Retry
from connectors.rest.api import BODY_MAX_BYTES, RestApi
from exchange.core.identity import Identity

DATA_SET, RECIPIENT, TOKEN = "france-travail.statut.v1", "21130055300016", "jeton-secret"
LISE = Identity(identifiant_france_travail="bellegarde.lise")
GOOD = json.dumps({"data": {"identifiant": "bellegarde.lise"}, "links": {}, "meta": {}}).encode()
JSON = b"content-type: application/json\r\n"
Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]


def answer(body: bytes, headers: bytes = JSON, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + headers + b"content-length: %d\r\n\r\n" % len(body) + body


def sends(data: bytes) -> Behaviour:
    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return behave


async def drips(writer: asyncio.StreamWriter) -> None:
    """A byte now and then, for ever: no single wait is long."""
    writer.write(b"HTTP/1.1 200 OK\r\n" + JSON + b"content-length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.01)


async def floods(writer: asyncio.StreamWriter) -> None:
    """A body that does not say its size and does not end."""
    writer.write(b"HTTP/1.1 200 OK\r\n" + JSON + b"connection: close\r\n\r\n")
    while True:
        writer.write(b" " * 65_536)
        await writer.drain()


async def floods_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-a: " + b"b" * 4_000 + b"\r\n")
        await writer.drain()


async def says_nothing(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


@asynccontextmanager
async def listening(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server on the loopback that behaves so for every call; its address, and the head of each call it was sent."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await behave(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"{'https' if tls else 'http'}://127.0.0.1:{port}", heads
    finally:
        server.close()


async def ask(url: str, timeout_s: float = 20.0) -> Reading:
    api = RestApi(url, TOKEN, timeout_s=timeout_s)
    try:
        return await api.fetch(DATA_SET, LISE, RECIPIENT, {})
    finally:
        await api.close()


BOMB = gzip.compress(b" " * (64 << 20), 9)
DEEP = b'{"data": ' + b"[" * 400_000 + b"]" * 400_000 + b"}"


@pytest.mark.parametrize(
    ("behave", "reading"),
    [
        (sends(answer(GOOD)), Found({"identifiant": "bellegarde.lise"})),
        (floods, Failure("", "too_large")),
        (floods_headers, Retry("", 0.0, "network")),
        (sends(answer(b" " * (BODY_MAX_BYTES + 1))), Failure("", "too_large")),
        (sends(answer(BOMB, JSON + b"content-encoding: gzip\r\n")), Failure("", "garbage")),
        (sends(answer(gzip.compress(GOOD), JSON + b"content-encoding: gzip\r\n")), Failure("", "garbage")),
        (sends(answer(DEEP)), Failure("", "garbage")),
        (sends(answer(GOOD, b"content-type: text/html\r\n")), Failure("", "content_type")),
        (sends(answer(GOOD, b"")), Failure("", "content_type")),
        (sends(answer(b'{"data": [1, 2]}')), Failure("", "schema")),
        (sends(answer(b'{"data": {"identifiant": "\\ud800"}}')), Failure("", "garbage")),
        (sends(answer(b'{"data": {"identifiant": {"$ref": "x"}}}')), Failure("", "schema")),
        (sends(answer(GOOD)[:-4]), Retry("", 0.0, "network")),
        (sends(b"SSH-2.0-OpenSSH\r\n"), Retry("", 0.0, "network")),
        (sends(b""), Retry("", 0.0, "network")),
        (sends(answer(b"", b"retry-after: 172800\r\n", b"503 Service Unavailable")), Retry("", 172_800.0)),
        (sends(answer(GOOD, JSON, b"418 I'm a teapot")), Failure("", "unexpected")),
    ],
)  # fmt: skip
async def test_whatever_it_answers_is_a_reading(behave: Behaviour, reading: Reading) -> None:
    """Huge, endless, compressed, cut, deep, mistyped or foreign answers are readings, and nothing is ever decompressed."""
    async with listening(behave) as (url, heads):
        assert await ask(url) == reading
        assert b"accept-encoding: identity" in heads[0].lower()


@pytest.mark.parametrize("behave", [drips, says_nothing])
async def test_slowness_is_bounded(behave: Behaviour) -> None:
    """A State that says nothing, or a byte at a time for ever, is to be asked again: the whole call has one limit."""
    async with listening(behave) as (url, _):
        assert await ask(url, timeout_s=0.3) == Retry("", 0.0, "timeout")


@pytest.mark.parametrize("status", [b"301 Moved", b"302 Found", b"307 Temporary Redirect", b"308 Permanent Redirect"])
async def test_a_redirect_is_not_followed(status: bytes) -> None:
    """Neither the person nor the token goes where a redirect points."""
    async with listening(sends(answer(GOOD))) as (elsewhere, heads):
        location = b"location: " + elsewhere.encode() + b"/v3/france_travail/statut/identifiant\r\n"
        async with listening(sends(answer(b"", location, status))) as (url, _):
            assert await ask(url) == Failure("", "redirect")
        assert heads == []


def self_signed(folder: Path) -> ssl.SSLContext:
    """A TLS server whose certificate nobody vouches for."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")]),
    )
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(start).not_valid_after(start.replace(year=2120)).sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_bad_tls_is_told_nothing(tmp_path: Path) -> None:
    """A server whose certificate is not vouched for is not spoken to."""
    async with listening(sends(answer(GOOD)), self_signed(tmp_path)) as (url, heads):
        assert await ask(url) == Retry("", 0.0, "network")
        assert heads == []


async def test_no_log_names_anybody(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever goes wrong, no log holds the person, the token or the answer."""
    for name in ("", "httpx", "httpcore", "httpcore.http11", "httpcore.connection", "asyncio"):
        caplog.set_level(logging.DEBUG, logger=name)
    for behave in (sends(answer(GOOD)), sends(answer(GOOD)[:-4]), floods, sends(b"SSH-2.0\r\n")):
        async with listening(behave) as (url, _):
            await ask(url)
    logging.getLogger("connectors.test").warning("the log is read")
    assert "the log is read" in caplog.text
    assert not any(word in caplog.text for word in ("bellegarde", TOKEN))


async def test_a_client_that_follows_is_told_not_to() -> None:
    """A client of somebody else's making, which follows redirects, does not follow them here."""
    async with listening(sends(answer(GOOD))) as (elsewhere, heads):
        moved = answer(b"", b"location: " + elsewhere.encode() + b"/\r\n", b"302 Found")
        async with (
            listening(sends(moved)) as (url, _),
            httpx.AsyncClient(follow_redirects=True, trust_env=False) as client,
        ):
            assert await RestApi(url, TOKEN, client).fetch(DATA_SET, LISE, RECIPIENT, {}) == Failure("", "redirect")
        assert heads == []

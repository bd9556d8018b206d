"""One call over HTTP to a State API: nothing followed, nothing large read, no cookie kept; the words for its errors are httpx's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol
from urllib.parse import urlencode

import httpx

from exchange.bounded import whole
from exchange.core.urls import secure_url

HEADERS: Final = {"user-agent": "accord", "accept-encoding": "identity"}
"""What each call says of us: what comes compressed could be larger than it looks."""
_PLAIN = re.compile(r"(/[0-9A-Za-z_~-][0-9A-Za-z._~-]*)*")


@dataclass(frozen=True, slots=True)
class Received:
    """What came back. Names of `headers` are in small letters; what was said of one several times is joined by commas."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Place(NamedTuple):
    """Where an API is: https, or http on the loopback."""

    url: str
    secure: bool
    host: str
    port: int
    netloc: str
    path: str

    @classmethod
    def of(cls, url: str) -> Place:
        """ValueError for another URL."""
        base = secure_url(url)
        parsed = httpx.URL(base)
        secure, path = parsed.scheme == "https", parsed.raw_path.decode().rstrip("/")
        port = parsed.port or (443 if secure else 80)
        return cls(base, secure, parsed.raw_host.decode(), port, parsed.netloc.decode(), path)

    def target(self, path: str, query: Sequence[tuple[str, str]]) -> str:
        """What is asked of the host, escaped where need be; a query given stands for one of the path's."""
        escaped = self.path + path if _PLAIN.fullmatch(path) else httpx.URL(self.url + path).raw_path.decode()
        return f"{escaped.partition('?')[0] or '/'}?{urlencode(query)}" if query else escaped or "/"


@dataclass(frozen=True, slots=True, repr=False)
class Sent:
    """One call. Its path and query may say who somebody is, its headers who we are: it has no words for itself."""

    path: str
    headers: Mapping[str, str]
    query: Sequence[tuple[str, str]] = ()
    form: Mapping[str, str] | None = None
    """Sent by POST; None: a GET."""

    @property
    def content(self) -> bytes | None:
        return None if self.form is None else urlencode(self.form).encode()


class Http(Protocol):
    """Calls, each made once: one whose connection breaks may have been heard. Any number at once; whoever calls keeps the time."""

    async def call(self, at: Place, sent: Sent, most_bytes: int) -> Received:
        """Raises `TooLarge` for a body of more than `most_bytes`, httpx's `NetworkError`, `TimeoutException` or `ProtocolError`."""
        ...

    async def close(self) -> None: ...


class ThroughHttpx:
    """Over a client of httpx, which stays its owner's to close."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def call(self, at: Place, sent: Sent, most_bytes: int) -> Received:
        method, headers = "GET" if sent.form is None else "POST", {**HEADERS, **sent.headers}
        params: list[tuple[str, str | int | float | bool | None]] = [*sent.query]
        async with self._client.stream(
            method, at.url + sent.path, params=params or None, data=sent.form, headers=headers, follow_redirects=False
        ) as answer:
            body = await whole(answer.aiter_raw(), most_bytes)
            return Received(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, body)

    async def close(self) -> None: ...

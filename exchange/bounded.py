"""Reading what comes from outside, so many bytes at most; of a server, without redirect or compression, and in so much time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Mapping
from typing import Any, NamedTuple

import httpx

from exchange.ports import Unavailable

ANSWER_MAX_BYTES = 64 << 10


class Said(NamedTuple):
    """An answer: its status, media type and body."""

    status: int
    media_type: str
    body: bytes


class TooLarge(Exception):
    """A body over the size allowed."""


async def whole(chunks: AsyncIterable[bytes], most_bytes: int) -> bytes:
    """A body that comes in chunks. Raises `TooLarge`, and then reads no more of it; and what its chunks raise."""
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > most_bytes:
            raise TooLarge
    return bytes(body)


class Outside:
    """Asks servers by HTTP. `client` None makes one of our own, that no proxy of the environment is told of."""

    def __init__(self, client: httpx.AsyncClient | None = None, timeout_s: float = 5.0) -> None:
        self._owned, self._timeout_s = client is None, timeout_s
        self._client = client or httpx.AsyncClient(timeout=timeout_s, trust_env=False)

    async def close(self) -> None:
        if self._owned:
            await self._client.aclose()

    async def read(self, method: str, url: str, form: Mapping[str, str] | None = None, bearer: str = "") -> Said:
        """What is said; `Unavailable` where nothing is, in time, within 64 KiB."""
        return await self._said(method, url, {"authorization": f"Bearer {bearer}"} if bearer else {}, data=form)

    async def post(self, url: str, sent: bytes, headers: Mapping[str, str], name: str) -> Said:
        """Send a body to a URL that holds an address, as the server of this name: its certificate is asked for. As `read`."""
        return await self._said("POST", url, headers, content=sent, extensions={"sni_hostname": name})

    async def _said(self, method: str, url: str, headers: Mapping[str, str], **more: Any) -> Said:
        told = {**headers, "accept-encoding": "identity"}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(method, url, headers=told, follow_redirects=False, **more) as answer,
            ):
                body = await whole(answer.aiter_raw(), ANSWER_MAX_BYTES)
                kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
                return Said(answer.status_code, kind, body)
        except TooLarge:
            raise Unavailable("too long an answer") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unavailable(type(error).__name__) from None

"""The State API as a connector's function calls it: one GET, nothing followed, nothing large, nothing logged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from connectors.contract import Reading
from connectors.core.state_errors import FAMILIES, refused
from connectors.rest.api import BODY_MAX_BYTES
from connectors.rest.kept import KeptConnections
from exchange.core.urls import secure_url


class TooLarge(Exception):
    """An answer over the size allowed."""


class BadAnswer(Exception):
    """An answer that is not what it should be; says nothing of what it is."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the State answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        """Raises BadAnswer for what is not declared as JSON, or is not."""
        if "json" not in self.headers.get("content-type", ""):
            raise BadAnswer
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise BadAnswer from None

    def data(self) -> dict[str, Any]:
        """The object under `data`, as API Particulier and API Entreprise answer. Raises BadAnswer."""
        document = self.json()
        data = document.get("data") if isinstance(document, dict) else None
        if not isinstance(data, dict) or not data:
            raise BadAnswer
        return data

    def refusal(self, family: str = "apistration") -> Reading:
        """What an answer that is no 200 means, by the error table of its family (`connectors.core.state_errors`)."""
        return refused(FAMILIES[family], self.status, self.headers, self.body)


class StateHttp:
    """A State API over HTTP. https, or http on the loopback (ValueError). A `client` given stays its owner's to close."""

    def __init__(self, base_url: str, token: str, client: httpx.AsyncClient | None = None) -> None:
        self._url, self._owned = secure_url(base_url), client is None
        self._headers = {"authorization": f"Bearer {token}", "accept-encoding": "identity"}
        # no time of its own: the lane keeps it
        self._client = client or httpx.AsyncClient(transport=KeptConnections(), trust_env=False)

    async def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Said:
        """One GET. Raises httpx's errors, or TooLarge."""
        params: list[tuple[str, str | int | float | bool | None]] = [*query]
        async with self._client.stream(
            "GET", self._url + path, params=params, headers=self._headers, follow_redirects=False
        ) as answer:
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > BODY_MAX_BYTES:
                    raise TooLarge
            return Said(answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, bytes(body))

    async def close(self) -> None:
        if self._owned:
            await self._client.aclose()

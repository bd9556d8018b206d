"""The State API as a connector's function calls it: one GET, nothing followed, nothing large, nothing logged."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx

from connectors.contract import Reading
from connectors.core.state_errors import FAMILIES, refused
from connectors.rest.api import BODY_MAX_BYTES
from connectors.rest.http import Place, Received, Sent
from connectors.rest.kept import http_over


class BadAnswer(Exception):
    """An answer that is not what it should be; says nothing of what it is."""


class Said(Received):
    """What the State answered."""

    __slots__ = ()

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
        self._at, self._headers = Place.of(base_url), {"authorization": f"Bearer {token}"}
        self._http = http_over(client)

    async def get(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Said:
        """One GET, without a time of its own: the lane keeps it. Raises httpx's errors, or TooLarge."""
        received = await self._http.call(self._at, Sent(path, self._headers, query), BODY_MAX_BYTES)
        return Said(received.status, received.headers, received.body)

    async def close(self) -> None:
        await self._http.close()

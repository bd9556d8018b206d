"""State APIs over REST, as their descriptions say: one call over HTTP, one ``Reading``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

import httpx

from connectors.contract import Failure, Identity, Reading, Retry
from connectors.core.call import Call, IdentityLacks, ParameterRefused, call
from connectors.core.description import Description
from connectors.core.reading import interpret
from connectors.rest.descriptions import descriptions

BODY_MAX_BYTES: Final = 1 << 20
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HTTP_LOGGERS = ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy")


def _without_urls(record: logging.LogRecord) -> bool:
    """Keep httpx from logging, at INFO, URLs whose query string is here a civil status."""
    return record.levelno >= logging.WARNING


for _name in HTTP_LOGGERS:
    logging.getLogger(_name).addFilter(_without_urls)


class RestApi:
    """A ``StateApi`` for every data set described in YAML.

    ``base_url`` must be https, or http on the loopback (``ValueError`` otherwise: the query is personal data).
    ``timeout_s`` bounds the whole call, connection and body included. A ``client`` given stays its owner's to close.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        client: httpx.AsyncClient | None = None,
        timeout_s: float = 10.0,
        described: Mapping[str, Description] | None = None,
    ) -> None:
        url = httpx.URL(base_url)
        if url.scheme != "https" and not (url.scheme == "http" and url.host in LOOPBACK):
            raise ValueError("the State API must be reached over https")
        self._url = base_url.rstrip("/")
        self._headers = {
            "authorization": f"Bearer {token}",
            "accept": "application/json, application/vnd.api+json",
            "accept-encoding": "identity",
        }
        self._owned = client is None
        # trust_env: a proxy found in the environment would read the query of a loopback call.
        self._client = client or httpx.AsyncClient(timeout=timeout_s, trust_env=False)
        self._timeout_s = timeout_s
        self._described = descriptions() if described is None else described

    async def fetch(self, data_set: str, identity: Identity, recipient: str, parameters: Mapping[str, str]) -> Reading:
        """One call, no retry, no redirect followed; see ``connectors.contract`` for what is promised."""
        try:
            description = self._described[data_set]
            asked = call(description, identity, recipient, parameters)
            async with asyncio.timeout(self._timeout_s):
                return await self._call(description, asked, identity)
        except ParameterRefused:
            return Failure("", "parameter")
        except IdentityLacks:
            return Failure("", "identity")
        except (TimeoutError, httpx.TimeoutException):
            return Retry("", 0.0, "timeout")
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            return Retry("", 0.0, "network")
        except Exception:  # what it holds may be personal: only the fact of it leaves
            return Failure("", "client")

    async def _call(self, description: Description, asked: Call, identity: Identity) -> Reading:
        params: list[tuple[str, str | int | float | bool | None]] = [*asked.query]
        async with self._client.stream(
            "GET", self._url + asked.path, params=params, headers=self._headers, follow_redirects=False
        ) as answer:
            body = bytearray()
            async for chunk in answer.aiter_raw():
                body += chunk
                if len(body) > BODY_MAX_BYTES:
                    return Failure("", "too_large")
            return interpret(description, answer.status_code, answer.headers, bytes(body), identity)

    async def close(self) -> None:
        """Close the client made here."""
        if self._owned:
            await self._client.aclose()

"""State APIs over REST, as their descriptions say: one call over HTTP, one ``Reading``."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import httpx

from connectors.contract import Failure, Identity, Reading, Retry
from connectors.core.call import Call, IdentityLacks, ParameterRefused, call
from connectors.core.description import Description
from connectors.core.reading import interpret
from connectors.rest.access import Access, Account, Bearer, Gateway, NoAccess
from connectors.rest.descriptions import descriptions
from connectors.rest.http import Sent
from connectors.rest.kept import http_over
from exchange.bounded import TooLarge

BODY_MAX_BYTES: Final = 1 << 20
ACCEPT: Final = "application/json, application/vnd.api+json"
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
    ``account`` is ours at the DGFiP's gateway; without one it is the sandbox's, at ``base_url``, whose secret is ``token``.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        client: httpx.AsyncClient | None = None,
        timeout_s: float = 10.0,
        described: Mapping[str, Description] | None = None,
        account: Account | None = None,
    ) -> None:
        bearer = Bearer(base_url, token)
        self._http = http_over(client)
        gateway = Gateway(self._http, account or Account(base_url, "accord", token), time.monotonic)
        self._access: Mapping[str, Access] = {"apistration": bearer, "dgfip": gateway}
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
        except NoAccess as none:
            return none.reading
        except TooLarge:
            return Failure("", "too_large")
        except (TimeoutError, httpx.TimeoutException):
            return Retry("", 0.0, "timeout")
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            return Retry("", 0.0, "network")
        except Exception:  # what it holds may be personal: only the fact of it leaves
            return Failure("", "client")

    async def _call(self, description: Description, asked: Call, identity: Identity) -> Reading:
        access, accept = self._access[description.family], asked.operation.media_type or ACCEPT
        headers = await access.headers(asked.path) | {"accept": accept}
        answer = await self._http.call(access.at, Sent(asked.path, headers, asked.query), BODY_MAX_BYTES)
        reading = interpret(description, answer.status, answer.headers, answer.body, identity)
        if answer.status == 401:
            access.refused()
            # A token refused is the way to the State, not this file: the circuit breaker must know.
            return replace(reading, cause="token") if isinstance(reading, Retry) else reading
        return reading

    async def close(self) -> None:
        """Close the connections made here."""
        await self._http.close()

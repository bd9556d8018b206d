"""Who we are to a State API: a bearer token kept for long, or an OAuth2 one fetched and kept until it expires (RFC 6749 §4.4).

Nothing here is logged, and no error holds a secret.
"""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

from connectors.contract import Failure, Reading, Retry
from connectors.core.dgfip import SCOPES, SFIP, TOKEN_PATH
from connectors.rest.http import Http, Place, Sent
from consent.keys import BadKeyFile
from consent.keys.files import read as read_secret
from exchange.bounded import TooLarge

TOKEN_MAX_BYTES = 64 << 10
EARLY_S = 30.0
"""A token is no longer used this long before its end: the call takes time, and clocks differ."""


class NoAccess(Exception):
    """No token was had; ``reading`` says whether it may be later."""

    def __init__(self, reading: Reading) -> None:
        super().__init__("no access token")
        self.reading = reading


class Access(Protocol):
    """Where a family of State APIs is, and what each call of it carries."""

    at: Place

    async def headers(self, path: str) -> dict[str, str]:
        """The headers of one call. Raises ``NoAccess``, or httpx's errors."""
        ...

    def refused(self) -> None:
        """The State said 401 to these headers."""
        ...


class Bearer:
    """A token of API Particulier or API Entreprise."""

    def __init__(self, url: str, token: str) -> None:
        self.at, self._authorization = Place.of(url), f"Bearer {token}"

    async def headers(self, path: str) -> dict[str, str]:
        return {"authorization": self._authorization}

    def refused(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """An account of the DGFiP's gateway: its OAuth2 client, and the téléservices (``ID_Teleservice``) of its two APIs."""

    url: str
    identifier: str
    secret: str = field(repr=False)
    impot: str = "accord"
    sfip: str = "accord"


def read_account(path: Path, url: str) -> Account:
    """The account a file says, one word a line: client id, secret, and the two téléservices. BadKeyFile unless it is its owner's alone."""
    words = read_secret(path).decode("ascii", "replace").split()
    if len(words) != 4:
        raise BadKeyFile(f"{path.name}: {len(words)} words instead of 4")
    return Account(url, *words)


class _Token(msgspec.Struct):
    access_token: str
    expires_in: float = 0.0


class Gateway:
    """The DGFiP's gateway. One token at a time, fetched by the first call that needs it; ``now_s`` is monotonic."""

    def __init__(self, http: Http, account: Account, now_s: Callable[[], float]) -> None:
        self.at, self._http, self._account, self._now_s = Place.of(account.url), http, account, now_s
        self._token, self._until_s, self._fetching = "", 0.0, asyncio.Lock()

    async def headers(self, path: str) -> dict[str, str]:
        async with self._fetching:
            if not self._token or self._now_s() >= self._until_s:
                await self._fetch()
            token = self._token
        teleservice = self._account.sfip if path.startswith(SFIP) else self._account.impot
        return {
            "authorization": f"Bearer {token}",
            "x-correlation-id": str(uuid.UUID(bytes=os.urandom(16), version=4)),
            "id_teleservice": teleservice,
        }

    def refused(self) -> None:
        self._token = ""

    async def _fetch(self) -> None:
        asked_s, account = self._now_s(), self._account
        form = {"grant_type": "client_credentials", "scope": SCOPES}
        basic = base64.b64encode(f"{account.identifier}:{account.secret}".encode()).decode()
        try:
            sent = Sent(TOKEN_PATH, {"authorization": f"Basic {basic}"}, form=form)
            answer = await self._http.call(self.at, sent, TOKEN_MAX_BYTES)
        except TooLarge:
            raise NoAccess(Failure("", "token")) from None
        if (status := answer.status) != 200:
            raise NoAccess(Retry("", 0.0, "token") if status == 429 or status >= 500 else Failure("", "token"))
        try:
            token = msgspec.json.decode(answer.body, type=_Token)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise NoAccess(Failure("", "token")) from None
        if not token.access_token.isascii() or not token.access_token.isprintable() or not token.access_token:
            raise NoAccess(Failure("", "token"))
        self._token = token.access_token
        self._until_s = asked_s + max(token.expires_in - EARLY_S, token.expires_in / 2)

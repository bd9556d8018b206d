"""Reading habilitations from DataPass's API (`config/openapi/v1.yaml`: OAuth2 client credentials, `GET /habilitations`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import httpx
import msgspec

from consent.keys.files import read as read_secret
from exchange.bounded import TooLarge, whole
from exchange.core.datapass.events import BadCall, Listed, Snapshot, listed

PRODUCTION = "https://datapass.api.gouv.fr/api/v1"
PAGE, PAGES_MAX = 1_000, 200
BEHIND_S = 300
"""How far our clock may be ahead of DataPass's: a webhook of the last five minutes counts more than the list."""
_TIMEOUT_S, _PAGE_MAX_BYTES = 30.0, 64 << 20
T = TypeVar("T")


class DataPassUnavailable(Exception):
    """DataPass does not answer as documented: its status, or what is wrong with its answer."""


class _Token(msgspec.Struct):
    access_token: str


def read_credentials(path: Path) -> tuple[str, str]:
    """Client id and secret, on two lines of a file that is its owner's alone; BadKeyFile otherwise, ValueError without them."""
    identifier, secret = read_secret(path).decode("ascii").split()
    return identifier, secret


class Client:
    """One account of DataPass. It follows no redirect, and reads no more than it was built to hold."""

    def __init__(self, http: httpx.AsyncClient, credentials: tuple[str, str], url: str = PRODUCTION) -> None:
        self._http, self._credentials, self._url = http, credentials, url.rstrip("/")

    async def snapshots(self, now_s: int, siret: str = "") -> list[Snapshot]:
        """What each demande listed gives, in all states; of one organisation, with `siret`. `DataPassUnavailable` unless all of it was read."""
        headers = {"authorization": f"Bearer {await self._token()}"}
        found: list[Listed] = []
        for page in range(PAGES_MAX):
            query: dict[str, Any] = {"state[]": ["active", "obsolete", "revoked"], "limit": PAGE, "offset": page * PAGE}
            body = await self._read(
                "GET", "/habilitations", headers=headers, params=query | ({"siret": siret} if siret else {})
            )
            items = _decode(body, list[Listed])
            found += items
            if len(items) < PAGE:
                return _snapshots(found, now_s - BEHIND_S)
        raise DataPassUnavailable("too many pages")

    async def _token(self) -> str:
        identifier, secret = self._credentials
        form = {
            "grant_type": "client_credentials",
            "client_id": identifier,
            "client_secret": secret,
            "scope": "read_authorizations",
        }
        return _decode(await self._read("POST", "/oauth/token", data=form), _Token).access_token

    async def _read(self, method: str, path: str, **more: Any) -> bytes:
        try:
            async with self._http.stream(
                method, f"{self._url}{path}", timeout=_TIMEOUT_S, follow_redirects=False, **more
            ) as response:
                if response.status_code != 200:
                    raise DataPassUnavailable(f"{path}: {response.status_code}")
                return await whole(response.aiter_bytes(), _PAGE_MAX_BYTES)
        except TooLarge:
            raise DataPassUnavailable(f"{path}: too large") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise DataPassUnavailable(f"{path}: {type(error).__name__}") from None


def _decode(body: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DataPassUnavailable(type(error).__name__) from None


def _snapshots(found: list[Listed], at_s: int) -> list[Snapshot]:
    try:
        return listed(found, at_s)
    except BadCall as error:
        raise DataPassUnavailable(str(error)) from None

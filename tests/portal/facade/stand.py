"""Queries of the State's API, made of the sandbox's cases, and where to put them: the sandbox itself, or a façade."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx

from connectors.core.cases import QUOTIENT_FAMILIAL, Case
from connectors.sandbox import FAMILIES, load_cases
from exchange.core.errors import Code
from exchange.core.identity import Identity
from portal.core.facade import BASE
from portal.core.login import NotLoggedIn

STATE = Path(__file__).parents[4] / "shared" / "state-api-cases"
"""The State's own cases, used in place."""
RECIPIENT = "21130055300016"
PATH = "/v3/dss/quotient_familial/identite"
_PERIOD = ("annee", "mois")


class Nobody:
    """A FranceConnect that knows no token."""

    async def vouched(self, token: str) -> Identity:
        raise NotLoggedIn(Code.LOGIN_EXPIRED)


class Told(NamedTuple):
    """What a caller sees."""

    status: int
    body: object
    media_type: str


def cases() -> list[Case]:
    """Those of the quotient familial: the State's, where they are there, and ours."""
    states = STATE / QUOTIENT_FAMILIAL
    return [*(load_cases(states) if states.exists() else []), *load_cases(FAMILIES)]


def settled(found: Iterable[Case]) -> Iterator[Case]:
    """Those whose first call is answered for good: neither a turn to come again for, nor an answer the contract does not know."""
    yield from (c for c in found if c.operation == QUOTIENT_FAMILIAL and not c.before and c.status in (200, 404, 422))


def identity(case: Case) -> Identity:
    return Identity.from_wire({name: value for name, value in case.wire.items() if name not in _PERIOD})


def query(case: Case) -> list[tuple[str, str]]:
    """What a caller of the State's API sends."""
    pairs = [("recipient", RECIPIENT)]
    for name, value in case.wire.items():
        if name == "prenoms":
            pairs += [("prenoms[]", text) for text in ([value] if isinstance(value, str) else value)]
        elif value is not None:
            pairs.append((name, str(value)))
    return pairs


async def get(
    client: httpx.AsyncClient, base: str, pairs: list[tuple[str, str]], path: str = PATH, **headers: str
) -> Told:
    """One call, as existing software makes it: only the base URL and the token are its own."""
    bearer = {"authorization": f"Bearer {headers.pop('token', 'token')}"}
    response = await client.get(f"{base}{path}", params=pairs, headers=bearer | headers)
    return Told(response.status_code, response.json(), response.headers["content-type"])


def through(url: str) -> str:
    """The base URL of a façade at this address."""
    return url + BASE

"""The façade's API Entreprise paths: a company by its number, the law as basis, the State's own cases and its errors."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from connectors.core.cases import Case
from connectors.core.description import PLACEHOLDER, Description
from connectors.rest.descriptions import descriptions
from connectors.sandbox import FAMILIES, load_cases
from exchange.core.errors import Code
from exchange.core.identity import Identity
from exchange.testing import CasesApi, MemoryBus
from portal.core.facade import BASE, COMPANIES
from portal.facade.app import Facade
from tests.connectors.state_cases import ASKED, STATE, apart, asked_by, state_cases
from tests.connectors.test_end_to_end import LEGAL
from tests.portal.facade.stand import RECIPIENT, Nobody, Told, get

TOKEN = "jeton"
NAMES = [name for name, one in descriptions().items() if "api_entreprise_" in one.operations[0].id]
ESTABLISHMENT = "insee.etablissement.v1"
SIRET = "90000001900019"
PATH = f"/v4/insee/sirene/etablissements/{SIRET}"


@asynccontextmanager
async def facade(description: Description, cases: Sequence[Case]) -> AsyncIterator[tuple[MemoryBus, httpx.AsyncClient]]:
    async with MemoryBus(CasesApi(cases), provider=description.provider) as bus:
        transport = httpx.ASGITransport(Facade(bus.sdk, TOKEN, Nobody()).app())
        async with httpx.AsyncClient(transport=transport, base_url="http://facade.test") as client:
            yield bus, client


async def give(bus: MemoryBus, description: Description, company: Identity) -> bytes:
    scopes = tuple(sorted({field["scope"] for field in description.schema["fields"]}))
    terms = {"provider": description.provider, "data_set": description.data_set, "scopes": scopes}
    return await bus.give(company, **terms, **LEGAL)


def path_of(description: Description, company: Identity) -> str:
    number = {"siret": company.siret, "siren": company.siret[:9]}
    return PLACEHOLDER.sub(lambda found: number[found[1]], description.operations[0].path)


async def ask(client: httpx.AsyncClient, path: str, base: str = COMPANIES, token: str = TOKEN, **changes: str) -> Told:
    pairs = {"recipient": RECIPIENT} | ASKED | changes
    return await get(client, base, [(name, text) for name, text in pairs.items() if text], path, token=token)


def like(told: Any, states: Any) -> bool:
    """What was opened is what the State said, null where it had nothing; its links are the State's own, and are not passed on."""
    if isinstance(states, dict):
        return all(like(told.get(name), value) for name, value in states.items() if value is not None) and all(
            states.get(name) == value for name, value in told.items() if value is None
        )
    if isinstance(states, list):
        return len(told) == len(states) and all(like(one, other) for one, other in zip(told, states, strict=True))
    return bool(told == states)


async def carried(description: Description, cases: Sequence[Case]) -> int:
    done = 0
    for group in apart(cases):
        async with facade(description, group) as (bus, client):
            for case in group:
                company, _ = asked_by(case, description)
                await give(bus, description, company)
                told, said = await ask(client, path_of(description, company)), json.loads(case.payload)
                assert told.status == case.status, (case.name, told)
                if case.status == 200:
                    body: Any = told.body
                    items = [item["data"] for item in said["data"]] if isinstance(said["data"], list) else said["data"]
                    mine = [item["data"] for item in body["data"]] if isinstance(body["data"], list) else body["data"]
                    assert like(mine, items), (case.name, mine, items)
                else:
                    (error,) = told.body["errors"]  # type: ignore[index]  # the State's shape
                    assert (error["code"], error["title"]) == (said["errors"][0]["code"], said["errors"][0]["title"])
                done += 1
    return done


@pytest.mark.parametrize("name", NAMES)
async def test_our_cases(name: str) -> None:
    """Each case of ours: the State's status, code and data."""
    description = descriptions()[name]
    cases = [case for one in description.operations for case in load_cases(FAMILIES / one.id) if not case.before]
    assert await carried(description, [case for case in cases if case.status in (200, 404, 422, 451)]) >= 1


@pytest.mark.skipif(not STATE.is_dir(), reason="the State's sandbox cases are not here (../shared)")
@pytest.mark.parametrize("name", NAMES)
async def test_the_states_cases(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the State's own cases: its status, code and data."""
    description = descriptions()[name]
    cases = [case for one in description.operations for case in state_cases(one.id)]
    done = await carried(description, cases)
    with capsys.disabled():
        print(f"\n{name}: {done}/{len(cases)} cas de l'État par la façade / State cases through the façade", end="")
    assert done == len(cases) >= 1


@pytest.fixture
async def known() -> AsyncIterator[tuple[MemoryBus, httpx.AsyncClient]]:
    """A company that may be asked about."""
    description = descriptions()[ESTABLISHMENT]
    async with facade(description, load_cases(FAMILIES)) as (bus, client):
        await give(bus, description, Identity(siret=SIRET))
        yield bus, client


async def test_the_version_before(known: tuple[MemoryBus, httpx.AsyncClient]) -> None:
    """INSEE's v3 is served too: as v4, without the field v4 added."""
    now = await ask(known[1], PATH)
    before = await ask(known[1], PATH.replace("/v4/", "/v3/"))
    assert now.status == before.status == 200
    assert "activite_principale_naf_rev2" not in json.dumps(before.body)
    assert before.body["data"]["siret"] == now.body["data"]["siret"] == SIRET  # type: ignore[index]  # the State's envelope


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"recipient": ""}, 422, "00203"),
        ({"recipient": "1"}, 422, "00210"),
        ({"context": ""}, 422, "00201"),
        ({"object": ""}, 422, "00202"),
        ({"recipient": "21690123100011"}, 403, "00100"),
        ({"object": "x" * 251}, 422, "00366"),
    ],
)
async def test_faults_of_the_query(
    known: tuple[MemoryBus, httpx.AsyncClient], changes: dict[str, str], status: int, code: str
) -> None:
    """What the State says of a query whose frame is wrong; nothing passes the bus."""
    told = await ask(known[1], PATH, **changes)
    assert (told.status, told.body["errors"][0]["code"]) == (status, code)  # type: ignore[index]  # the State's shape
    assert known[0].broker.records(f"requests.{known[0].operator}.v1") == []


@pytest.mark.parametrize(
    ("siret", "code"),
    [("90000001900018", "00302"), ("123", "00302"), (RECIPIENT, "00211"), ("90000005000014", "00100")],
)
async def test_numbers(known: tuple[MemoryBus, httpx.AsyncClient], siret: str, code: str) -> None:
    """A number that is none, the recipient's own, and a company nobody may ask about."""
    told = await ask(known[1], f"/v4/insee/sirene/etablissements/{siret}")
    assert told.body["errors"][0]["code"] == code  # type: ignore[index]  # the State's shape


async def test_the_path_designates_and_nothing_else(known: tuple[MemoryBus, httpx.AsyncClient]) -> None:
    """A number in the query does not stand in for the path's; API Particulier's base has no companies; the façade's token is asked for."""
    told = await ask(known[1], "/v4/insee/sirene/etablissements/90000005000014", siret=SIRET)
    assert told.body["errors"][0]["meta"]["accord"]["code"] == Code.AUTHORISATION_UNKNOWN  # type: ignore[index]  # the State's shape
    assert (await ask(known[1], PATH, token="autre")).status == 401
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert (await known[1].get(f"{BASE}{PATH}", headers=bearer)).status_code == 404

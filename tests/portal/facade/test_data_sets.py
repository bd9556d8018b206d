"""Every path of API Particulier the façade serves, on the State's own cases and ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from connectors.contract import Found, NotFound, StateRefusal
from connectors.core.call import call
from connectors.core.cases import Case
from connectors.core.description import Description
from connectors.rest.descriptions import descriptions
from connectors.sandbox import FAMILIES, load_cases
from exchange.core.shape import preview_of
from exchange.testing import CasesApi, MemoryBus
from portal.core.facade import BASE
from portal.facade.app import Facade
from tests.connectors.state_cases import STATE, apart, asked_by, state_cases
from tests.connectors.test_data_sets import expected
from tests.portal.facade.stand import RECIPIENT, Nobody, get
from tests.portal.facade.test_companies import like

TOKEN = "jeton"
NAMES = [
    name for name, one in descriptions().items() if one.operations[0].id.startswith("api_particulier_") and not preview_of(one.schema)
]  # fmt: skip


def cases_of(description: Description) -> list[Case]:
    """Those that mean an answer about the one asked, not a turn to come again for."""
    found = [case for one in description.operations for case in load_cases(FAMILIES / one.id) if not case.before]
    if STATE.is_dir():
        found += [case for one in description.operations for case in state_cases(one.id)]
    return [case for case in found if isinstance(expected(description, case), Found | NotFound | StateRefusal)]


async def carried(description: Description, cases: Sequence[Case]) -> int:
    scopes = tuple(sorted({field["scope"] for field in description.schema["fields"]}))
    terms = {"provider": description.provider, "data_set": description.data_set, "scopes": scopes}
    async with MemoryBus(CasesApi(cases), provider=description.provider) as bus:
        transport = httpx.ASGITransport(Facade(bus.sdk, TOKEN, Nobody()).app())
        async with httpx.AsyncClient(transport=transport, base_url="http://facade.test") as client:
            for case in cases:
                identity, parameters = asked_by(case, description)
                agreement = await bus.give(identity, **terms)
                asked = call(description, identity, RECIPIENT, parameters)
                told, said = await get(client, BASE, asked.query, asked.path, token=TOKEN), json.loads(case.payload)
                body: Any = told.body
                assert told.status == case.status, (case.name, told)
                if case.status == 200:
                    assert like(body["data"], said["data"]), case.name
                else:
                    assert body["errors"][0]["code"] == said["errors"][0]["code"], case.name
                await bus.withdraw(agreement)
    return len(cases)


@pytest.mark.parametrize("name", NAMES)
async def test_each_case(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By civil status or by number: the State's status, code and data."""
    description = descriptions()[name]
    done = sum([await carried(description, group) for group in apart(cases_of(description))])
    with capsys.disabled():
        print(f"\n{name}: {done} cas par la façade / cases through the façade", end="")
    assert done >= 3

"""Every data set over real HTTP: sandbox, REST connector, reading, Avro; on our own cases, and on the State's where they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import Failure, Found, NotFound, Reading, Retry, StateRefusal
from connectors.core.cases import Case
from connectors.core.description import Description
from connectors.core.minimise import minimise
from connectors.rest.api import RestApi
from connectors.rest.descriptions import descriptions
from connectors.sandbox import FAMILIES, Sandbox, load_cases
from exchange.core.shape import complete, scopes_of
from exchange.schemas import catalogue
from tests.connectors import impots
from tests.connectors.state_cases import RECIPIENT, STATE, apart, asked_by, state_cases

NAMES = list(descriptions())
STATED = [name for name in NAMES if name != impots.NAME]
"""The State publishes no sandbox case of API Impôt particulier nor of SFiP."""
META = {"insee.unite-legale.v1": "redirect_from_siren", "insee.etablissement.v1": "redirect_from_siret"}
LEFT = {"cnous.etudiant-boursier.v2": {"email"}}
"""What a data set leaves at the State, beside what scopes leave there."""
WRONG_PERSON = {
    "api_particulier_v3_cnav_participation_familiale_eaje_with_civility[0]",  # Alexis, born 1982; answers Jean-Pierre, born 2000
    "api_particulier_v3_cnav_quotient_familial_with_civility[2]",  # another family name at birth
}
"""The State's examples whose answer is about somebody else than the one they ask for: our guard must stop them."""


def read(description: Description, groups: list[Sequence[Case]]) -> list[tuple[Case, Reading]]:
    """Each case asked over HTTP of a sandbox that holds its group."""

    async def one(url: str, case: Case) -> Reading:
        api = RestApi(url, "jeton")
        identity, parameters = asked_by(case, description)
        reading = await api.fetch(description.data_set, identity, RECIPIENT, parameters)
        await api.close()
        return reading

    done: list[tuple[Case, Reading]] = []
    for group in groups:
        with Sandbox(group) as sandbox:
            done += [(case, asyncio.run(one(sandbox.url, case))) for case in group]
    return done


def expected(description: Description, case: Case) -> Reading:
    """What a case means, said without the connector's help."""
    if description.data_set == impots.NAME:
        return impots.meant(case)
    body: Any = json.loads(case.payload)
    if case.status == 200 and case.name not in WRONG_PERSON:
        if description.data_set == "dgfip.chiffres-affaires.v1":
            return Found({"exercices": [item["data"] for item in body["data"]]})
        more = META.get(description.data_set)
        kept = {k: v for k, v in body["data"].items() if k not in LEFT.get(description.data_set, ())}
        return Found(kept | ({more: body["meta"][more]} if more else {}))
    if case.status == 200:
        return Failure("", "wrong_person")
    error = body["errors"][0]
    if case.status in (429, 502, 504):
        return Retry(error["code"], 1.0 if case.status == 429 else float(error["meta"].get("retry_in", 0)))
    if case.status == 403:
        return Failure(error["code"], "forbidden")
    return (NotFound if case.status == 404 else StateRefusal)(error["code"], error["title"])


def through_avro(data_set: str, data: dict[str, Any], scopes: frozenset[str]) -> dict[str, Any]:
    """What the collectivity reads of ``data`` under ``scopes``."""
    codec = catalogue().codec_of_data_set(data_set)
    return codec.decode(codec.encode(complete(codec.schema, minimise(codec.schema, data, scopes))))


def filled(schema: Any, data: dict[str, Any]) -> dict[str, Any]:
    return {field["name"]: None for field in schema["fields"]} | complete(schema, data)  # type: ignore[no-any-return]  # a record


def passed(description: Description, readings: list[tuple[Case, Reading]]) -> int:
    """Checks each reading and, of an answer, its bytes: whole under all scopes, only its own roots under each."""
    for case, reading in readings:
        assert reading == expected(description, case), case.name
        if isinstance(reading, Found):
            schema = description.schema
            whole = through_avro(description.data_set, reading.data, scopes_of(schema))
            assert whole == filled(schema, reading.data), case.name
            for scope in scopes_of(schema):
                own = {field["name"] for field in schema["fields"] if field["scope"] == scope}
                part = through_avro(description.data_set, reading.data, frozenset((scope,)))
                assert part == {name: value if name in own else None for name, value in whole.items()}, case.name
    return len(readings)


@pytest.mark.parametrize("name", NAMES)
def test_our_cases(name: str) -> None:
    """Each fictitious family or company of ours is read as its file tells, and enters its schema minimised."""
    description = descriptions()[name]
    cases = [case for operation in description.operations for case in load_cases(FAMILIES / operation.id)]
    cases = [case for case in cases if not case.before]
    assert passed(description, read(description, apart(cases))) >= 2
    assert {case.status for case in cases} > {200}


@pytest.mark.skipif(not STATE.is_dir(), reason="the State's sandbox cases are not here (../shared)")
@pytest.mark.parametrize("name", STATED)
def test_the_states_cases(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the State's own cases is read as what it means, and enters its schema minimised."""
    description = descriptions()[name]
    cases = [case for operation in description.operations for case in state_cases(operation.id)]
    count = passed(description, read(description, apart(cases)))
    with capsys.disabled():
        print(f"\n{name}: {count}/{len(cases)} cas de l'État / State cases", end="")
    assert count == len(cases) > 0


@pytest.mark.skipif(not STATE.is_dir(), reason="the State's sandbox cases are not here (../shared)")
@pytest.mark.parametrize("name", STATED)
def test_summaries_hold_every_case(name: str) -> None:
    """The rows read are at least the YAML files of the folder: none is passed over."""
    for operation in descriptions()[name].operations:
        files: set[Path] = {*(STATE / operation.id).glob("*.y*ml")}
        assert len(state_cases(operation.id)) >= len(files)

"""The façade's FranceConnect paths: a person's access token in place of a civil status, the State's own cases, the same answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from connectors.core.cases import Case, parse
from connectors.core.description import Description
from connectors.rest.descriptions import descriptions
from exchange.core.errors import Code
from exchange.core.identity import Identity
from exchange.testing import CasesApi, MemoryBus
from portal.core.facade import BASE, BY_IDENTITY, BY_TOKEN
from portal.core.sandbox import Registered
from portal.facade.app import Facade
from portal.identity.logins import Logins
from portal.identity.people import People, Person
from tests.connectors.state_cases import STATE, apart, state_cases
from tests.connectors.test_franceconnect import MODES, by_identity
from tests.portal.facade.stand import RECIPIENT, Told, get
from tests.portal.identity.signing_in import SECRET, Provider

QUOTIENT = "cnaf.quotient-familial.v1"
HALF = "api_particulier_v3_cnav_{}_with_france_connect[0]"
OTHERWISE = {
    HALF.format("quotient_familial"): (401, "50003"),
    HALF.format("participation_familiale_eaje"): (401, "50003"),
    "api_particulier_v3_cnav_quotient_familial_with_france_connect[2]": (504, "00501"),
    "api_particulier_v3_cnav_participation_familiale_eaje_with_france_connect[1]": (504, "00501"),
    "api_particulier_v3_cnav_participation_familiale_eaje_with_france_connect[2]": (504, "00501"),
}
"""As in tests/connectors/test_franceconnect.py: two cases hold half a pivot; one answers about somebody else; two have a child born in the
year `200&`. Nothing of theirs is passed on."""


@dataclass
class Town:
    """A façade, the bus behind it, and the identity provider in front."""

    bus: MemoryBus
    provider: Provider
    http: httpx.AsyncClient
    path: str

    async def ask(self, token: str, recipient: str = RECIPIENT, **more: str) -> Told:
        return await get(self.http, BASE, [("recipient", recipient), *more.items()], self.path, token=token)


def person(at: int, wire: dict[str, Any]) -> Person:
    """Whom a case is about, as FranceConnect knows them; what the case lacks is a claim that is not made."""
    who = Identity.from_wire(
        {name: value for name, value in wire.items() if name not in ("annee", "mois", "campaignYear")}
    )
    claims = {
        "family_name": who.nom_naissance, "given_name": " ".join(who.prenoms), "preferred_username": who.nom_usage,
        "birthdate": who.date_naissance if who.date_naissance[0] != "0" else "",
        "gender": {"M": "male", "F": "female"}.get(who.sexe_etat_civil, ""), "birthplace": who.code_cog_insee_commune_naissance,
        "birthcountry": who.code_cog_insee_pays_naissance,
    }  # fmt: skip
    return Person(f"case-{at}", "", "", {name: text for name, text in claims.items() if text})


@asynccontextmanager
async def town(folder: Path, description: Description, cases: Sequence[Case]) -> AsyncIterator[Town]:
    people = People(tuple(person(at, dict(case.wire)) for at, case in enumerate(cases)), ())
    async with MemoryBus(CasesApi(cases), provider=description.provider) as bus:
        known = Provider(bus, folder, known=people)
        logins = Logins(folder, "http://facade.test", known.outside, bus.clock)
        path = next(one.path for one in description.operations if one.path.endswith(BY_IDENTITY))
        transport = httpx.ASGITransport(Facade(bus.sdk, "jeton", logins).app())
        async with httpx.AsyncClient(transport=transport, base_url="http://facade.test") as http:
            yield Town(bus, known, http, path.removesuffix(BY_IDENTITY) + BY_TOKEN)


async def give(here: Town, description: Description, case: Case) -> bytes:
    wire = {name: value for name, value in case.wire.items() if name not in ("annee", "mois", "campaignYear")}
    scopes = tuple(sorted({field["scope"] for field in description.schema["fields"]}))
    terms = {"provider": description.provider, "data_set": description.data_set, "scopes": scopes}
    return await here.bus.give(Identity.from_wire(wire), **terms)


def codes(told: Told) -> tuple[int, str]:
    return told.status, told.body["errors"][0]["code"]  # type: ignore[index]  # the State's shape


@pytest.mark.skipif(not STATE.is_dir(), reason="the State's sandbox cases are not here (../shared)")
@pytest.mark.parametrize("name", MODES)
async def test_the_states_cases(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the State's FranceConnect cases: a login, its token, and the State's own status and words come back."""
    description, done = descriptions()[name], 0
    cases = [by_identity(description, case) for case in state_cases(MODES[name] + "_with_france_connect")]
    for group in apart(cases):
        async with town(tmp_path, description, group) as here:
            for at, case in enumerate(group):
                await give(here, description, case)
                period = {n: str(v) for n, v in case.wire.items() if n in description.parameters}
                told = await here.ask(await here.provider.access_token(f"case-{at}"), **period)
                if case.name in OTHERWISE:
                    assert codes(told) == OTHERWISE[case.name], case.name
                elif case.status == 200:
                    assert (told.status, told.body) == (200, json.loads(case.payload)), case.name
                else:
                    said = json.loads(case.payload)["errors"][0]
                    assert codes(told) == (case.status, said["code"]), case.name
                done += 1
    with capsys.disabled():
        print(f"\n{name}: {done}/{len(cases)} cas FranceConnect de l'État par la façade / through the façade", end="")
    assert done == len(cases) >= 2


WHO = {
    "nomNaissance": "TREVARIN", "prenoms": ["Maëlle", "Anne"], "anneeDateNaissance": "1988", "moisDateNaissance": "4",
    "jourDateNaissance": "12", "sexeEtatCivil": "F", "codeCogInseePaysNaissance": "99100", "codeCogInseeCommuneNaissance": "35238",
}  # fmt: skip
OTHER = WHO | {"nomNaissance": "LOUVEL"}


@pytest.fixture
async def quotient(tmp_path: Path) -> AsyncIterator[Town]:
    """Two people who may log in; the State knows the first."""
    payload = {"quotient_familial": {"fournisseur": "CNAF", "valeur": 742, "annee": 2026, "mois": 10, "annee_calcul": 2026, "mois_calcul": 10}}  # fmt: skip
    body = json.dumps({"data": payload, "links": {}, "meta": {}}).encode()
    operation = descriptions()[QUOTIENT].operations[0].id
    known = parse(operation, "connue", {"params": WHO, "status": 200, "payload": body.decode()})
    unknown = parse(operation, "autre", {"params": OTHER, "status": 404, "payload": "{}"})
    async with town(tmp_path, descriptions()[QUOTIENT], [known, unknown]) as here:
        await give(here, descriptions()[QUOTIENT], known)
        yield here


async def test_whoever_logs_in_is_asked_about(quotient: Town) -> None:
    """The token says who; the query names nobody, and what it would say of a person is not read."""
    told = await quotient.ask(await quotient.provider.access_token("case-0"), nomNaissance="LOUVEL")
    assert told.status == 200 and told.body["data"]["quotient_familial"]["valeur"] == 742  # type: ignore[index]  # the envelope
    told = await quotient.ask(await quotient.provider.access_token("case-1"))
    assert codes(told) == (403, "00100")


async def test_the_token_goes_no_further(quotient: Town) -> None:
    """No topic ever held it."""
    token = await quotient.provider.access_token("case-0")
    await quotient.ask(token)
    held = [record for records in quotient.bus.broker.logs.values() for record in records]
    assert len(held) > 3 and all(token.encode() not in record.value + repr(record.headers).encode() for record in held)


@pytest.mark.parametrize(("token", "code"), [("", "00101"), ("jeton de mairie", "50001"), ("inconnu", "50002"), ("jeton", "50002")])  # fmt: skip
async def test_no_token_of_ours(quotient: Town, token: str, code: str) -> None:
    """None, one that cannot be one, one FranceConnect does not know, and the façade's own: a 401 in the State's words."""
    assert codes(await quotient.ask(token)) == (401, code)
    assert quotient.bus.broker.records(f"requests.{quotient.bus.operator}.v1") == []


async def test_a_token_that_is_over(quotient: Town) -> None:
    """It lives for 60 s."""
    token = await quotient.provider.access_token("case-0")
    await quotient.bus.clock.sleep(61)
    assert codes(await quotient.ask(token)) == (401, "50002")


async def test_another_services_token(quotient: Town) -> None:
    """A person who logged in elsewhere has not come to this collectivity: their token there says nothing here."""
    quotient.provider.sandbox._clients = dict(quotient.provider.sandbox._clients) | {
        "autre-citizen": Registered("autre-citizen", "citizen", sha256(SECRET.encode()).digest())
    }
    token = await quotient.provider.access_token("case-0", "autre-citizen")
    assert codes(await quotient.ask(token)) == (401, "50003")


async def test_franceconnect_is_away(quotient: Town) -> None:
    """The State's code for a provider that does not answer."""
    token = await quotient.provider.access_token("case-0")
    await quotient.provider.http.aclose()
    quotient.provider.outside._client = httpx.AsyncClient()  # on a port where nobody listens
    assert codes(await quotient.ask(token)) == (504, "51001")


@pytest.mark.parametrize(("more", "code"), [({"recipient": ""}, "00203"), ({"annee": "66"}, "00353"), ({"mois": "13"}, "00354")])  # fmt: skip
async def test_faults_of_the_query(quotient: Town, more: dict[str, str], code: str) -> None:
    """What the State says of a query that a good token does not mend."""
    assert codes(await quotient.ask(await quotient.provider.access_token("case-0"), **more)) == (422, code)


async def test_two_people_at_once(quotient: Town) -> None:
    """Queries that differ by their token alone do not stand in each other's way (at the State they may)."""
    tokens = [await quotient.provider.access_token(f"case-{at}") for at in (0, 1)]
    told = await asyncio.gather(*(quotient.ask(token) for token in tokens))
    assert [one.status for one in told] == [200, 403]


async def test_the_named_agreement_must_be_theirs(quotient: Town) -> None:
    """The header names an agreement: of whoever the token shows, or of nobody."""
    other = Identity.from_wire(OTHER)
    agreement = (await quotient.bus.give(other)).hex()
    token = await quotient.provider.access_token("case-0")
    told = await get(
        quotient.http, BASE, [("recipient", RECIPIENT)], quotient.path, token=token, **{"X-Accord-Consent": agreement}
    )
    assert told.status == 403 and told.body["errors"][0]["meta"]["accord"]["code"] == Code.SUBJECT_MISMATCH  # type: ignore[index]  # the State's shape

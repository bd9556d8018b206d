"""FranceConnect mode end to end: a token read at once, the identity sealed, the State asked in its identity mode; on the State's own cases."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from typing import Any

import pytest

from connectors.core.cases import Case, parse
from connectors.core.description import Description
from connectors.rest.descriptions import descriptions
from connectors.sandbox import FAMILIES, load_cases
from exchange.core.errors import Code
from exchange.core.identity import Identity
from exchange.core.referentials import purposes_of
from exchange.franceconnect import FranceConnect
from exchange.outcomes import ExchangeError
from exchange.testing import CasesApi, MemoryBus, VirtualClock
from tests.connectors.state_cases import STATE, state_cases
from tests.connectors.test_end_to_end import as_meant
from tests.franceconnect import Provider, serving

state_only = pytest.mark.skipif(not STATE.is_dir(), reason="the State's sandbox cases are not here (../shared)")
MODES = {
    "cnaf.quotient-familial.v1": "api_particulier_v3_cnav_quotient_familial",
    "cnaf.participation-familiale-eaje.v1": "api_particulier_v3_cnav_participation_familiale_eaje",
    "cnaf.complementaire-sante.v1": "api_particulier_v3_cnav_complementaire_sante_solidaire",
    "cnous.etudiant-boursier.v1": "api_particulier_v4_cnous_etudiant_boursier",
}
"""Each data set with a FranceConnect mode, and its State operations but for the mode."""
OTHER_NAMES = {
    "codeInseeLieuDeNaissance": "codeCogInseeCommuneNaissance",
    "codePaysLieuDeNaissance": "codeCogInseePaysNaissance",
}
"""As one case of the CNOUS has them."""
REFUSED = {
    "api_particulier_v3_cnav_quotient_familial_with_france_connect[0]": Code.FRANCECONNECT_INVALID,
    "api_particulier_v3_cnav_participation_familiale_eaje_with_france_connect[0]": Code.FRANCECONNECT_INVALID,
    "api_particulier_v3_cnav_quotient_familial_with_france_connect[2]": Code.WRONG_PERSON,
    "api_particulier_v3_cnav_participation_familiale_eaje_with_france_connect[1]": Code.PROVIDER_ERROR,
    "api_particulier_v3_cnav_participation_familiale_eaje_with_france_connect[2]": Code.PROVIDER_ERROR,
}
"""Two cases hold half a pivot, which FranceConnect never gives (the State's own 50003); one answers about somebody else; two have a
child born in the year `200&`."""


def tokens() -> list[tuple[str, dict[str, Any]]]:
    """The State's own tokens, and what FranceConnect says of each."""
    with (STATE / "france_connect" / "summary.csv").open(encoding="utf-8", newline="") as file:
        return [(json.loads(row["Paramètres"])["token"], json.loads(row["Réponse"])) for row in csv.DictReader(file)]


def by_identity(description: Description, case: Case) -> Case:
    """A FranceConnect case as the identity mode is asked for it: the State compares what its mode alone can send."""
    operation = next(each for each in description.operations if each.id.endswith("with_civility"))
    sent = {wire.removesuffix("[]") for wire, _ in operation.query}
    wire = {OTHER_NAMES.get(name, name): value for name, value in case.wire.items()}
    params = {name: value for name, value in wire.items() if name in sent}
    made = parse(operation.id, case.name, {"params": params, "status": case.status, "payload": case.payload.decode()})
    return replace(made, wire=wire)


def login(provider: Provider, at: int, wire: dict[str, Any]) -> str:
    """The token of whoever a case is about; a field it lacks is a claim FranceConnect does not make."""
    person = Identity.from_wire(wire)
    claims = {
        "family_name": person.nom_naissance, "given_name": " ".join(person.prenoms), "given_name_array": list(person.prenoms),
        "preferred_username": person.nom_usage, "birthdate": person.date_naissance if person.date_naissance[0] != "0" else "",
        "gender": {"M": "male", "F": "female"}.get(person.sexe_etat_civil), "birthplace": person.code_cog_insee_commune_naissance,
        "birthcountry": person.code_cog_insee_pays_naissance,
    }  # fmt: skip
    return provider.login(f"jeton-{at}", **claims)


async def carried(name: str, cases: list[Case]) -> list[tuple[Case, Any]]:
    """Each case by a token of its own, through one bus: the answer, or the error."""
    description, done = descriptions()[name], list[tuple[Case, Any]]()
    terms = {"provider": description.provider, "data_set": name}
    scopes = tuple(sorted({field["scope"] for field in description.schema["fields"]}))
    async with MemoryBus(CasesApi(cases), provider=description.provider) as bus:
        # A clock of its own: the bus's runs ahead while a real call is under way.
        with serving(Provider(VirtualClock())) as provider:
            async with FranceConnect(provider.settings, provider.clock) as france_connect:
                for at, case in enumerate(cases):
                    try:
                        person = (await france_connect.introspect(login(provider, at, dict(case.wire)))).identity
                        consent = await bus.give(person, scopes=scopes, **terms)
                        request = await bus.sdk.request(name, consent=consent, purpose=purposes_of(name)[0], ttl_s=60)
                        done.append((case, await request.answer(600)))
                    except ExchangeError as error:
                        done.append((case, error))
    return done


def as_told(description: Description, case: Case, met: Any) -> bool:
    """Whether what the collectivity got is what the case means."""
    if case.name in REFUSED:
        return isinstance(met, ExchangeError) and met.code == REFUSED[case.name]
    return as_meant(description, case, met)


@state_only
@pytest.mark.parametrize("name", MODES)
async def test_the_states_cases(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the State's FranceConnect cases reaches the collectivity as what it means; a pivot that is not whole goes no further."""
    description = descriptions()[name]
    cases = [by_identity(description, case) for case in state_cases(MODES[name] + "_with_france_connect")]
    done = await carried(name, cases)
    assert not [case.name for case, met in done if not as_told(description, case, met)]
    with capsys.disabled():
        print(f"\n{name}: {len(done)}/{len(cases)} cas FranceConnect de l'État par le bus / through the bus", end="")
    assert len(done) == len(cases) >= 2


@state_only
async def test_the_states_tokens() -> None:
    """What the State's FranceConnect says of each of its test tokens is an identity, but for the time, which is ours."""
    with serving(Provider(VirtualClock())) as provider:
        for token, said in tokens():
            told = said["token_introspection"]
            provider.login(token, **{name: value for name, value in told.items() if name not in ("iat", "exp", "jti")})
            provider.outer = {"iss": said["iss"], "aud": said["aud"]}
            settings = replace(
                provider.settings, issuer=said["iss"], services=frozenset((told["aud"],)), client_id=said["aud"]
            )
            provider.known = (said["aud"], settings.client_secret)
            async with FranceConnect(settings, provider.clock) as france_connect:
                found = await france_connect.introspect(token)
            person = found.identity
            assert (person.nom_naissance, " ".join(person.prenoms)) == (told["family_name"], told["given_name"])
            assert (person.date_naissance, person.code_cog_insee_commune_naissance) == (told["birthdate"], told["birthplace"])  # fmt: skip
    assert len(tokens()) >= 9


async def test_income_by_franceconnect() -> None:
    """For the tax office too the token ends here: SFiP is asked by the identity it showed, and no topic ever held the token."""
    name = "dgfip.impot-particulier.v1"
    cases = [case for case in load_cases(FAMILIES / "api_sfip_situations_ir_assiettes_with_civility") if case.name == "02-second-declarant"]  # fmt: skip
    async with MemoryBus(CasesApi(cases), provider="dgfip") as bus:
        with serving(Provider(VirtualClock())) as provider:
            async with FranceConnect(provider.settings, provider.clock) as france_connect:
                token = login(provider, 0, dict(cases[0].wire))
                person = (await france_connect.introspect(token)).identity
        consent = await bus.give(person, provider="dgfip", data_set=name, scopes=("dgfip_nbpart", "dgfip_rfr"))
        request = await bus.sdk.request(
            name, consent=consent, purpose=purposes_of(name)[0], scopes=["dgfip_rfr"], ttl_s=60
        )
        assert (await request.answer(600)).data == {"rfr": 38412}
        written = [record for log in bus.broker.logs.values() for record in log]
    assert len(written) >= 4
    for record in written:
        said = b"".join((record.key or b"", record.value or b"", *(value for _, value in record.headers)))
        assert token.encode() not in said and b"KERMAREC" not in said

"""A parent answers for their child in their own space: named, declared, given by the parent's login, seen and taken back by them alone."""

from __future__ import annotations

import re
from typing import Any

import pytest

from consent.core.facts import State
from consent.core.query import Officer
from exchange.core.errors import Code
from exchange.core.identity import Identity, canonical
from portal.core.child import bond, bond_hash
from portal.web.pages import SESSION
from portal.web.sessions import Sessions
from tests.portal.citizen.person import HOME, MAELLE, Person, demand, own

LEO = {
    "nom_naissance": "TREVARIN", "prenoms": "Léo Marin", "jour": "5", "mois": "6", "annee": "2018", "sexe": "M", "ne_en": "france",
    "lieu": "35238", "suite": "continuer",
}  # fmt: skip
LEO_IS = Identity(
    "TREVARIN", prenoms=("Léo", "Marin"), date_naissance="2018-06-05", sexe_etat_civil="M", code_cog_insee_pays_naissance="99100",
    code_cog_insee_commune_naissance="35238",
)  # fmt: skip
EIGHTEEN_YEARS_MS = 18 * 366 * 86_400_000


def page_of(authorisation: bytes) -> str:
    return f"{demand(authorisation)}/enfant"


async def name(person: Person, authorisation: bytes, **changes: str) -> Any:
    """Say who the child is."""
    page = page_of(authorisation)
    return await person.stand.submit(page, page, LEO | changes)


async def give(person: Person, authorisation: bytes) -> Any:
    """Press the recap's button, whatever the recap says: its form may not even be there."""
    page = f"{page_of(authorisation)}/recapitulatif"
    return await person.stand.submit(page, f"{page_of(authorisation)}/accord")


async def given(person: Person, who: str = "TREVARIN", **asked: Any) -> bytes:
    """An agreement that this parent gave for Léo."""
    authorisation = await person.asked(**asked)
    await name(person, authorisation)
    await person.log_in(f"{page_of(authorisation)}/identification", who)
    assert (await give(person, authorisation)).headers["location"] == own(authorisation)
    return authorisation


async def test_a_parent_gives_for_their_child(person: Person) -> None:
    """Named first, recapped with what is declared, then the parent logs in for these terms and this child, and one button gives: the
    collectivity's capsule names the child, the ledger keeps who spoke and the hash of what they declared."""
    authorisation = await person.asked()
    assert f"{page_of(authorisation)}" in (await person.browser.get(demand(authorisation))).text
    recap = f"{page_of(authorisation)}/recapitulatif"
    assert (await name(person, authorisation)).headers["location"] == recap
    shown = await person.read(recap)
    assert (["Prénoms", "First names", "Léo Marin"] in shown["child"], shown["ready"], shown["bond"]) == (
        True,
        False,
        bond("fr"),
    )
    back = await person.log_in(f"{page_of(authorisation)}/identification")
    assert back.headers["location"] == recap
    assert ((await person.read(recap))["name"], (await person.read(recap))["objection"]) == ("Maëlle TREVARIN", [])
    assert (await give(person, authorisation)).headers["location"] == own(authorisation)
    grant = await person.bus.ledger.capsule(authorisation, person.bus.operator)
    person.bus.wallet.keep(authorisation, grant.capsule)
    capsule = person.bus.wallet.capsule(authorisation)
    assert capsule is not None and capsule.identity == canonical(LEO_IS)
    await person.bus.ledger.appoint(Officer("dpo", (), 2**52))
    life = await person.bus.ledger.life("dpo", "test", authorisation)
    assert (life.row.state, life.row.representation) == (State.LIVE, "parent")
    assert bond_hash("fr").hex() in await person.bus.ledger.receipt(authorisation)
    sessions = Sessions(person.stand.parts.store, person.bus.clock.now_ms)
    held = sessions.read(person.browser.cookies.get(SESSION))
    assert held.login("citizen") and "children" not in held.data and "Léo" not in str(held.data)


async def test_the_parent_sees_it_and_takes_it_back(person: Person) -> None:
    """It is in their list, marked as theirs to speak; its receipt opens; one button withdraws and the key is gone."""
    authorisation = await given(person)
    (card,) = (await person.read(HOME))["agreements"]
    assert (card["id"], card["by_another"]) == (authorisation.hex(), "un parent, au nom de son enfant mineur")
    assert card["about"] == "Léo" and "au nom de son enfant mineur : Léo" in (await person.browser.get(HOME)).text
    assert (await person.read(own(authorisation)))["about"] == "Léo"
    pdf = await person.browser.get(f"{own(authorisation)}/recu.pdf")
    assert pdf.content[:5] == b"%PDF-"
    await person.press(own(authorisation), "/retrait")
    assert await person.state(authorisation) is State.WITHDRAWN
    assert not await person.bus.ledger.has_key(authorisation)


async def test_nobody_else_sees_it(person: Person) -> None:
    """Another parent, though of the same recipient, neither lists nor opens it, nor takes it back."""
    authorisation = await given(person)
    person.browser.cookies.clear()
    await person.log_in(who="CAZELMAS")
    assert (await person.read(HOME))["agreements"] == []
    assert (await person.browser.get(own(authorisation))).status_code == 404
    token = re.search(r'name="csrf" value="(\w+)"', (await person.browser.get(HOME)).text)
    assert token is not None
    assert (await person.browser.post(f"{own(authorisation)}/retrait", data={"csrf": token[1]})).status_code == 404
    assert await person.state(authorisation) is State.LIVE


async def test_once_of_age_it_is_the_childs_own(person: Person) -> None:
    """The parent no longer sees what they gave for somebody who is of age now; who it is about does."""
    authorisation = await given(person)
    assert [one.id for one in await person.bus.ledger.agreements(canonical(MAELLE))] == [authorisation]
    person.bus.clock.advance(EIGHTEEN_YEARS_MS)
    assert await person.bus.ledger.agreements(canonical(MAELLE)) == []
    assert [(one.id, one.about) for one in await person.bus.ledger.agreements(canonical(LEO_IS))] == [
        (authorisation, "")
    ]
    assert (await person.bus.ledger.agreement(authorisation)).about == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annee": "1990"}, "cette personne est majeure"),
        ({"jour": "", "mois": "", "annee": ""}, "année de naissance"),
        ({"annee": "2090"}, "la date est passée"),
        ({"nom_naissance": "", "prenoms": ""}, "Donnez un nom ou un prénom"),
        ({"sexe": ""}, "Choisissez une réponse"),
    ],
)
async def test_only_a_minor_is_spoken_for(person: Person, change: dict[str, str], said: str) -> None:
    """An adult, somebody without a year of birth or nobody at all: said beside the field, and no further step opens."""
    authorisation = await person.asked()
    back = await name(person, authorisation, **change)
    assert back.headers["location"] == page_of(authorisation)
    page = (await person.browser.get(page_of(authorisation))).text
    assert said.lower() in page.lower() and 'role="alert"' in page
    recap = await person.browser.get(f"{page_of(authorisation)}/recapitulatif")
    assert (recap.status_code, recap.headers["location"]) == (303, page_of(authorisation))
    assert (await person.browser.get(f"{page_of(authorisation)}/identification")).status_code == 409
    await person.log_in()
    refused = await person.stand.submit(page_of(authorisation), f"{page_of(authorisation)}/accord")
    assert (refused.status_code, Code.REPRESENTATION_INVALID in refused.text) == (409, True)
    assert await person.state(authorisation) is State.REQUESTED


async def test_a_login_is_for_this_child(person: Person) -> None:
    """A login for one's own answer, for another child or in other words gives nothing for this one; nor does this one for oneself."""
    authorisation = await person.asked()
    recap = f"{page_of(authorisation)}/recapitulatif"
    await name(person, authorisation)
    await person.log_in(f"{demand(authorisation)}/identification")
    assert ((await person.read(recap))["ready"], (await give(person, authorisation)).status_code) == (False, 409)
    await person.log_in(f"{page_of(authorisation)}/identification")
    await name(person, authorisation, prenoms="Lia")
    assert ((await person.read(recap))["ready"], (await give(person, authorisation)).status_code) == (False, 409)
    await person.log_in(f"{page_of(authorisation)}/identification")
    assert (await person.press(demand(authorisation), "/accord")).status_code == 409
    assert (await person.read(f"{recap}"))["ready"]
    assert (await person.browser.get(f"{recap}.json?lang=en")).json()["ready"] is False
    assert await person.state(authorisation) is State.REQUESTED


async def test_who_is_a_child_speaks_for_nobody(person: Person) -> None:
    """A minor who logs in reads why they cannot, and the ledger would not record it either."""
    authorisation = await person.asked()
    await name(person, authorisation, annee="2019")
    minor = next(one for one in person.provider.people.citizens if one.claims["family_name"] == "TREVARIN")
    minor.claims["birthdate"] = "2012-04-12"
    await person.log_in(f"{page_of(authorisation)}/identification")
    assert (await person.read(f"{page_of(authorisation)}/recapitulatif"))["objection"]
    page = (await person.browser.get(f"{page_of(authorisation)}/recapitulatif")).text
    assert "vous ne pouvez pas répondre pour cet enfant" in page and "enfant/accord" not in page
    refused = await give(person, authorisation)
    assert (refused.status_code, Code.REPRESENTATION_INVALID in refused.text) == (409, True)


async def test_what_was_typed_is_forgotten(person: Person) -> None:
    """Giving up forgets the child; a request that was answered is no longer to be answered, and an unknown one is not there."""
    authorisation = await person.asked()
    await name(person, authorisation)
    left = await person.stand.submit(page_of(authorisation), f"{page_of(authorisation)}/abandon")
    assert left.headers["location"] == demand(authorisation)
    assert (await person.read(page_of(authorisation)))["person"]["typed"]["prenoms"] == ""
    await name(person, authorisation)
    await person.press(demand(authorisation), "/refus")
    for path in ("", "/recapitulatif"):
        answered = await person.browser.get(f"{page_of(authorisation)}{path}")
        assert (answered.status_code, answered.headers["location"]) == (303, own(authorisation))
        assert (await person.browser.get(f"{page_of(b'0' * 16)}{path}")).status_code == 404


async def test_a_part_may_be_given_for_a_child(person: Person) -> None:
    """What the parent unticked before is not given for the child either."""
    authorisation = await person.asked()
    await person.press(demand(authorisation), "/choix", scope="cnaf_quotient_familial")
    await name(person, authorisation)
    await person.log_in(f"{page_of(authorisation)}/identification")
    await give(person, authorisation)
    assert (await person.bus.ledger.terms(authorisation)).scopes == ("cnaf_quotient_familial",)

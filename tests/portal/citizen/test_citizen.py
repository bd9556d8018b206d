"""A citizen's space, in process: given, refused, seen, withdrawn, narrowed, objected to, opened by a code, claimed."""

from __future__ import annotations

import os
import re

import pytest

from consent.core.codes import short_code
from consent.core.facts import Evidence, State
from exchange.core.errors import Code
from exchange.core.identity import Identity, canonical
from exchange.introduction import LEGAL_REFERENCE, record, terms
from exchange.outcomes import ConsentWithdrawn
from portal.core.login import LOGIN_MS
from tests.portal.citizen.person import HOME, MAELLE, Person, declaring, demand, own
from tests.world import until


async def test_an_agreement_is_read_then_given_by_a_login_for_its_terms(person: Person) -> None:
    """The page says who, what, why, until when; the login covers these terms; one button gives; the collectivity can ask."""
    authorisation = await person.asked()
    page = (await person.browser.get(demand(authorisation))).text
    assert "calculer le tarif de la cantine" in page.lower() and "CNAF" in page
    back = await person.log_in(f"{demand(authorisation)}/identification")
    assert back.headers["location"] == demand(authorisation)
    assert (await person.read(demand(authorisation)))["name"] == "Maëlle TREVARIN"
    given = await person.press(demand(authorisation), "/accord")
    assert given.headers["location"] == own(authorisation)
    assert await person.state(authorisation) is State.LIVE
    grant = await person.bus.ledger.capsule(authorisation, person.bus.operator)
    person.bus.wallet.keep(authorisation, grant.capsule)
    capsule = person.bus.wallet.capsule(authorisation)
    assert capsule is not None and capsule.identity == canonical(MAELLE)


async def test_a_part_may_be_given(person: Person) -> None:
    """What is unticked is neither in the login's nonce nor in the agreement."""
    authorisation = await person.asked()
    kept = await person.press(demand(authorisation), "/choix", scope="cnaf_quotient_familial")
    assert kept.status_code == 303
    await person.log_in(f"{demand(authorisation)}/identification")
    await person.press(demand(authorisation), "/accord")
    assert (await person.bus.ledger.terms(authorisation)).scopes == ("cnaf_quotient_familial",)


async def test_a_login_for_something_else_gives_nothing(person: Person) -> None:
    """Logged in for one's list, or for other terms: the ledger is not even asked, and a choice made afterwards is refused by it."""
    authorisation, other = await person.asked(), await person.asked()
    await person.log_in()
    assert (await person.press(demand(authorisation), "/accord")).status_code == 409
    await person.log_in(f"{demand(other)}/identification")
    assert (await person.press(demand(authorisation), "/accord")).status_code == 409
    await person.log_in(f"{demand(authorisation)}/identification")
    token = re.search(r'name="csrf" value="(\w+)"', (await person.browser.get(demand(authorisation))).text)
    assert token is not None
    await person.browser.post(f"{demand(authorisation)}/choix", data={"csrf": token[1], "scope": "cnaf_enfants"})
    refused = await person.press(demand(authorisation), "/accord")
    assert (refused.status_code, Code.EVIDENCE_INVALID in refused.text) == (409, True)
    assert await person.state(authorisation) is State.REQUESTED


async def test_a_login_is_for_ten_minutes(person: Person) -> None:
    """A page left open is no agreement."""
    authorisation = await person.asked()
    await person.log_in(f"{demand(authorisation)}/identification")
    person.bus.clock.advance(LOGIN_MS + 60_000)
    assert Code.EVIDENCE_INVALID in (await person.press(demand(authorisation), "/accord")).text


async def test_refusing_asks_nothing_of_anybody(person: Person) -> None:
    """One button, no login; it is recorded, and said plainly."""
    authorisation = await person.asked()
    refused = await person.press(demand(authorisation), "/refus")
    assert refused.headers["location"] == own(authorisation)
    assert await person.state(authorisation) is State.REFUSED
    assert (await person.read(own(authorisation)))["state"] == "refused"
    assert "/retrait" not in (await person.browser.get(own(authorisation))).text
    assert (await person.stand.submit(HOME, f"{own(authorisation)}/retrait")).status_code == 409


async def test_one_sees_one_s_own_and_no_other_s(person: Person) -> None:
    """The list, each agreement; somebody else's, an unknown one and a bad id are the same page not found."""
    mine = await person.held()
    believed, person.bus.ledger.issuers = person.bus.ledger.issuers, declaring
    theirs = await person.bus.give(
        Identity("CAZELMAS", prenoms=("Odile",), date_naissance="1992-11-05", sexe_etat_civil="F")
    )
    person.bus.ledger.issuers = believed
    assert (await person.read(HOME))["agreements"] == []
    assert (await person.browser.get(own(mine))).status_code == 404
    await person.log_in()
    assert [one["id"] for one in (await person.read(HOME))["agreements"]] == [mine.hex()]
    assert (await person.browser.get(own(mine))).status_code == 200
    pages = [await person.browser.get(f"{HOME}/accord/{name}") for name in (theirs.hex(), "0" * 32, "x" * 32)]
    assert [page.status_code for page in pages] == [404] * 3
    assert len({page.text.replace(page.url.path, "") for page in pages}) == 1
    assert (await person.browser.post(f"{own(theirs)}/retrait", data={"csrf": "0" * 64})).status_code == 403
    token = re.search(r'name="csrf" value="(\w+)"', (await person.browser.get(own(mine))).text)
    assert token is not None
    assert (await person.browser.post(f"{own(theirs)}/retrait", data={"csrf": token[1]})).status_code == 404
    assert await person.state(theirs) is State.LIVE


async def test_each_use_is_shown_then_one_button_withdraws(person: Person) -> None:
    """When, for what, how it ended; the acknowledgement says that nothing was on its way; the next request is refused, and shown."""
    authorisation = await person.held()
    asking = {"consent": authorisation, "purpose": "tarification-cantine"}
    await (await person.bus.sdk.request("cnaf.quotient-familial.v1", **asking)).answer()
    await person.log_in()
    (use,) = (await person.read(own(authorisation)))["used"]
    assert (use["code"], bool(use["data"])) == ("released", True)
    withdrawn = await person.press(own(authorisation), "/retrait")
    assert withdrawn.headers["location"] == own(authorisation)
    page = await person.read(own(authorisation))
    assert (page["state"], page["may_close"]) == ("withdrawn", False)
    assert (page["acknowledgement"]["named"], page["acknowledgement"]["note"][:9]) == ([], "accord.te")
    with pytest.raises(ConsentWithdrawn):
        await (await person.bus.sdk.request("cnaf.quotient-familial.v1", **asking)).answer()
    assert [each["code"] for each in (await person.read(own(authorisation)))["used"]] == ["refused", "released"]


async def test_what_was_on_its_way_is_named(person: Person) -> None:
    """An answer released and not yet confirmed when one withdraws is named on the page, request by request."""
    authorisation = await person.held()
    await person.bus.pause("release")
    request = await person.bus.sdk.request(
        "cnaf.quotient-familial.v1", consent=authorisation, purpose="tarification-cantine"
    )
    await until(person.bus, lambda: person.bus.broker.records("answers.cnaf.v1") or None)
    person.bus.broker.fail_next, person.bus.broker.fail_after_writing = 10_000, False
    await person.bus.resume("release")
    for _ in range(200):
        if any(one.code == "released" for one in await person.bus.ledger.uses(authorisation)):
            break
        await person.bus.clock.sleep(0.1)
    await person.log_in()
    await person.press(own(authorisation), "/retrait")
    assert (await person.read(own(authorisation)))["acknowledgement"]["named"] == [request.key.request.hex()]


async def test_less_may_be_kept(person: Person) -> None:
    """Narrowing keeps what stays ticked; nothing, or everything, is no narrowing."""
    authorisation = await person.held()
    await person.log_in()
    assert (
        await person.press(own(authorisation), "/reduction", scope=["cnaf_quotient_familial", "cnaf_enfants"])
    ).status_code == 303
    assert (await person.bus.ledger.terms(authorisation)).scopes == ("cnaf_enfants", "cnaf_quotient_familial")
    for scopes in ([], ["cnaf_quotient_familial", "cnaf_enfants"], ["dgfip_rfr"]):
        assert (await person.press(own(authorisation), "/reduction", scope=scopes)).status_code == 409


async def test_a_legal_basis_is_objected_to(person: Person) -> None:
    """The page speaks of the law, not of an agreement; one button objects."""
    notice = {"basis": "legal", "legal_reference": LEGAL_REFERENCE, "notice_hash": b"n" * 32, "notice_version": "2"}
    authorisation = await person.held(**notice)
    await person.log_in()
    page = (await person.browser.get(own(authorisation))).text
    assert "M&#39;opposer" in page and LEGAL_REFERENCE in page and "Retirer mon accord" not in page
    await person.press(own(authorisation), "/retrait")
    assert await person.state(authorisation) is State.OPPOSED


async def test_the_code_of_a_receipt_opens_that_agreement_alone(person: Person) -> None:
    """No login: that one is seen and withdrawn; the receipt is given in both forms, and bears the code."""
    authorisation, other = await person.held(), await person.held()
    code = short_code(person.bus.keys.secrets["pseudonym.key"], authorisation)
    assert code in await person.bus.ledger.receipt(authorisation)
    opened = await person.press(HOME, "/code", code=code.lower())
    assert opened.headers["location"] == own(authorisation)
    assert (await person.browser.get(own(other))).status_code == 404
    pdf, document = [await person.browser.get(f"{own(authorisation)}/recu.{kind}") for kind in ("pdf", "jsonld")]
    assert (pdf.content[:5], pdf.headers["content-type"]) == (b"%PDF-", "application/pdf")
    assert document.json()["accord:shortCode"] == code and document.headers["cache-control"] == "no-store"
    await person.press(own(authorisation), "/retrait")
    assert (await person.state(authorisation), await person.state(other)) == (State.WITHDRAWN, State.LIVE)


async def test_codes_are_not_tried_for_ever(person: Person) -> None:
    """A wrong code says so, the same whatever is wrong; after ten an address waits, even with the right one."""
    authorisation = await person.held()
    await person.bus.ledger.receipt(authorisation)
    wrong = [await person.press(HOME, "/code", code=code) for code in ("", "0000-0000-0000-0000", "é" * 500)]
    assert {(each.status_code, "Aucun accord sous ce code" in each.text) for each in wrong} == {(404, True)}
    for _ in range(7):
        await person.press(HOME, "/code", code="0" * 16)
    code = short_code(person.bus.keys.secrets["pseudonym.key"], authorisation)
    assert (await person.press(HOME, "/code", code=code)).status_code == 429
    person.bus.clock.advance(61_000)
    assert (await person.press(HOME, "/code", code=code)).status_code == 303


async def test_what_an_agent_recorded_is_claimed(person: Person) -> None:
    """With the receipt's code, then a login for it: it is among one's agreements. Somebody else's login does not take it."""
    typed = Identity("Trevarin", prenoms=("Maelle",), date_naissance="1988-04-12", sexe_etat_civil="F")
    authorisation, agreed = os.urandom(16), terms(person.bus.recipient, person.bus.clock.now_ms())
    believed, person.bus.ledger.issuers = person.bus.ledger.issuers, declaring
    await record(
        person.bus.ledger, person.bus.wallet, authorisation, agreed, typed, Evidence("counter", "agent-7", b"e" * 32)
    )
    person.bus.ledger.issuers = believed
    await person.bus.ledger.receipt(authorisation)
    code = short_code(person.bus.keys.secrets["pseudonym.key"], authorisation)
    await person.press(HOME, "/code", code=code)
    assert "guichet" in (await person.browser.get(own(authorisation))).text
    await person.log_in(f"{own(authorisation)}/identification", "CAZELMAS")
    assert Code.EVIDENCE_INVALID in (await person.press(own(authorisation), "/reprise")).text
    await person.log_in(f"{own(authorisation)}/identification")
    assert (await person.press(own(authorisation), "/reprise")).status_code == 303
    person.browser.cookies.clear()
    await person.log_in()
    assert [one["id"] for one in (await person.read(HOME))["agreements"]] == [authorisation.hex()]


async def test_the_pages_speak_english(person: Person) -> None:
    """`?lang=en` once, and the browser keeps it."""
    await person.held()
    await person.log_in()
    await person.browser.get(f"{HOME}?lang=en")
    assert "Here is who may receive information about you" in (await person.browser.get(HOME)).text

"""What a person sees before an answer about them is handed over, and their yes or no: in process, without JavaScript."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from connectors.contract import Found
from consent.core.codes import short_code
from exchange.core.errors import Code
from exchange.core.referentials import purposes_of
from exchange.outcomes import PreviewRejected
from exchange.sdk import Request
from exchange.testing import MemoryBus
from tests.portal.citizen.test_citizen import HOME, Person, own
from tests.portal.identity.signing_in import Provider
from tests.portal.stand import portal
from tests.world import BURSARY, ScriptedApi

SHOWN = "cnous.etudiant-boursier.v2"
SCOPES = ("cnous_echelon_bourse", "cnous_statut_boursier")


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[Person]:
    """Somebody at their browser, beside a collectivity that asks the Cnous."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(MemoryBus(ScriptedApi(Found(BURSARY)), provider="cnous"))
        provider = Provider(bus, tmp_path)
        provider.believed_by(bus)
        yield Person(await stack.enter_async_context(portal(tmp_path, bus, provider.outside)), provider)


async def waits(person: Person, **changes: Any) -> tuple[bytes, Request]:
    """An agreement, and a request under it whose answer waits for its person."""
    authorisation = await person.held(data_set=SHOWN, scopes=SCOPES, **changes)
    request = await person.bus.sdk.request(
        SHOWN, consent=authorisation, purpose=purposes_of(SHOWN)[0], scopes=("cnous_statut_boursier",)
    )
    assert await request.awaits_person()
    return authorisation, request


def preview(request: Request) -> str:
    return f"{own(request.authorisation)}/apercu/{request.key.request.hex()}"


async def test_seen_then_handed_over(person: Person) -> None:
    """It stands first on the list and on the agreement's page; the page says who, what, from whom, until when; one button lets it through."""
    authorisation, request = await waits(person)
    await person.log_in()
    (waiting,) = (await person.read(HOME))["waiting"]
    assert (waiting["id"], waiting["request"]) == (authorisation.hex(), request.key.request.hex())
    assert preview(request) in (await person.browser.get(HOME)).text
    assert preview(request) in (await person.browser.get(own(authorisation))).text
    shown = await person.read(preview(request))
    assert [each["scope"] for each in shown["terms"]["data"]] == ["cnous_statut_boursier"]
    assert (shown["may_accept"], shown["terms"]["provider"], shown["use"]) == (True, waiting["terms"]["provider"], 1)
    assert shown["deadline_ms"] > shown["asked_at_ms"] > 0
    page = (await person.browser.get(preview(request))).text
    assert "Transmettre" in page and "Ne pas transmettre" in page and "est_boursier" not in page
    said = await person.press(preview(request), "/transmission")
    assert said.headers["location"] == own(authorisation)
    assert (await request.answer()).data == BURSARY
    told = await person.read(own(authorisation))
    assert (told["waiting"], told["used"][0]["code"], told["uses"]) == ([], "released", 1)


async def test_seen_then_kept_back(person: Person) -> None:
    """One button keeps it back: the collectivity reads why, no use is counted, the page says so, the agreement stands."""
    authorisation, request = await waits(person)
    await person.log_in()
    said = await person.press(preview(request), "/refus")
    assert said.headers["location"] == own(authorisation)
    assert "Rien n&#39;est transmis" in (await person.browser.get(own(authorisation))).text
    with pytest.raises(PreviewRejected):
        await request.answer()
    told = await person.read(own(authorisation))
    assert (told["state"], told["uses"], told["used"][0]["code"]) == ("live", 0, "refused")
    assert "vous avez dit non" in told["used"][0]["text"]


async def test_said_once(person: Person) -> None:
    """The page of what was said leads to the agreement; sent again, or the contrary, changes nothing and says so."""
    authorisation, request = await waits(person)
    await person.log_in()
    await person.press(preview(request), "/refus")
    assert (await person.browser.get(preview(request))).headers["location"] == own(authorisation)
    for action in ("/refus", "/transmission"):
        again = await person.stand.submit(own(authorisation), preview(request) + action)
        assert again.headers["location"] == own(authorisation)
        assert "n&#39;attend plus" in (await person.browser.get(own(authorisation))).text
    kinds = [entry.kind for entry in await person.bus.ledger.entries(authorisation)]
    assert kinds.count("preview_rejected") == 1 and "preview_accepted" not in kinds


async def test_a_receipt_s_code_may_refuse_and_no_more(person: Person) -> None:
    """Whoever has the code sees what waits and may keep it back; to hand it over one has to be its person."""
    authorisation, request = await waits(person)
    await person.bus.ledger.receipt(authorisation)
    code = short_code(person.bus.keys.secrets["pseudonym.key"], authorisation)
    assert (await person.browser.get(preview(request))).status_code == 404
    await person.press(HOME, "/code", code=code)
    assert (await person.read(preview(request)))["may_accept"] is False
    assert "/transmission" not in (await person.browser.get(preview(request))).text
    refused = await person.press(preview(request), "/transmission")
    assert (refused.status_code, Code.EVIDENCE_MISSING in refused.text) == (409, True)
    await person.press(preview(request), "/refus")
    with pytest.raises(PreviewRejected):
        await request.answer()


async def test_somebody_else_s_is_not_there(person: Person) -> None:
    """Nobody sees, lets through or keeps back what waits for another."""
    authorisation, request = await waits(person)
    mine, _ = await waits(person)
    await person.log_in(who="CAZELMAS")
    assert (await person.read(HOME))["waiting"] == []
    assert (await person.browser.get(preview(request))).status_code == 404
    for action in ("/transmission", "/refus"):
        assert (await person.stand.submit(HOME, preview(request) + action)).status_code == 404
    assert len(await person.bus.ledger.previews([authorisation, mine])) == 2


async def test_withdrawn_it_waits_no_more(person: Person) -> None:
    """Withdrawing the agreement takes what waits off the page; a number of nothing leads to the agreement."""
    authorisation, request = await waits(person)
    await person.log_in()
    await person.press(own(authorisation), "/retrait")
    assert (await person.read(own(authorisation)))["waiting"] == []
    for path in (preview(request), f"{own(authorisation)}/apercu/rien"):
        assert (await person.browser.get(path)).headers["location"] == own(authorisation)


async def test_in_english(person: Person) -> None:
    """The same in English."""
    _, request = await waits(person)
    await person.log_in()
    page = (await person.browser.get(f"{preview(request)}?lang=en")).text
    assert "Look before it is handed over" in page and "Do not hand it over" in page

"""What waits for a person, read to them by an agent who records their yes or no."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from connectors.contract import Found
from exchange.core.referentials import purposes_of
from exchange.outcomes import PreviewRejected
from exchange.sdk import Request
from exchange.testing import MemoryBus
from tests.portal.guichet.test_guichet import AGENT
from tests.portal.stand import Stand, portal
from tests.world import BURSARY, JEANNE, ScriptedApi

SHOWN = "cnous.etudiant-boursier.v2"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    """A counter beside a collectivity that asks the Cnous."""
    async with MemoryBus(ScriptedApi(Found(BURSARY)), provider="cnous") as bus, portal(tmp_path, bus) as stand:
        stand.log_in("agent", AGENT)
        yield stand


async def waits(stand: Stand) -> Request:
    authorisation = await stand.bus.give(JEANNE, data_set=SHOWN)
    request = await stand.bus.sdk.request(SHOWN, consent=authorisation, purpose=purposes_of(SHOWN)[0])
    assert await request.awaits_person()
    return request


def at(request: Request) -> str:
    return f"/guichet/accords/{request.authorisation.hex()}"


def preview(request: Request) -> str:
    return f"{at(request)}/apercu/{request.key.request.hex()}"


async def test_read_then_recorded(stand: Stand) -> None:
    """Found by its number, announced on its page, read aloud; the person's yes on the phone is in the ledger with the agent's reference."""
    request = await waits(stand)
    assert (await stand.browser.get(preview(request))).status_code == 404
    await stand.submit("/guichet", "/guichet/recherche", {"numero": request.authorisation.hex()})
    assert preview(request) in (await stand.browser.get(at(request))).text
    shown = (await stand.browser.get(f"{preview(request)}.json")).json()
    assert shown["script"][-1] == "Voulez-vous que cette réponse soit transmise ?" and len(shown["script"]) == 5
    said = await stand.submit(preview(request), preview(request), {"channel": "phone", "reponse": "oui"})
    assert said.headers["location"] == at(request)
    assert (await request.answer()).data == BURSARY
    history = (await stand.browser.get(f"{at(request)}.json")).json()["history"]
    assert [each["text"] for each in history][1] == "aperçu : la personne laisse transmettre"


async def test_no_is_recorded_too(stand: Stand) -> None:
    """The person's no: nothing is handed over; afterwards the page leads back to the agreement."""
    request = await waits(stand)
    await stand.submit("/guichet", "/guichet/recherche", {"numero": request.authorisation.hex()})
    await stand.submit(preview(request), preview(request), {"channel": "counter", "reponse": "non"})
    with pytest.raises(PreviewRejected):
        await request.answer()
    assert (await stand.browser.get(preview(request))).headers["location"] == at(request)
    again = await stand.submit(at(request), preview(request), {"channel": "counter", "reponse": "oui"})
    assert again.headers["location"] == at(request)
    assert [entry.kind for entry in await stand.bus.ledger.entries(request.authorisation)] == [
        "given",
        "preview_rejected",
        "refused",
    ]


@pytest.mark.parametrize(
    "fields", [{}, {"channel": "online", "reponse": "oui"}, {"channel": "counter", "reponse": "peut-être"}]
)
async def test_half_an_answer_is_none(stand: Stand, fields: dict[str, str]) -> None:
    """Without a channel of the counter's, or a yes or no, nothing is recorded."""
    request = await waits(stand)
    await stand.submit("/guichet", "/guichet/recherche", {"numero": request.authorisation.hex()})
    assert (await stand.submit(preview(request), preview(request), fields)).status_code == 400
    assert len(await stand.bus.ledger.previews([request.authorisation])) == 1


async def test_another_collectivity_s_agent_sees_nothing(stand: Stand) -> None:
    """What waits under an agreement of another collectivity is not there."""
    request = await waits(stand)
    await stand.submit("/guichet", "/guichet/recherche", {"numero": request.authorisation.hex()})
    stand.log_in("agent", AGENT | {"siret": "21440109300015"})
    assert (await stand.browser.get(preview(request))).status_code == 404

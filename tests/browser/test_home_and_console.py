"""The first page and the console, over a real bus that was seeded."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from exchange.core import topics
from tests.browser.conftest import Opening
from tests.browser.window import Window

SEEDED_S, LOOK_S = 240, 0.5


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def seeded(dev: dict[str, Any]) -> int:
    """Once the sandbox has something in it; how many agreements are new."""
    done = Path(dev["data"]) / "run" / "seed.json"
    async with asyncio.timeout(SEEDED_S):
        while not done.exists():
            await asyncio.sleep(LOOK_S)
    return int(json.loads(done.read_text("utf-8"))["new"])


async def test_first_page(window: Window, seeded: int) -> None:
    """It says what this is, opens the console, and shows what to try."""
    page = await window.go("/")
    await window.seen("home")
    assert (
        await page.get_by_role("heading", level=1).inner_text()
        == "Accord : les administrations échangent, vous décidez"
    )
    await window.follow("Plan du site")
    await window.seen("plan")
    await window.follow("Accueil")
    await window.follow("J'exploite le bus")
    assert page.url == f"{window.url}/console" and seeded == 9


async def test_console(window: Window, seeded: int) -> None:
    """From the overview to a request's timeline, its decoded message, and back by its id."""
    page = await window.go("/console")
    await page.get_by_role("heading", name="Dernières demandes").wait_for()
    await window.seen("console")
    await window.follow("Demandes")
    await window.seen("console-requests")
    row = page.get_by_role("row").filter(has_text="remise").filter(has_text="cnaf.quotient-familial.v1").first
    await row.get_by_role("link").click()
    await page.get_by_role("heading", name="Dans le temps").wait_for()
    for step in ("demande", "porte", "connecteur", "remise"):
        assert await page.locator("table.timeline").get_by_role("rowheader", name=step, exact=True).count() >= 1
    await window.seen("console-request")
    number = await page.locator("dd code").first.inner_text()
    await page.get_by_role("link", name="requests.").first.click()
    await page.get_by_role("cell", name="cnaf.quotient-familial.v1").wait_for()
    await window.seen("console-message")
    assert "scellé" in await page.content() and "TREVARIN" not in await page.content()
    await window.go("/console/requests")
    await page.get_by_label("Numéro de demande").fill(number)
    await window.press("Chercher")
    assert page.url.endswith(f"/console/requests/{number}")


async def test_topics(window: Window, seeded: int) -> None:
    """Lag and throughput have their numbers; a topic's messages are listed."""
    page = await window.go("/console/topics")
    await page.get_by_role("link", name=topics.VERDICTS).wait_for()
    await window.seen("console-topics")
    await window.follow(topics.VERDICTS)
    assert await page.get_by_role("row").count() > 1
    await window.seen("console-topic")


async def test_dead_letter(opened: Opening, seeded: int) -> None:
    """A dead letter is looked at and sent again, without JavaScript; the button is gone for this one afterwards."""
    window = await opened(javascript=False)
    page = await window.go("/console/dead-letters")
    await window.seen("console-dead-letters")
    before = await page.get_by_role("button", name="Renvoyer").count()
    assert before == 1
    await page.get_by_role("button", name="Renvoyer").first.click()
    await page.get_by_text("Le message est reparti, une fois.").wait_for()
    assert await page.get_by_text("renvoyé le").count() == 1


async def test_live(opened: Opening, seeded: int) -> None:
    """With JavaScript the overview looks again by itself, until asked not to; a text can be copied."""
    window = await opened(permissions=["clipboard-read", "clipboard-write"])
    page = await window.go("/console")
    async with page.expect_response(lambda response: response.url.endswith("/console")) as again:
        pass
    assert (await again.value).request.headers["hx-request"] == "true"
    await window.follow("Arrêter l'actualisation automatique")
    assert page.url.endswith("?live=0") and await page.locator("[data-hx-get]").count() == 0
    await window.go("/console/requests")
    await page.get_by_role("row").nth(1).get_by_role("link").click()
    await page.get_by_role("button", name="Copier").first.click()
    await page.get_by_role("button", name="Copié").wait_for()
    assert (await page.evaluate("navigator.clipboard.readText()")).startswith("curl ")


@pytest.mark.parametrize("path", ["/", "/console"])
async def test_keyboard(opened: Opening, path: str, seeded: int) -> None:
    """The first stop of the keyboard skips to the content; every stop is seen."""
    window = await opened()
    page = await window.go(path)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    await page.wait_for_url("**#main")

"""The three démarches from start to end, over a real bus, with a real login at the identity sandbox."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.conftest import Opening
from tests.browser.window import Window


async def _open(opened: Opening, dev: dict[str, Any], *, javascript: bool) -> Window:
    return await opened(javascript=javascript, url=dev["demarche"])


async def _log_in(window: Window, family: str) -> None:
    """At the identity sandbox, as the first person of this name."""
    await window.follow("Continuer avec FranceConnect")
    await window.page.get_by_role("button", name=family).first.click()
    await window.page.get_by_role("heading", name="Votre accord").wait_for()


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize(
    ("slug", "family", "price"), [("creche", "VILLEDRIN", "l'heure"), ("cantine", "TREVARIN", "3,40 €")]
)
async def test_a_child(
    opened: Opening, dev: dict[str, Any], slug: str, family: str, price: str, javascript: bool
) -> None:
    """Name, login, agreement, price, enrolment: no paper at all."""
    window = await _open(opened, dev, javascript=javascript)
    page = await window.go(f"/demarche/{slug}")
    await window.seen(f"{slug}-1-start")
    await page.get_by_label("Prénom de l'enfant").fill("Lila")
    await window.press("Continuer")
    await window.seen(f"{slug}-2-identify")
    await _log_in(window, family)
    await window.seen(f"{slug}-3-agreement")
    await window.press("Je donne mon accord")
    await page.get_by_text(price).first.wait_for()
    await window.seen(f"{slug}-4-price")
    await window.press("Inscrire Lila")
    await page.get_by_role("heading", name="Inscription enregistrée").wait_for()
    await window.seen(f"{slug}-5-enrolled")


async def test_refused(opened: Opening, dev: dict[str, Any]) -> None:
    """Saying no leads to the paper, and the price is not asked for."""
    window = await _open(opened, dev, javascript=False)
    page = await window.go("/demarche/cantine")
    await page.get_by_label("Prénom de l'enfant").fill("Lila")
    await window.press("Continuer")
    await _log_in(window, "TREVARIN")
    await window.press("Je refuse, je fournirai un papier")
    await page.get_by_role("heading", name="Continuer avec un papier").wait_for()
    await window.seen("cantine-paper")


async def test_provider_down(opened: Opening, dev: dict[str, Any]) -> None:
    """Where the State's API does not answer, one is told to come back, and the agreement stays."""
    window = await _open(opened, dev, javascript=True)
    page = await window.go("/demarche/cantine")
    await page.get_by_label("Prénom de l'enfant").fill("Ulysse")
    await window.press("Continuer")
    await _log_in(window, "LENTIGNAC")
    await page.get_by_role("button", name="Je donne mon accord").click()
    await page.get_by_role("button", name="Réessayer").wait_for(timeout=60_000)
    await window.seen("cantine-later")


@pytest.mark.parametrize("javascript", [True, False])
async def test_a_company(opened: Opening, dev: dict[str, Any], javascript: bool) -> None:
    """One SIRET, the notice shown, five answers."""
    window = await _open(opened, dev, javascript=javascript)
    page = await window.go("/demarche/marche")
    await window.seen("marche-1-start")
    await page.get_by_label("SIRET").fill("900 000 019 00018")
    await page.get_by_label("Référence du marché").fill("2026-M-7")
    await window.press("J'ai lu l'information")
    await page.get_by_text("Ce n'est pas un SIRET").wait_for()
    await window.seen("marche-wrong")
    await page.get_by_label("SIRET").fill("900 000 019 00019")
    await window.press("J'ai lu l'information")
    await page.get_by_text("ÉLECTRICITÉ DU PONANT").wait_for()
    assert await page.get_by_text("reçue", exact=True).count() == 5
    await window.seen("marche-2-answer")


async def test_all_services(opened: Opening, dev: dict[str, Any]) -> None:
    """The list of the collectivity's services."""
    window = await _open(opened, dev, javascript=True)
    await window.go("/")
    await window.seen("demarches")

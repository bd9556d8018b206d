"""The counter in a real browser, with JavaScript and without: ProConnect, the steps, the receipt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.browser.test_citizen import waits
from tests.browser.window import Window

AGENT = "Agente d'accueil de la mairie"


async def be(window: Window, who: str) -> None:
    """Choose this fictitious person in the identity sandbox."""
    card = window.page.locator("li.card", has_text=who).first
    await card.get_by_role("button").click()
    await window.page.wait_for_load_state()


async def enter(window: Window) -> None:
    await window.go("/guichet")
    await be(window, AGENT)
    assert await window.page.get_by_role("heading", level=1).inner_text() == "Guichet"


async def begin(window: Window, channel: str) -> None:
    await window.go("/guichet/nouveau")
    page = window.page
    await page.get_by_role("radio", name="cantine").first.check()
    await page.get_by_role("radio", name=channel).check()
    await page.get_by_role("radio", name="La personne elle-même").check()


async def identify(window: Window) -> None:
    page = window.page
    await page.get_by_label("Nom de naissance").fill("Cordelier")
    await page.get_by_label("Prénoms").fill("Anaïs")
    for label, value in (("Jour", "2"), ("Mois", "1"), ("Année", "1980")):
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_role("radio", name="Féminin").check()
    await page.get_by_label("Commune de naissance").fill("saint-denis")


async def test_an_agreement_at_the_counter(window: Window) -> None:
    """From ProConnect to the receipt: each page holds to everything a page must."""
    await enter(window)
    await window.seen("guichet-home")
    await begin(window, "guichet")
    await window.seen("guichet-new")
    await window.press("Lire le texte")
    await window.seen("guichet-reading")
    await window.press("Elle accepte")
    await identify(window)
    await window.press("Chercher le lieu")
    await window.seen("guichet-person")
    await window.press("Continuer")
    await window.seen("guichet-person-wrong")
    await window.page.get_by_role("radio", name="département 974").check()
    await window.press("Continuer")
    await window.seen("guichet-recap")
    await window.page.set_input_files(
        "#evidence_file", {"name": "f.pdf", "mimeType": "application/pdf", "buffer": b"signed"}
    )
    await window.press("Continuer")
    await window.seen("guichet-identify")
    await window.follow("S'identifier avec ProConnect")
    await be(window, AGENT)
    await window.seen("guichet-confirmation")
    await window.press("Oui")
    assert await window.page.locator(".badge").first.inner_text() == "en vigueur"
    await window.seen("guichet-agreement")
    await window.follow("Préparer un courrier")
    await window.seen("guichet-letter")
    await window.page.go_back()
    await window.follow("Retirer l'accord")
    await window.seen("guichet-withdraw")
    await window.press("Retirer l'accord")
    assert await window.page.locator(".badge").first.inner_text() == "retiré"


async def test_a_file_that_is_too_large(window: Window) -> None:
    """More than a mebibyte is not taken: a page says so, and what to do, once the browser has sent it all."""
    await enter(window)
    await begin(window, "guichet")
    await window.press("Lire le texte")
    await window.press("Elle accepte")
    await identify(window)
    await window.press("Chercher le lieu")
    await window.page.get_by_role("radio", name="département 974").check()
    await window.press("Continuer")
    large = {"name": "f.pdf", "mimeType": "application/pdf", "buffer": b"x" * (3 << 20)}
    await window.page.set_input_files("#evidence_file", large)
    await window.press("Continuer")
    assert "envoi trop grand" in await window.page.get_by_role("main").inner_text()
    await window.seen("guichet-too-large")
    await window.page.go_back()
    assert await window.page.get_by_role("button", name="Continuer").count() == 1


async def test_a_refusal_on_the_phone(window: Window) -> None:
    """No is as easy as yes, and closes nothing."""
    await enter(window)
    await begin(window, "téléphone")
    await window.press("Lire le texte")
    await window.press("Elle refuse")
    assert "Refus enregistré" in await window.page.locator(".notice").first.inner_text()
    await window.seen("guichet-refused")


async def test_a_preview_read_to_the_person(window: Window, dev: dict[str, Any], tmp_path: Path) -> None:
    """What waits is announced on the agreement's page, read aloud, and the person's no on the phone is recorded."""
    consent = await waits(dev, tmp_path, codeCogInseeCommuneNaissance="")
    await enter(window)
    await window.page.locator("#numero").fill(consent)
    await window.page.locator("#numero").press("Enter")
    await window.page.get_by_text("Une réponse attend que la personne dise oui ou non").wait_for()
    await window.seen("guichet-waiting")
    await window.follow("Lire ce qui serait transmis")
    await window.seen("guichet-preview")
    await window.page.get_by_role("radio", name="téléphone").check()
    await window.press("Ne pas transmettre")
    await window.page.get_by_text("rien n'est transmis").first.wait_for()
    await window.page.get_by_text("aperçu : la personne ne veut pas").wait_for()

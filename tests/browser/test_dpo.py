"""The officer's room in a real browser, with JavaScript and without: the reason, a search, proofs opened, an erasure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest_asyncio

from consent.client import connect, hang_up
from consent.core.query import Officer
from exchange.core.identity import Identity
from exchange.introduction import give, open_wallet
from exchange.places import Places
from exchange.settings import Settings
from portal.identity.process import reference_of_agent
from tests.browser.test_guichet import be
from tests.browser.window import Window


@pytest_asyncio.fixture(loop_scope="session")
async def agreement(dev: dict[str, Any]) -> str:
    """An agreement of somebody, in a bus whose officer has been appointed."""
    places = Places(Path(dev["data"]))
    ledger = connect(places.socket)
    await ledger.appoint(Officer(reference_of_agent(places, "officer"), (), 2**52))
    wallet = open_wallet(places, Settings())
    person = Identity("Orfila", prenoms=("Zoé",), date_naissance="1991-04-05", sexe_etat_civil="F")
    made = await give(ledger, wallet, person, 1_700_000_000_000, not_after_ms=2**42)
    await hang_up(ledger)
    return made.hex()


async def enter(window: Window) -> None:
    await window.go("/dpo")
    await be(window, "protection des données")
    await window.seen("dpo-reason")
    await window.page.get_by_label("Motif").fill("plainte 2026-17")
    await window.press("Continuer")


async def test_an_agreement_is_found_proven_and_erased(window: Window, agreement: str) -> None:
    """From ProConnect to the certificate: each page holds to everything a page must."""
    await enter(window)
    await window.seen("dpo-home")
    await window.follow("Chercher des accords")
    await window.seen("dpo-search")
    await window.press("Chercher")
    await window.seen("dpo-results")
    await window.go(f"/dpo/accords/{agreement}")
    await window.page.get_by_text("Voir la preuve, étape par étape").first.click()
    assert await window.page.get_by_text("ne tient pas").count() == 0
    await window.seen("dpo-one")
    await window.press("Tout ce qui est détenu")
    await window.seen("dpo-dossier")
    await window.follow("Préparer son effacement")
    await window.seen("dpo-erasure")
    await window.page.get_by_label("Tapez EFFACER").fill("EFFACER")
    await window.press("Effacer sans retour")
    await window.seen("dpo-certificate")


async def test_every_other_page(window: Window, agreement: str) -> None:
    """Registers, alerts, breaches and the officer's own questions."""
    await enter(window)
    for path in ("personne", "demandes", "registre", "violation?worker=release-1", "alertes", "consultations"):
        await window.go(f"/dpo/{path}")
        await window.seen(f"dpo-{path.partition('?')[0]}")

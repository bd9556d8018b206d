"""A citizen's journey in a real browser, on the real bus, through the identity sandbox."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from tests.browser.conftest import Opening
from tests.browser.window import Window

MAELLE, ODILE = "Maëlle TREVARIN", "Odile CAZELMAS"


async def said(dev: dict[str, Any], *words: str) -> str:
    """What a command says, as the collectivity runs it."""
    argv = [sys.executable, "-m", "exchange.cli", *words, "--data", dev["data"]]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    return (await process.communicate())[0].decode()


async def accord(dev: dict[str, Any], *words: str) -> dict[str, Any]:
    """The last object a command says."""
    found: dict[str, Any] = json.loads((await said(dev, *words, "--json")).splitlines()[-1])
    return found


async def be(window: Window, name: str) -> None:
    """At the sandbox, be this person."""
    await window.page.get_by_role("listitem").filter(has_text=name).first.get_by_role("button").click()
    await window.page.wait_for_load_state()


async def reads(window: Window, text: str) -> None:
    await window.page.get_by_text(text).first.wait_for()


async def test_from_the_request_to_the_withdrawal(window: Window, dev: dict[str, Any]) -> None:
    """Asked for, read, given by a login for it, used, seen, withdrawn: each page passes; afterwards nothing more can be asked."""
    consent = (await accord(dev, "consent", "request"))["consent"]
    await window.go(f"/mes-accords/demande/{consent}")
    await window.seen("citizen-asked")
    await window.follow("M'identifier pour accepter")
    await window.seen("identity-sandbox")
    await be(window, MAELLE)
    await reads(window, f"Vous êtes {MAELLE}")
    await window.seen("citizen-ready")
    await window.press("J'accepte")
    await reads(window, "Votre accord est donné")
    await accord(dev, "consent", "capsule", consent)
    answered = await accord(dev, "request", "cnaf.quotient-familial.v1", "--consent", consent)
    assert answered["data"]["quotient_familial"]["valeur"] == 742
    await window.go("/mes-accords")
    await reads(window, "Utilisé 1 fois")
    await window.seen("citizen-agreements")
    await window.go(f"/mes-accords/accord/{consent}")
    await reads(window, "Réponse transmise")
    await window.seen("citizen-agreement")
    await window.press("Retirer mon accord")
    await reads(window, "C'est fait : plus rien ne peut être transmis")
    await window.seen("citizen-withdrawn")
    assert (await accord(dev, "request", "cnaf.quotient-familial.v1", "--consent", consent))["error"] == "withdrawn"


async def test_refusing_and_coming_back_with_a_code(window: Window, dev: dict[str, Any]) -> None:
    """Refused in one button without a login; a receipt's code opens that agreement in another browser."""
    consent = (await accord(dev, "consent", "request"))["consent"]
    await window.go(f"/mes-accords/demande/{consent}")
    await window.press("Je refuse")
    await reads(window, "Votre refus est enregistré")
    await window.seen("citizen-refused")
    code = json.loads(await said(dev, "receipt", "show", consent, "--format", "json-ld"))["accord:shortCode"]
    await window.context.clear_cookies()
    await window.go("/mes-accords")
    await window.seen("citizen-doors")
    await window.page.get_by_label("Code imprimé sur le reçu").fill("0000 0000 0000 0000")
    await window.press("Ouvrir cet accord")
    await reads(window, "Aucun accord sous ce code")
    await window.seen("citizen-wrong-code")
    await window.page.get_by_label("Code imprimé sur le reçu").fill(code.lower())
    await window.press("Ouvrir cet accord")
    assert window.page.url.endswith(consent)


async def test_a_parent_answers_for_their_child(window: Window, dev: dict[str, Any]) -> None:
    """Named (an adult is not let through), recapped, given by the parent's login, used, seen in the parent's list, withdrawn."""
    consent = (await accord(dev, "consent", "request"))["consent"]
    await window.go(f"/mes-accords/demande/{consent}")
    await window.follow("Répondre pour mon enfant")
    await window.seen("citizen-child")
    page = window.page
    for label, text in (
        ("Nom de naissance", "TREVARIN"),
        ("Prénoms", "Léo"),
        ("Jour", "5"),
        ("Mois", "6"),
        ("Année", "1990"),
    ):
        await page.get_by_label(label, exact=True).fill(text)
    await page.get_by_label("Masculin").check()
    await page.get_by_role("radio", name="À l'étranger").check()
    await window.press("Continuer")
    await reads(window, "Cette personne est majeure")
    await window.seen("citizen-child-of-age")
    await page.get_by_label("Année", exact=True).fill("2018")
    await window.press("Continuer")
    await reads(window, "Accepter pour mon enfant")
    await window.seen("citizen-child-recap")
    await window.follow("M'identifier pour accepter")
    await be(window, MAELLE)
    await reads(window, f"Vous êtes {MAELLE}")
    await window.seen("citizen-child-ready")
    await window.press("Je le déclare, et j'accepte pour mon enfant")
    await reads(window, "Votre accord est donné au nom de votre enfant")
    await window.go("/mes-accords")
    await reads(window, "un parent, au nom de son enfant mineur : Léo")
    await window.seen("citizen-child-listed")
    await window.go(f"/mes-accords/accord/{consent}")
    await window.press("Retirer mon accord")
    await reads(window, "C'est fait : plus rien ne peut être transmis")


async def test_by_keyboard_alone(opened: Opening, dev: dict[str, Any]) -> None:
    """The way to the refusal, without a mouse: skip link, buttons, each with a focus one can see."""
    window = await opened()
    consent = (await accord(dev, "consent", "request"))["consent"]
    page = await window.go(f"/mes-accords/demande/{consent}")
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    for _ in range(30):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent.trim()") == "Je refuse":
            break
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.keyboard.press("Enter")
    await reads(window, "Votre refus est enregistré")


async def test_giving_up_at_the_identity_provider(opened: Opening, dev: dict[str, Any]) -> None:
    """Who turns back at the login reads why and what else they may do; who logs out leaves nothing here."""
    window = await opened()
    await window.go("/mes-accords")
    await window.follow("S'identifier avec FranceConnect")
    await window.press("Renoncer")
    await reads(window, "identification abandonnée ou refusée")
    await window.seen("login-refused")
    await window.go("/mes-accords")
    await window.follow("S'identifier avec FranceConnect")
    await be(window, ODILE)
    await reads(window, f"Bonjour, {ODILE}")
    await window.seen("citizen-nothing")
    await window.follow("Se déconnecter")
    await window.seen("log-out")
    await window.press("Se déconnecter")
    await window.page.wait_for_url("**/deconnexion?state=*")
    await reads(window, "Vous êtes déconnecté")


STUDENT, SHOWN = "Nina DELESTRADE", "cnous.etudiant-boursier.v2"


async def waits(dev: dict[str, Any], folder: Path, **instead: str) -> str:
    """An agreement of the student's, under which an answer waits for her; its id. The collectivity is told that it has to wait. `instead`
    of where she was born, where the table of communes has no such place."""
    who = {
        "nomNaissance": "DELESTRADE", "prenoms": ["Nina"], "anneeDateNaissance": 2006, "moisDateNaissance": 4, "jourDateNaissance": 3,
        "sexeEtatCivil": "F", "codeCogInseePaysNaissance": "99100", "codeCogInseeCommuneNaissance": "35238",
    }  # fmt: skip
    file = folder / "nina.json"
    file.write_text(json.dumps({name: value for name, value in (who | instead).items() if value}))
    consent = str((await accord(dev, "consent", "give", "--identity", str(file), "--dataset", SHOWN))["consent"])
    told = await accord(dev, "request", SHOWN, "--consent", consent, "--timeout", "8")
    assert told["error"] == "preview_pending"
    return consent


async def look(window: Window, consent: str) -> None:
    """Log in as the student, and look at what waits under this agreement."""
    await window.go(f"/connexion/citizen?next=/mes-accords/accord/{consent}")
    await be(window, STUDENT)
    await window.follow("vérifier ce qui serait transmis")
    await reads(window, "Rien n'est encore parti")


async def test_an_answer_is_looked_at_before_it_leaves(window: Window, dev: dict[str, Any], tmp_path: Path) -> None:
    """Asked for, shown first: one button hands it over, the page says that it left."""
    consent = await waits(dev, tmp_path)
    await look(window, consent)
    await window.seen("citizen-preview")
    await window.page.get_by_role("button", name="Transmettre", exact=True).click()
    await reads(window, "la réponse va être transmise")
    await window.seen("citizen-let-through")
    for _ in range(40):
        await window.go(f"/mes-accords/accord/{consent}")
        if await window.page.get_by_text("Réponse transmise").count():
            break
        await asyncio.sleep(0.25)
    await reads(window, "Réponse transmise")


async def test_an_answer_is_looked_at_and_kept_back(window: Window, dev: dict[str, Any], tmp_path: Path) -> None:
    """The other button keeps it back: nothing left, the page says why, the agreement stands."""
    consent = await waits(dev, tmp_path)
    await window.go("/mes-accords")
    await look(window, consent)
    await window.press("Ne pas transmettre")
    await reads(window, "Rien n'est transmis. Votre dossier reste ouvert")
    await reads(window, "Rien transmis : vous avez dit non avant l'envoi")
    await window.seen("citizen-kept-back")
    await window.go("/mes-accords")
    await window.seen("citizen-with-previews")
    shown = await accord(dev, "consent", "show", consent)
    assert (shown["state"], shown["uses"]) == ("live", 0)
    assert [entry["kind"] for entry in shown["entries"]] == ["given", "preview_rejected", "refused"]

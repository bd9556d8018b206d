"""The counter's search for a place of birth, as `accord dev` starts: real communes, by name and date, nobody types a code."""

from __future__ import annotations

import re

import pytest

from tests.browser.test_guichet import begin, enter
from tests.browser.window import Window

CODE = re.compile(r"code (\w{5})")


async def asked(window: Window, place: str, year: str, *, abroad: bool = False) -> list[str]:
    """What the form shows for a place and a year of birth: the one found, or those to choose from."""
    page = window.page
    for label, value in (("Jour", "2"), ("Mois", "6"), ("Année", year)):
        await page.get_by_label(label, exact=True).fill(value)
    await page.get_by_role("radio", name="À l'étranger" if abroad else "En France").check()
    await page.get_by_label("Commune de naissance").fill(place)
    await window.press("Chercher le lieu")
    return [text.replace("\n", " ") for text in await page.locator(".found, .places label").all_inner_texts()]


@pytest.mark.parametrize(
    ("place", "year", "abroad", "found"),
    [
        ("rennes", "1980", False, ["35238"]),
        ("st denis", "1990", False, ["11339", "30247", "89342", "93066", "97411"]),
        ("lyon 3e", "1985", False, ["69383"]),
        ("ajaccio", "1970", False, ["20004"]),
        ("ajaccio", "1990", False, ["2A004"]),
        ("cherbourg", "2010", False, ["50129"]),
        ("algerie", "1975", True, ["99352"]),
        ("yougoslavie", "1980", True, ["99121"]),
    ],
)
async def test_a_place_is_found(window: Window, place: str, year: str, abroad: bool, found: list[str]) -> None:
    """Big towns, homonyms, arrondissements, a code that changed with Corsica, a commune before it merged, countries that are no more."""
    await enter(window)
    await begin(window, "guichet")
    await window.press("Lire le texte")
    await window.press("Elle accepte")
    shown = await asked(window, place, year, abroad=abroad)
    assert sorted(CODE.findall(" ".join(shown))) == found, shown


async def test_a_place_the_sandbox_does_not_know(window: Window) -> None:
    """Its table is an excerpt and says so: another commune's code may be typed."""
    await enter(window)
    await begin(window, "guichet")
    await window.press("Lire le texte")
    await window.press("Elle accepte")
    assert await asked(window, "Plougastel-Daoulas", "1980") == []
    assert "n'en connaît que quelques-unes" in await window.page.content()
    await window.seen("guichet-person-unknown-place")
    await window.page.get_by_label("Nom de naissance").fill("Cordelier")
    await window.page.get_by_role("radio", name="Féminin").check()
    await window.page.get_by_label("Commune de naissance").fill("29189")
    await window.press("Continuer")
    assert "29189" in await window.page.content() and "/recapitulatif" in window.page.url

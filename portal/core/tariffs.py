"""What a family pays, from what the State said: small tables, to be replaced by a town's own. Amounts in cents. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Tariff(NamedTuple):
    """An amount, what it is for, and how it was found: texts in French and English."""

    cents: int
    per_fr: str
    per_en: str
    how_fr: str
    how_en: str


CANTEEN = ((400, 100), (650, 210), (900, 340), (1200, 460), (None, 590))
"""Up to this quotient familial (excluded), this much a meal; our own example of a town's table."""

EFFORT = {1: 619, 2: 516, 3: 413, 4: 310, 5: 310, 6: 310, 7: 310, 8: 206}
"""The national scale of crèches (PSU, group care): millionths of the month's income an hour, by number of children; eight or more, the last."""
INCOME_MIN, INCOME_MAX = 801, 8_500
"""Euros a month between which income counts: the floor and ceiling a town sets as the CNAF publishes them."""


def canteen(data: Mapping[str, Any]) -> Tariff | None:
    """The price of a meal, from a quotient familial; None where there is none."""
    value = (data.get("quotient_familial") or {}).get("valeur")
    if value is None:
        return None
    cents = next(cents for limit, cents in CANTEEN if limit is None or value < limit)
    return Tariff(
        cents,
        "le repas",
        "a meal",
        f"d'après un quotient familial de {value} €",
        f"from a quotient familial of {value} €",
    )


def creche(data: Mapping[str, Any]) -> Tariff | None:
    """The price of an hour, from the year's income and the children; a child who gets the AEEH counts as one more. None without them."""
    found = data.get("parametres_calcul_participation_familiale")
    if not found:
        return None
    children = found["nombre_enfants_a_charge"] + found["nombre_enfants_beneficiaire_aeeh"]
    month = found["base_ressources_annuelles"]["valeur"] / 12
    counted = min(max(month, INCOME_MIN), INCOME_MAX)
    rate = EFFORT[min(max(children, 1), 8)]
    how = f"{counted:.0f} € × {rate / 10_000:.4f} %"
    return Tariff(
        round(counted * rate / 10_000), "l'heure", "an hour",
        f"{how.replace('.', ',')} : ressources du mois, {children} enfants comptés", f"{how}: the month's income, {children} children counted",
    )  # fmt: skip

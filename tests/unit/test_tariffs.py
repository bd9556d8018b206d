"""Prices are what their tables say."""

from __future__ import annotations

from typing import Any

import pytest

from portal.core.tariffs import canteen, creche


@pytest.mark.parametrize(
    ("value", "cents"), [(0, 100), (399, 100), (400, 210), (742, 340), (1199, 460), (1200, 590), (9999, 590)]
)
def test_canteen(value: int, cents: int) -> None:
    """A meal by quotient familial, bounds excluded."""
    tariff = canteen({"quotient_familial": {"valeur": value}})
    assert tariff is not None and tariff.cents == cents and str(value) in tariff.how_fr


def _family(income: int, children: int, aeeh: int = 0) -> dict[str, Any]:
    said = {
        "nombre_enfants_a_charge": children,
        "nombre_enfants_beneficiaire_aeeh": aeeh,
        "base_ressources_annuelles": {"valeur": income},
    }
    return {"parametres_calcul_participation_familiale": said}


@pytest.mark.parametrize(
    ("income", "children", "aeeh", "cents"),
    [(36_000, 1, 0, 186), (36_000, 2, 0, 155), (36_000, 2, 1, 124), (40_923, 3, 1, 106), (0, 1, 0, 50), (240_000, 1, 0, 526), (36_000, 12, 0, 62), (36_000, 0, 0, 186)],
)  # fmt: skip
def test_creche(income: int, children: int, aeeh: int, cents: int) -> None:
    """An hour: the month's income between floor and ceiling, times the national rate for as many children, one more where one gets the AEEH."""
    tariff = creche(_family(income, children, aeeh))
    assert tariff is not None and tariff.cents == cents


def test_nothing_to_go_by() -> None:
    """Without the datum there is no price."""
    assert canteen({}) is None and creche({}) is None and canteen({"quotient_familial": {"valeur": None}}) is None

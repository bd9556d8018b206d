"""SIREN, SIRET, NIR and purposes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.referentials import PURPOSES, is_nir, is_purpose, is_siren, is_siret
from exchange.introduction import PURPOSES as INTRODUCED

DINUM = "13002526500013"


def keyed(body: str) -> str:
    """A NIR with its key (97 less the rest by 97), 2A and 2B as 19 and 18."""
    number = int(body.replace("2A", "19").replace("2B", "18"))
    return f"{body}{97 - number % 97:02d}"


@pytest.mark.parametrize("siret", [DINUM, "21130055300016", "35600000000048", "35600000049837"])
def test_a_siret(siret: str) -> None:
    """DINUM, Marseille, La Poste's seat (Luhn) and an establishment of La Poste (a sum that five divides)."""
    assert is_siret(siret) and is_siren(siret[:9])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "13002526500014",
        "130025265 00013",
        "1300252650001",
        "130025265000130",
        "35600000049838",
        "１３００２５２６５０００１３",
        "A3002526500013",
    ],
)
def test_no_siret(text: str) -> None:
    """A wrong key, spaces, too few or too many digits, other scripts' digits, letters."""
    assert not is_siret(text) and not is_siren(text)


@given(st.integers(0, 13), st.integers(1, 9))
def test_one_wrong_digit_is_seen(place: int, shift: int) -> None:
    """Whatever digit of a SIRET is another, it is none."""
    other = str((int(DINUM[place]) + shift) % 10)
    assert not is_siret(DINUM[:place] + other + DINUM[place + 1 :])


@pytest.mark.parametrize(
    "body", ["1800799999001", "2800720999001", "280072A999001", "280072B999001", "1802099999001", "7805599999001"]
)
def test_a_nir(body: str) -> None:
    """Both sexes, Corsica before and since 1976, an unknown month, a number in the making."""
    assert is_nir(keyed(body))


@pytest.mark.parametrize("body", ["5800799999001", "1801399999001", "180072C999001", "18007999990010"])
def test_no_nir(body: str) -> None:
    """No such sex, no such month, no such département, too long; nor a good one with a wrong key, spaces or small letters."""
    number = keyed("280072A999001")
    assert (
        not is_nir(body + "00")
        and not is_nir(number[:-2] + "99")
        and not is_nir(number.lower())
        and not is_nir(f" {number}")
    )


def test_purposes_are_known() -> None:
    """What a bus is introduced with is among the purposes, each with its words in both languages and a purpose of the DPV."""
    assert set(INTRODUCED) <= set(PURPOSES)
    assert is_purpose("tarification-cantine") and not is_purpose("curiosite")
    for purpose in PURPOSES.values():
        assert purpose.fr and purpose.en and purpose.fr != purpose.en and purpose.dpv.startswith("dpv:")

"""A State's JSON object in the shape of its schema, and back."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.core.avro import BadAvro
from exchange.core.shape import complete, present
from exchange.schemas import catalogue

QUOTIENT = {"fournisseur": "CNAF", "valeur": 742, "annee": 2026, "mois": 3}
CODEC = catalogue().codec_of_data_set("cnaf.quotient-familial.v1")
ABSENT = dict.fromkeys(("quotient_familial", "allocataires", "enfants", "adresse"))


def test_absent_optional_fields_become_null_at_every_depth() -> None:
    """Roots, records and items of lists get their defaults; what is there stays."""
    said = complete(CODEC.schema, {"quotient_familial": QUOTIENT, "allocataires": [{"nom_naissance": "MARTIN"}]})
    assert said["enfants"] is None and said["adresse"] is None
    assert said["quotient_familial"] == {**QUOTIENT, "annee_calcul": None, "mois_calcul": None}
    assert said["allocataires"] == [
        {"nom_naissance": "MARTIN", "nom_usage": None, "prenoms": None, "date_naissance": None, "sexe": None}
    ]


def test_what_was_completed_is_of_the_schema_and_comes_back() -> None:
    """Encoded and decoded, only the roots that were there are there."""
    said = complete(CODEC.schema, {"quotient_familial": QUOTIENT, "enfants": []})
    back = present(CODEC.decode(CODEC.encode(said)))
    assert set(back) == {"quotient_familial", "enfants"} and back["enfants"] == []


def test_a_scope_that_was_not_granted_leaves_nothing() -> None:
    """Not a null, not an empty list: nothing. And nothing at all is an empty object."""
    assert present({**ABSENT, "enfants": []}) == {"enfants": []}
    assert present(ABSENT) == {}
    assert complete(CODEC.schema, {}) == ABSENT


@pytest.mark.parametrize(
    "value",
    [
        {"nouveau": 1},
        {"quotient_familial": {**QUOTIENT, "nouveau": 1}},
        {"quotient_familial": {}},
        {"quotient_familial": []},
        {"quotient_familial": {**QUOTIENT, "valeur": "742"}},
        {"allocataires": {}},
        {"allocataires": ["MARTIN"]},
        [],
        None,
        7,
    ],
)
def test_what_is_not_of_the_schema_is_left_for_the_codec_to_refuse(value: Any) -> None:
    """Completing never hides an unknown field, a missing one without default, or a wrong type."""
    with pytest.raises(BadAvro):
        CODEC.encode(complete(CODEC.schema, value))

"""What people read of a consent: every purpose and every scope, in both languages."""

from __future__ import annotations

import pytest

from connectors.rest.descriptions import parts_of
from consent.core import wording
from consent.receipts import words_of
from exchange.core.referentials import PURPOSES, is_purpose, purposes_of
from exchange.data_sets import DATA_SETS


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_every_scope_has_its_words(data_set: str) -> None:
    """No scope of any data set is shown under its code, nor in French to who reads English."""
    _, labels = words_of(data_set)
    for name in DATA_SETS[data_set].scopes:
        words = wording.scope(name, labels.get(name, ""))
        assert words.fr and words.en and name not in words and words.fr != words.en, name
    assert wording.SCOPES_FR.keys() <= wording.SCOPES_EN.keys()


def test_a_scope_of_several_fields_has_its_own_french() -> None:
    """The doc of one field does not say what the scope opens."""
    for data_set in DATA_SETS:
        scopes = [field["scope"] for part in parts_of(data_set).values() for field in part.schema["fields"]]
        several = {scope for scope in scopes if scopes.count(scope) > 1}
        assert several <= wording.SCOPES_FR.keys()


def test_every_purpose_has_its_words() -> None:
    """What a referential calls a purpose, a receipt says in a sentence, in both languages."""
    assert wording.PURPOSES.keys() == PURPOSES.keys()


@pytest.mark.parametrize("data_set", DATA_SETS)
def test_a_data_set_has_a_purpose_that_fits(data_set: str) -> None:
    """The purposes a command chooses are known ones; what is asked by a SIRET is for a public contract, what is about people is not."""
    purposes = purposes_of(data_set)
    assert purposes and all(map(is_purpose, purposes))
    company = all("siret" in part.operations[0].needs for part in parts_of(data_set).values())
    assert (purposes == ("marche-public",)) is company

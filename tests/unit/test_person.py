"""A place of birth as it is typed: searched where there is a table, a code where there is none, or only an excerpt."""

from __future__ import annotations

import pytest

from exchange.core.cog import FIRST, LAST, Cog, Place
from portal.core.gazetteer import Gazetteer
from portal.core.person import Typed, read, shown

NOW_MS = 1_795_000_000_000
PLACES = [
    Place("commune", "35238", FIRST, LAST, "Rennes"),
    Place("pays", "99352", FIRST, LAST, "Algérie"),
    Place("pays", "99100", FIRST, LAST, "France"),
]
WHOLE, EXCERPT = Gazetteer(Cog.of(PLACES)), Gazetteer(Cog.of(PLACES, partial=True))


def typed(**fields: str) -> Typed:
    common = {"nom_naissance": "Cordelier", "sexe": "F", "jour": "2", "mois": "1", "annee": "1980", "ne_en": "france"}
    return Typed(common | fields, sent=True)


@pytest.mark.parametrize(
    ("gazetteer", "lieu", "code"),
    [
        (WHOLE, "rennes", "35238"), (EXCERPT, "rennes", "35238"), (None, "29189", "29189"), (EXCERPT, "29189", "29189"),
        (EXCERPT, "2a004", "2A004"), (WHOLE, "29189", ""), (EXCERPT, "Brest", ""), (EXCERPT, "", ""),
    ],
)  # fmt: skip
def test_the_commune_of_a_birth(gazetteer: Gazetteer | None, lieu: str, code: str) -> None:
    """A whole table takes no code it does not hold; an excerpt takes one that looks like a code, and no name it does not know."""
    found = read(typed(lieu=lieu), gazetteer, NOW_MS)
    assert (found.identity.code_cog_insee_commune_naissance if found.identity else "") == code
    assert bool(found.identity) == ("lieu" not in found.problems)


def test_a_page_says_that_it_is_an_excerpt() -> None:
    """The form tells whoever searches; beside a whole table it does not."""
    assert [shown(typed(lieu="x"), one, NOW_MS)["partial"] for one in (None, WHOLE, EXCERPT)] == [False, False, True]

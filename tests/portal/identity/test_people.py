"""The sandbox's people hold to what real ones are held to."""

from __future__ import annotations

import pytest

from connectors.sandbox import FAMILIES, load_cases
from exchange.core import cog
from exchange.core.franceconnect import identity_of
from exchange.referentials import SANDBOX
from portal.identity.people import Person, people

EVERYBODY = people(load_cases(FAMILIES)).citizens
WHOLE = [one for one in EVERYBODY if {"birthcountry", "family_name"} <= one.claims.keys()]


@pytest.mark.parametrize("one", WHOLE, ids=lambda one: one.id)
def test_everybody_was_born_somewhere(one: Person) -> None:
    """Place and country are codes of their day, by the validators of production and with no gap in the table excused."""
    with SANDBOX.open(encoding="utf-8", newline="") as file:
        table = cog.read(file)._replace(partial=False)
    identity = identity_of(one.claims)
    unknown = {"code_cog_insee_pays_naissance"} if identity.code_cog_insee_pays_naissance == "99999" else set()
    assert set(cog.check(identity, table)) <= unknown


def test_the_edges_are_there() -> None:
    """Those that asked for are named: abroad, New Caledonia, unknown country, missing day and month, no given name, from elsewhere in Europe."""
    assert {"abroad", "new-caledonia", "unknown-country", "no-day", "no-month", "no-given-name", "eidas"} <= {
        one.id for one in EVERYBODY
    }

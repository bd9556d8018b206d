"""By what agents and officers are known, and who among them may enter."""

from __future__ import annotations

import json
import re

import pytest
from typer.testing import CliRunner

from consent.core.agreement import reference_of
from exchange.cli import app
from portal.core.login import NotLoggedIn
from portal.identity.accounts import Configured, Directory, admit

ONE, OTHER = "https://one.test/api/v2", "https://other.test/api/v2"


def test_a_reference_is_of_an_issuer_and_a_subject() -> None:
    """The same login has the same; another issuer, another subject, or a cut elsewhere between the two, another."""
    assert re.fullmatch(r"[0-9a-f]{32}", reference_of(ONE, "s-1")) and reference_of(ONE, "s-1") == reference_of(
        ONE, "s-1"
    )
    others = [
        reference_of(*one) for one in ((OTHER, "s-1"), (ONE, "s-2"), (f"{ONE}s", "-1"), ("", f"{ONE}s-1"), (ONE, ""))
    ]
    assert len({reference_of(ONE, "s-1"), *others}) == 6


def test_an_operator_is_told_a_reference() -> None:
    """The command says what a login would be known by."""
    said = CliRunner().invoke(app, ["portal", "reference", ONE, "s-1", "--json"])
    assert json.loads(said.stdout) == {"reference": reference_of(ONE, "s-1")}


def enters(named: str, issuer: str, *issuers: str) -> bool:
    clients = tuple(
        Configured(name=f"a{at}", kind="agent", issuer=one, client_id="c") for at, one in enumerate(issuers)
    )
    try:
        admit(Directory(clients, {"officer": (named,)}), "officer", issuer, "s-1")
    except NotLoggedIn:
        return False
    return True


@pytest.mark.parametrize("issuers", [(ONE,), (ONE, OTHER)])
def test_who_is_named_by_reference_enters(issuers: tuple[str, ...]) -> None:
    """However many providers agents have."""
    assert enters(reference_of(ONE, "s-1"), ONE, *issuers) and enters("*", ONE, *issuers)
    assert not enters(reference_of(OTHER, "s-1"), ONE, *issuers) and not enters("", ONE, *issuers)


def test_a_bare_subject_names_one_only_where_there_is_one_provider() -> None:
    """Two providers could give the same to two people: then it names nobody."""
    assert enters("s-1", ONE, ONE) and enters("s-1", ONE, ONE, ONE)
    assert not enters("s-1", ONE, ONE, OTHER) and not enters("s-1", OTHER, ONE, OTHER) and not enters("s-2", ONE, ONE)

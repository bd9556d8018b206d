"""`accord consent give`: an identity is judged as it enters, before anything is recorded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exchange import referentials
from exchange.cli import app

PERSON: dict[str, Any] = {"nomNaissance": "MARTIN", "prenoms": ["Jeanne"], "anneeDateNaissance": "1980", "codeCogInseePaysNaissance": "99100"}  # fmt: skip
NOWHERE = {**PERSON, "codeCogInseeCommuneNaissance": "20901"}
NIR = {**PERSON, "nir": "280010012345678"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A data directory with the fictitious table of places, and no ledger: nothing could be recorded."""
    referentials.write(referentials.build(referentials.EXCERPT), tmp_path / referentials.TABLE)
    return tmp_path


def give(place: Path, person: dict[str, Any], *more: str) -> tuple[int, dict[str, Any]]:
    file = place / "person.json"
    file.write_text(json.dumps(person), encoding="utf-8")
    ran = CliRunner().invoke(app, ["consent", "give", "--identity", str(file), "--data", str(place), "--json", *more])
    assert isinstance(ran.exception, SystemExit), ran.exception
    return ran.exit_code, json.loads(ran.stdout)


@pytest.mark.parametrize("person", [NOWHERE, NIR])
def test_who_cannot_be_is_refused(place: Path, person: dict[str, Any]) -> None:
    """A birthplace that was none, or a number this bus does not take (a NIR): `bad_identity`, exit code 2, no value repeated."""
    code, told = give(place, person)
    assert (code, told["error"]) == (2, "bad_identity")
    assert not any(number in json.dumps(told) for number in ("20901", str(NIR["nir"])))


@pytest.mark.parametrize("other", [NOWHERE, NIR])
def test_who_speaks_for_them_is_judged_too(place: Path, other: dict[str, Any]) -> None:
    """The same for a representative; the person alone would have gone on to the ledger, which is not there (4)."""
    speaker = place / "speaker.json"
    speaker.write_text(json.dumps(other), encoding="utf-8")
    code, told = give(place, PERSON, "--represented-by", str(speaker))
    assert (code, told["error"]) == (2, "bad_identity")
    assert give(place, PERSON)[0] == 4

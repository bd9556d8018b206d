"""`accord journal`: the access log as the data protection officer meets it."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from exchange.cli import app
from exchange.journal.store import DAY_MS, JournalStore, Line
from exchange.places import Places
from exchange.testing import START_MS

A, DAY = bytes(range(16)), "2027-01-15"  # START_MS falls on that day


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data directory with three entries, a day apart: asked, refused, then somebody else's."""
    asked = Line("requested", START_MS, "211300553", "21130055300016", "operator", b"r" * 16, A, "cnaf.quotient-familial.v1",
                 "tarification-cantine", "", "", "requests.211300553.v1", 0, 7)  # fmt: skip
    judged = asked._replace(step="judged", at_ms=START_MS + DAY_MS, recipient="", origin="gate", code="refused", reason="withdrawn",
                            topic="verdicts.v1")  # fmt: skip
    other = asked._replace(
        at_ms=START_MS + 2 * DAY_MS, operator="999999999", recipient="1" * 14, authorisation=bytes(16), offset=8
    )
    store = JournalStore(Places(tmp_path).journal)
    asyncio.run(store.add([asked, judged, other]))
    store.close()
    return tmp_path


def accord(folder: Path, *arguments: str, code: int = 0, **env: str) -> str:
    done = CliRunner().invoke(app, ["journal", *arguments, "--data", str(folder)], env={"LC_ALL": "fr_FR.UTF-8"} | env)
    assert done.exit_code == code, done.output
    return done.output


def lines(folder: Path, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    return [json.loads(line) for line in accord(folder, *arguments, "--json", code=code).splitlines()]


def test_show(folder: Path) -> None:
    """One object a line, oldest first: who, what, when, what became of it."""
    assert lines(folder, "show")[:2] == [
        {"at": "2027-01-15T08:00:00.000Z", "step": "requested", "operator": "211300553", "recipient": "21130055300016",
         "origin": "operator", "request": "72" * 16, "authorisation": A.hex(), "data_set": "cnaf.quotient-familial.v1",
         "purpose": "tarification-cantine", "code": "", "reason": ""},
        {"at": "2027-01-16T08:00:00.000Z", "step": "judged", "operator": "211300553", "recipient": "", "origin": "gate",
         "request": "72" * 16, "authorisation": A.hex(), "data_set": "cnaf.quotient-familial.v1", "purpose": "tarification-cantine",
         "code": "refused", "reason": "withdrawn"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ((), 3), (("--operator", "211300553"), 2), (("--recipient", "21130055300016"), 2), (("--recipient", "1" * 14), 1),
        (("--request", "72" * 16), 3), (("--authorisation", A.hex()), 2), (("--since", "2027-01-16"), 2),
        (("--since", "2027-01-16", "--until", "2027-01-17T00:00:00+00:00"), 1), (("--limit", "1"), 1), (("--limit", "0"), 3),
        (("--operator", "' OR 1=1 --"), 0),
    ],
)  # fmt: skip
def test_filters(folder: Path, filters: tuple[str, ...], count: int) -> None:
    """By operator, recipient, request, agreement and period."""
    assert len(lines(folder, "show", *filters)) == count


def test_csv_and_table(folder: Path) -> None:
    """The same as CSV with a heading, and as a table in the reader's language."""
    rows = list(csv.DictReader(io.StringIO(accord(folder, "show", "--csv"))))
    assert [row["step"] for row in rows] == ["requested", "judged", "requested"]
    assert [{k: str(v) for k, v in line.items()} for line in lines(folder, "show")] == rows
    assert "Étape" in accord(folder, "show", COLUMNS="300")
    assert "step" in accord(folder, "show", COLUMNS="300", LC_ALL="en_GB.UTF-8")


def test_purge_for_a_reason(folder: Path) -> None:
    """A court order takes a period, the purge says what it did, and shows up among the purges."""
    (done,) = lines(folder, "purge", "--reason", "court_order", "--by", "TJ Marseille 26/1", "--until", "2027-01-16")
    assert (done["removed"], done["reason"], done["by"], done["first"]) == (
        1,
        "court_order",
        "TJ Marseille 26/1",
        "2027-01-15T08:00:00.000Z",
    )
    assert lines(folder, "show", "--purges") == [done]
    assert len(lines(folder, "show")) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("purge", "--reason", "retention", "--by", "dpo", "--until", "2999-01-01"), 3, "too_early"),
        (("purge", "--reason", "erasure", "--by", "dpo"), 3, "unbounded"),
        (("purge", "--reason", "erasure", "--authorisation", "00" * 16), 3, "no_author"),
        (("hold", "--since", DAY), 3, "unbounded"),
        (("hold", "--since", DAY, "--until", "2027-02-01"), 3, "no_author"),
        (("hold", "--release", "12", "--by", "dpo"), 3, "no_hold"),
    ],
)
def test_refused(folder: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    """Without its reason, bounds or author nothing is removed, held or released: exit code 3, and what to do."""
    (error,) = lines(folder, *arguments, code=code)
    assert error["error"] == said and error["cause"] and error["todo"]
    assert len(lines(folder, "show")) == 3 and lines(folder, "show", "--purges") == lines(folder, "hold") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("purge",),
        ("purge", "--reason", "boredom"),
        ("show", "--since", "yesterday"),
        ("show", "--request", "12"),
        ("show", "--limit", "-1"),
    ],
)
def test_usage(folder: Path, arguments: tuple[str, ...]) -> None:
    """A purge without reason, or with one that is not on the list; a date or id that is none."""
    assert "Traceback" not in accord(folder, *arguments, code=2)


def test_hold(folder: Path) -> None:
    """A held day stays through a court order until its hold is released."""
    (held,) = lines(folder, "hold", "--since", DAY, "--until", "2027-01-16", "--why", "enquête 7", "--by", "procureur")
    assert (held["id"], held["since"], held["released"]) == (1, "2027-01-15T00:00:00.000Z", "")
    order = ("purge", "--reason", "court_order", "--by", "juge", "--operator", "211300553")
    assert [(p["removed"], p["held"]) for p in lines(folder, *order)] == [(1, 1)]
    (held,) = lines(folder, "hold", "--release", "1", "--by", "procureur")
    assert held["released_by"] == "procureur" and held["released"]
    assert [(p["removed"], p["held"]) for p in lines(folder, *order)] == [(1, 0)]


def test_words(folder: Path) -> None:
    """A purge in words, French first."""
    said = accord(folder, "purge", "--reason", "authority", "--by", "CNIL", "--operator", "211300553")
    assert "2 entrées effacées" in said


def test_no_journal(tmp_path: Path) -> None:
    """Where no worker ever wrote: 4, and nothing is made."""
    for command in (("show",), ("purge", "--reason", "retention"), ("hold",)):
        (error,) = lines(tmp_path, *command, code=4)
        assert error["error"] == "no_journal"
    assert list(tmp_path.iterdir()) == []

"""`accord dpo` as a data protection officer meets it, on a ledger that no process serves."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from consent.core.query import Row
from consent.keys import open_keys
from consent.verify import policy, verify
from exchange.cli import app
from exchange.core.referentials import purposes_of
from exchange.data_sets import DATA_SETS
from exchange.places import Places
from exchange.sealing import public_bytes
from exchange.testing import START_MS
from exchange.trust import Trust
from tests.world import RECIPIENT, World

DPO, OTHER = "dpo@ville.example", "21310555400017"
ASKED = ("--officer", DPO, "--reason", "plainte 2026-17")
PERSON = {
    "nomNaissance": "MARTIN", "prenoms": ["Jeanne"], "anneeDateNaissance": 1980, "moisDateNaissance": 1, "jourDateNaissance": 2,
    "sexeEtatCivil": "F",
}  # fmt: skip


class Here(NamedTuple):
    """A data directory with one agreement of Jeanne's, released once by `release-1`, and the log's key."""

    folder: Path
    agreement: str
    request: str
    vkey: str


@pytest.fixture
def here(tmp_path: Path) -> Here:
    made = asyncio.run(_made(Places(tmp_path / "bus")))
    accord(made, "appoint", DPO, "--until", "2099-01-01", "--recipient", RECIPIENT)
    return made


async def _made(places: Places) -> Here:
    keys = open_keys(places.ledger_keys, "accord.test/cli")
    Trust(keys.verifier, public_bytes(keys.certificate), public_bytes(keys.registrar)).save(places.trust)
    world = await World.open(places.store, keys)
    a = await world.give()
    asked, answer = await world.answered(a)
    await world.ledger.release([answer], [], "release-1")
    world.engine.dispose()
    return Here(places.root, a.hex(), asked.key.request.hex(), str(keys.verifier))


def accord(here: Here, *arguments: str, code: int = 0, stdin: str = "", **env: str) -> str:
    said = {"LC_ALL": "fr_FR.UTF-8", "COLUMNS": "100"} | env
    done = CliRunner().invoke(app, ["dpo", *arguments, "--data", str(here.folder)], input=stdin, env=said)
    assert done.exit_code == code, done.output
    assert "Traceback" not in done.output
    return done.stdout


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_query_in_json_carries_proofs_that_others_verify(here: Here) -> None:
    """Each line has a tlog-proof, the last line the checkpoint, the query's own leaf, the perimeter."""
    row, last = lines(accord(here, "query", *ASKED, "--recipient", RECIPIENT, "--json"))
    assert (row["authorisation"], row["state"], row["uses"]) == (here.agreement, "live", 1)
    found = verify(row["proof"].encode(), policy(here.vkey), 0)
    assert (found.leaf_index, found.size) == (row["leaf_index"], last["query_leaf"] + 1)
    assert (last["total"], last["next"], last["recipients"]) == (1, "", [RECIPIENT])


def test_a_query_as_a_table_and_as_csv(here: Here) -> None:
    """A person reads words and whole ids within 100 columns; a spreadsheet gets times and one line each."""
    shown = accord(here, "query", *ASKED)
    assert here.agreement in shown and "en vigueur" in shown and "consultation inscrite" in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert "in force" in accord(here, "query", *ASKED, LC_ALL="en_GB.UTF-8")
    (row,) = csv.DictReader(io.StringIO(accord(here, "query", *ASKED, "--csv")))
    assert (row["authorisation"], row["at"][:4]) == (here.agreement, "2027")
    assert list(csv.DictReader(io.StringIO(accord(here, "query", *ASKED, "--csv", "--state", "expired")))) == []
    assert set(row) == {name.removesuffix("_ms") for name in Row.__struct_fields__} - {"fact"} | {"leaf_index"}


def test_filters_by_day_and_by_person(here: Here) -> None:
    """The day it was given, and the person of a file, find it; the day after and somebody else do not; names are never arguments."""
    (here.folder / "person.json").write_text(json.dumps(PERSON), encoding="utf-8")
    about = ("--identity", str(here.folder / "person.json"), "--recipient", RECIPIENT, "--json")
    assert lines(accord(here, "query", *ASKED, *about))[-1]["total"] == 1
    somebody = json.dumps(PERSON | {"nomNaissance": "DURAND"})
    piped = ("--identity", "-", "--recipient", RECIPIENT, "--json")
    assert lines(accord(here, "query", *ASKED, *piped, stdin=somebody))[-1]["total"] == 0
    for day, total in (("2027-01-15", 1), ("2027-01-16", 0)):
        assert lines(accord(here, "query", *ASKED, "--day", day, "--json"))[-1]["total"] == total
    assert START_MS // 86_400_000 == 20_833


def test_pages_follow_each_other(here: Here) -> None:
    """`next` leads on; at the end it is empty."""
    accord(here, "query", *ASKED, "--limit", "1")
    (row, last) = lines(accord(here, "query", *ASKED, "--limit", "1", "--json"))
    assert row and last["next"] == ""


def test_the_basis_of_a_release(here: Here) -> None:
    """One answer: by what agreement, text, worker; every fact with its proof."""
    ground, _ = lines(accord(here, "basis", here.request, *ASKED, "--json"))
    assert (ground["code"], ground["worker"], ground["authorisation"]["authorisation"]) == (
        "released",
        "release-1",
        here.agreement,
    )
    assert {fact["kind"] for fact in ground["facts"]} == {"habilitation", "delegation", "given", "released"}
    for fact in ground["facts"]:
        assert verify(fact["proof"].encode(), policy(here.vkey), 0).leaf_index == fact["index"]
    shown = accord(here, "basis", here.request, *ASKED)
    assert "transmise" in shown and here.agreement in shown and "habilitation" in shown


def test_a_dossier_is_written_and_verified_offline(here: Here) -> None:
    """A file that the log's key alone verifies; one changed byte is refused, with 3."""
    file = here.folder / "dossier.zip"
    accord(here, "dossier", *ASKED, "--consent", here.agreement, "-o", str(file))
    (found,) = lines(accord(here, "verify", str(file), "--vkey", here.vkey, "--json"))
    assert found["ok"] and found["document"] == "dossier" and found["facts"] == 3
    assert "intact" in accord(here, "verify", str(file))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert '"error": "bad_checkpoint"' in accord(here, "verify", str(file), "--json", code=3)
    assert "MARTIN" in accord(here, "dossier", *ASKED, "--consent", here.agreement)


def test_the_register_of_processing_in_every_form(here: Here) -> None:
    """JSON, CSV, Markdown and screen tell the same activities: each data set the collectivity is habilitated for, for each purpose."""
    *activities, _ = lines(accord(here, "register", *ASKED, "--json"))
    assert {(a["data_set"], a["purpose"]) for a in activities} == {(d, p) for d in DATA_SETS for p in purposes_of(d)}
    assert len(list(csv.DictReader(io.StringIO(accord(here, "register", *ASKED, "--csv"))))) == len(activities)
    document = accord(here, "register", *ASKED, "--markdown")
    assert document.startswith("# Registre des activités de traitement\n\n## aide-sociale")
    assert "Quotient familial" in document and "CRPA L114-8" in accord(here, "register", *ASKED)


def test_a_breach_names_whom_it_touched(here: Here) -> None:
    """Through the worker that released: one person, one request; through another: none."""
    passed, last = lines(accord(here, "breach", *ASKED, "--worker", "release-1", "--from", "2027-01-01", "--json"))
    assert (passed["request"], passed["delivery"]) == (here.request, "unconfirmed")
    assert last["touched"] == [{"recipient": RECIPIENT, "requests": 1, "authorisations": 1, "subjects": 1}]
    assert here.request in accord(here, "breach", *ASKED, "--worker", "release-1")
    assert "Rien n'est passé" in accord(here, "breach", *ASKED, "--worker", "gate-9")
    assert accord(here, "breach", *ASKED, "--worker", "gate-9", "--csv").startswith("request,")


def test_an_erasure_and_its_certificate(here: Here) -> None:
    """Asked for twice before it is done; certified; the certificate verifies offline; the person is found no more."""
    reference = lines(accord(here, "query", *ASKED, "--json"))[0]["subject"]
    accord(here, "erase", *ASKED, "--subject", reference, stdin="n\n", code=1)
    assert lines(accord(here, "query", *ASKED, "--subject", reference, "--json"))[-1]["total"] == 1
    file = here.folder / "certificate.txt"
    accord(here, "erase", *ASKED, "--subject", reference, "--yes", "-o", str(file))
    (found,) = lines(accord(here, "verify", str(file), "--json"))
    assert found["ok"] and found["document"] == "erasure"
    assert lines(accord(here, "query", *ASKED, "--subject", reference, "--json"))[-1]["total"] == 0
    (again,) = lines(accord(here, "erase", *ASKED, "--subject", reference, "--yes", "--json"))
    assert again["certificate"] == file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("query", "--officer", "quidam", "--reason", "x"), 3, "officer_unknown"),
        (("query", "--officer", DPO, "--reason", " "), 3, "reason_missing"),
        (("query", *ASKED, "--recipient", OTHER), 3, "outside_perimeter"),
        (("basis", "00" * 16, *ASKED), 3, "nothing_found"),
        (("dossier", *ASKED, "--subject", "00" * 32), 3, "nothing_found"),
        (("erase", *ASKED, "--subject", "00" * 32, "--yes"), 3, "nothing_found"),
    ],
)
def test_refusals(here: Here, arguments: tuple[str, ...], code: int, said: str) -> None:
    """What an officer may not have is said in one line, with 3."""
    assert lines(accord(here, *arguments, "--json", code=code))[-1]["error"] == said


@pytest.mark.parametrize(
    "arguments",
    [
        ("query", "--reason", "x"), ("query", "--officer", DPO), ("query", *ASKED, "--subject", "zz"), ("query", *ASKED, "--state", "x"),
        ("query", *ASKED, "--basis", "x"), ("query", *ASKED, "--channel", "fax"), ("query", *ASKED, "--limit", "0"),
        ("query", *ASKED, "--from", "2027-02-30"), ("query", *ASKED, "--from", "2027-02-02", "--to", "2027-02-01"),
        ("query", *ASKED, "--after", "x"), ("query", *ASKED, "--identity", "-"), ("basis", "x", *ASKED), ("dossier", *ASKED),
        ("erase", *ASKED, "--yes"), ("breach", *ASKED, "--worker", "w", "--from", "2027-02-02", "--to", "2027-02-02"),
        ("appoint", "x", "--until", "2099-01-01"), ("appoint", "x", "--until", "2099-01-01", "--recipient", RECIPIENT, "--all"),
        ("appoint", "x", "--until", "2099-01-01", "--recipient", "1"), ("verify", "/nowhere"), ("verify", "/nowhere", "--vkey", "x"),
    ],
)  # fmt: skip
def test_usage(here: Here, arguments: tuple[str, ...]) -> None:
    """A wrong call leaves with 2."""
    accord(here, *arguments, code=2)


def test_bad_identity_names_the_field_only(here: Here) -> None:
    """The value is not repeated."""
    said = accord(here, "query", *ASKED, "--identity", "-", "--recipient", RECIPIENT, "--json",
                  stdin=json.dumps(PERSON | {"sexeEtatCivil": "SECRET"}), code=2)  # fmt: skip
    assert lines(said)[-1]["error"] == "bad_identity" and "SECRET" not in said

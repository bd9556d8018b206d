"""`accord consent import`, against a running ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from typer.testing import CliRunner

from consent.issuers import DECLARED, write_issuers
from exchange.cli import app
from exchange.clock import SystemClock
from exchange.core.rendering import rfc3339
from exchange.places import Places

RECIPIENT, DAY_MS = "21130055300016", 86_400_000
PERSON = {
    "nomNaissance": "MARTIN",
    "prenoms": ["Jeanne"],
    "anneeDateNaissance": "1980",
    "moisDateNaissance": "1",
    "jourDateNaissance": "2",
}
MAPPING = """
purposes: {"101": tarification-cantine}
data_sets: {FAMILY: cnaf.quotient-familial.v1}
scopes: {SUMMARY: [cnaf_quotient_familial], PROFILE: [cnaf_allocataires, cnaf_enfants]}
recipients: {marseille@fiu: "21130055300016"}
"""


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a running ledger that knows the collectivity."""
    folder = tmp_path_factory.mktemp("bus")
    write_issuers(Places(folder).issuers, DECLARED)
    argv = [sys.executable, "-m", "exchange.cli", "ledger", "run", "--data", str(folder), "--name", "ledger"]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline_s = monotonic() + 60
        while not Places(folder).ready("ledger").exists():
            assert process.poll() is None and monotonic() < deadline_s
            sleep(0.02)
        assert run("ledger", "introduce", "--data", str(folder)).exit_code == 0
        yield folder
    finally:
        process.terminate()
        assert process.wait(30) == 0


def run(*arguments: str, stdin: str = "") -> Any:
    return CliRunner().invoke(app, list(arguments), input=stdin, env={"LC_ALL": "fr_FR.UTF-8"})


class Case:
    """An artefact, its mapping and the person, in files."""

    def __init__(self, bus: Path, folder: Path, **changes: Any) -> None:
        now_ms, self.bus, self.folder = SystemClock().now_ms(), bus, folder
        body = {
            "consentStart": rfc3339(now_ms - DAY_MS), "consentExpiry": rfc3339(now_ms + 90 * DAY_MS), "consentMode": "STORE",
            "fetchType": "PERIODIC", "consentTypes": ["SUMMARY"], "fiTypes": ["FAMILY"], "DataConsumer": {"id": "marseille@fiu"},
            "Purpose": {"code": "101"}, "DataLife": {"unit": "DAY", "value": 30}, "Frequency": {"unit": "DAY", "value": 1},
        } | changes  # fmt: skip
        self.artefact, self.mapping, self.person = (
            folder / name for name in ("artefact.json", "names.yaml", "person.json")
        )
        self.artefact.write_text(json.dumps(body), encoding="utf-8")
        self.mapping.write_text(MAPPING, encoding="utf-8")
        self.person.write_text(json.dumps(PERSON), encoding="utf-8")

    def import_(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        where = ("--mapping", str(self.mapping), "--data", str(self.bus), "--json")
        done = run("consent", "import", str(self.artefact), *where, *(arguments or ("--identity", str(self.person))))
        assert done.exit_code == code, done.output
        return [json.loads(line) for line in done.stdout.splitlines()]

    def shown(self, consent: str) -> dict[str, Any]:
        done = run("consent", "show", consent, "--data", str(self.bus), "--json")
        assert done.exit_code == 0, done.output
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[0])
        return found


def test_imported_once(bus: Path, tmp_path: Path) -> None:
    """Recorded under what it says; importing it again gives the same agreement and changes nothing; another artefact gives another."""
    case = Case(bus, tmp_path)
    (first,) = case.import_()
    assert (first["outcome"], first["max_uses"], first["data_life_days"]) == ("imported", 91, 30)
    assert (first["evidence"], first["channel"]) == ("import:account-aggregator:declared", "online")
    assert case.import_() == [first]
    shown = case.shown(first["consent"])
    assert (shown["state"], shown["scopes"], shown["max_uses"]) == ("live", ["cnaf_quotient_familial"], 91)
    assert [entry["kind"] for entry in shown["entries"]] == ["given"]
    (other,) = Case(bus, tmp_path, DataLife={"unit": "DAY", "value": 31}).import_()
    assert other["consent"] != first["consent"]


def test_dry_run(bus: Path, tmp_path: Path) -> None:
    """Read and shown, nothing recorded; nobody need be named."""
    case = Case(bus, tmp_path, consentTypes=["SUMMARY", "PROFILE"])
    (found,) = case.import_("--dry-run")
    assert found["outcome"] == "importable" and len(found["scopes"]) == 3
    assert run("consent", "show", found["consent"], "--data", str(bus)).exit_code == 3


def test_refused_with_every_reason(bus: Path, tmp_path: Path) -> None:
    """What cannot be honoured: exit code 3 and all the reasons, in the reader's language, without a value of the artefact."""
    case = Case(bus, tmp_path, consentMode="STREAM", Frequency={"unit": "INF", "value": 1}, Purpose={"code": "secret"})
    (said,) = case.import_(code=3)
    assert said["error"] == "import_refused"
    assert [reason["code"] for reason in said["reasons"]] == ["mode", "purpose_unknown", "frequency"]
    words = run("consent", "import", str(case.artefact), "--identity", str(case.person), "--data", str(bus))
    assert words.exit_code == 3 and "finalité inconnue" in words.output and "secret" not in words.output


def test_withdrawn_does_not_come_back(bus: Path, tmp_path: Path) -> None:
    """An import repeated after a withdrawal is a conflict: the person's last word stands."""
    case = Case(bus, tmp_path, DataLife={"unit": "DAY", "value": 7})
    (found,) = case.import_()
    assert run("consent", "withdraw", found["consent"], "--data", str(bus)).exit_code == 0
    (said,) = case.import_(code=3)
    assert said["error"] == "conflict" and case.shown(found["consent"])["state"] == "withdrawn"


def test_somebody_else(bus: Path, tmp_path: Path) -> None:
    """The same artefact for another person is a conflict."""
    case = Case(bus, tmp_path, DataLife={"unit": "DAY", "value": 8})
    case.import_()
    case.person.write_text(json.dumps(PERSON | {"nomNaissance": "DURAND"}), encoding="utf-8")
    assert case.import_(code=3)[0]["error"] == "conflict"


def test_identity_from_standard_input(bus: Path, tmp_path: Path) -> None:
    """The person may come by standard input; the artefact too, but not both."""
    case = Case(bus, tmp_path, DataLife={"unit": "DAY", "value": 9})
    where = ("--mapping", str(case.mapping), "--data", str(bus), "--json")
    done = run("consent", "import", str(case.artefact), "--identity", "-", *where, stdin=json.dumps(PERSON))
    assert done.exit_code == 0, done.output
    again = run(
        "consent",
        "import",
        "-",
        "--identity",
        str(case.person),
        *where,
        stdin=case.artefact.read_text(encoding="utf-8"),
    )
    assert again.stdout == done.stdout
    assert (
        run(
            "consent", "import", "-", "--identity", "-", *where, stdin=case.artefact.read_text(encoding="utf-8")
        ).exit_code
        == 2
    )


@pytest.mark.parametrize("mapping", ["purposes: 7", "unknown: {}", "purposes: {a: [b]}", "a: [", "- x"])
def test_bad_mapping(bus: Path, tmp_path: Path, mapping: str) -> None:
    """A table of another shape is a usage error."""
    case = Case(bus, tmp_path)
    case.mapping.write_text(mapping, encoding="utf-8")
    case.import_(code=2)


def test_usage(bus: Path, tmp_path: Path) -> None:
    """Nobody named, no such file, a person that is none: exit code 2 and no trace."""
    case = Case(bus, tmp_path)
    case.person.write_text("{}", encoding="utf-8")
    for arguments in (("--identity", "/nowhere"), ("--identity", str(case.artefact)), ("--data", str(bus))):
        case.import_(*arguments, code=2)
    assert run("consent", "import", "/nowhere", "--dry-run").exit_code == 2

"""`accord receipt` as a person or a program runs it, on a ledger that no process serves: shown in every form, verified offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from consent.keys import open_keys
from consent.ledger import Ledger
from consent.stores.engine import open_sqlite
from exchange.cli import app
from exchange.clock import SystemClock
from exchange.introduction import give, introduce_collectivity
from exchange.places import Places
from exchange.sealing import public_bytes
from exchange.settings import RECIPIENT
from exchange.trust import Trust
from exchange.wallet import Wallet
from tests.receipts import WITNESS
from tests.world import JEANNE

FORMS = {"json-ld": "receipt.jsonld", "tlog-proof": "receipt.tlog-proof", "pdf": "receipt.pdf"}


class Here(NamedTuple):
    """A data directory with one agreement, and that agreement's id."""

    folder: Path
    agreement: str


@pytest.fixture
async def here(tmp_path: Path) -> Here:
    places = Places(tmp_path)
    keys = open_keys(places.ledger_keys, "accord.test/cli")
    engine = open_sqlite(places.store)
    ledger = Ledger(engine, keys, SystemClock(), lambda _: b"")
    Trust(keys.verifier, public_bytes(keys.certificate), public_bytes(keys.registrar)).save(places.trust)
    wallet = Wallet.new(RECIPIENT, RECIPIENT[:9])
    await introduce_collectivity(ledger, wallet, SystemClock().now_ms())
    agreement = await give(ledger, wallet, JEANNE, SystemClock().now_ms())
    engine.dispose()
    return Here(tmp_path, agreement.hex())


def accord(*arguments: str, code: int = 0, **env: str) -> str:
    done = CliRunner().invoke(app, ["receipt", *arguments], env={"LC_ALL": "fr_FR.UTF-8"} | env)
    assert done.exit_code == code, done.output
    return done.output


def verified(here: Here, file: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    told = accord("verify", str(file), *arguments, "--data", str(here.folder), "--json", code=code)
    found: dict[str, Any] = json.loads(told.splitlines()[-1])
    return found


@pytest.mark.parametrize("form", FORMS)
def test_shown_and_verified_in_every_form(here: Here, form: str) -> None:
    """Written to a file, recognised by its bytes whatever its name, verified with the keys of the data directory."""
    file = here.folder / "whatever.txt"
    accord("show", here.agreement, "--format", form, "-o", str(file), "--data", str(here.folder))
    found = verified(here, file)
    assert (found["ok"], found["form"], found["recorded"], found["log"], found["status"]) == (True, form, "given", "accord.test/cli", "unwitnessed")  # fmt: skip
    assert ("purpose" in found) == (form != "tlog-proof")


def test_verified_with_nothing_but_a_key(here: Here, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Elsewhere: --vkey is enough; no ledger, no data directory."""
    file = here.folder / FORMS["pdf"]
    accord("show", here.agreement, "--format", "pdf", "--lang", "en", "-o", str(file), "--data", str(here.folder))
    empty, key = tmp_path_factory.mktemp("empty"), str(Trust.load(here.folder / "trust.json").log)
    told = accord("verify", str(file), "--vkey", key, "--witness", str(WITNESS), "--data", str(empty), "--json")
    assert json.loads(told)["status"] == "pending"
    assert json.loads(accord("verify", str(file), "--data", str(empty), "--json", code=4))["error"] == "no_ledger"
    accord("verify", str(file), "--vkey", "x", "--data", str(empty), code=2)


def test_altered_receipts_are_refused(here: Here) -> None:
    """One word changed, in each form: exit 3 and the reason; so is the record, which carries no proof."""
    for form, name in FORMS.items():
        file = here.folder / name
        accord("show", here.agreement, "--format", form, "-o", str(file), "--data", str(here.folder))
        body = file.read_bytes()
        file.write_bytes(body[:-40] + bytes([body[-40] ^ 1]) + body[-39:])
        assert verified(here, file, code=3)["error"] == "bad_receipt"
    record = here.folder / "record.jsonld"
    accord("show", here.agreement, "--format", "record", "-o", str(record), "--data", str(here.folder))
    assert json.loads(record.read_text("utf-8"))["@type"] == "dpv:ConsentRecord"
    assert verified(here, record, code=3)["error"] == "bad_receipt"


def test_what_is_proven_is_said_in_words(here: Here) -> None:
    """French by default, English where the locale says so; organisations are named where the directory names them."""
    named = {RECIPIENT: {"name": "Ville d'Aubagne", "contact": "dpo@aubagne.example"}}
    (here.folder / "organisations.json").write_text(json.dumps(named), "utf-8")
    shown = accord("show", here.agreement, "--data", str(here.folder))
    assert "Ville d'Aubagne" in shown
    file = here.folder / "r"
    file.write_text(shown, "utf-8")
    assert "Reçu authentique" in accord("verify", str(file), "--data", str(here.folder))
    assert "Genuine receipt" in accord("verify", str(file), "--data", str(here.folder), LC_ALL="en_GB.UTF-8")


def test_an_agreement_unknown_has_no_receipt(here: Here) -> None:
    """Exit 3 and its code; a number that is none, exit 2."""
    told = accord("show", "00" * 16, "--data", str(here.folder), "--json", code=3)
    assert json.loads(told)["error"] == "authorisation_unknown"
    accord("show", "zz", "--data", str(here.folder), code=2)

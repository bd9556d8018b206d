"""`accord habilitation`, over a ledger behind its socket."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from consent.client import connect, hang_up
from consent.service import Service
from exchange.cli import app as accord
from exchange.data_sets import DATA_SETS
from exchange.datapass.desk import MAPPING, read_rules
from exchange.places import Places
from tests.datapass.calls import ALL, CANTEEN, OTHER, QF, RECIPIENT
from tests.datapass.portal import CLIENT, DataPass, secret_file
from tests.world import World, log_size


class Place:
    """A served ledger in a data directory, and `accord` run over it."""

    def __init__(self, world: World, root: Path) -> None:
        self.world, self.root = world, root

    async def accord(self, *arguments: str, **env: str) -> tuple[int, list[dict[str, Any]]]:
        argv = ["habilitation", *arguments, "--data", str(self.root), "--json"]
        done = await asyncio.to_thread(CliRunner(env=env).invoke, accord, argv)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        lines = done.stdout.splitlines() if done.exit_code != 2 else []
        return done.exit_code, [json.loads(line) for line in lines]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    world, places = await World.open(), Places(tmp_path)
    places.run.mkdir()
    service = Service(world.ledger, places.socket)
    await service.start()
    yield Place(world, tmp_path)
    await service.stop()


KEY = ["--data-set", QF, "--purpose", CANTEEN]


async def test_given_revoked_and_listed_by_hand(place: Place) -> None:
    """`give`, `list`, `revoke`; numbers with a wrong key, unknown names and scopes are refused before the ledger is asked."""
    given = ["give", OTHER, *KEY, "--legal", "CRPA L114-8", "--until", "2099-01-01"]
    code, (line,) = await place.accord(*given, "--scope", "cnaf_enfants")
    assert (code, line["outcome"], line["scopes"]) == (0, "approved", ["cnaf_enfants"])
    _, lines = await place.accord("list", "--siret", OTHER)
    assert [(line["outcome"], line["legal_reference"]) for line in lines] == [("live", "CRPA L114-8")]
    assert (await place.accord("revoke", OTHER, *KEY))[0] == 0
    _, lines = await place.accord("list", "--siret", OTHER)
    assert [line["outcome"] for line in lines] == ["over"]
    size = await log_size(place.world)
    for wrong in (["revoke", "13002526500014", *KEY], ["revoke", OTHER, "--data-set", "x", "--purpose", CANTEEN],
                  ["revoke", OTHER, "--data-set", QF, "--purpose", "x"], [*given, "--scope", "x"]):  # fmt: skip
        assert (await place.accord(*wrong))[0] == 2
    assert await log_size(place.world) == size


async def test_delegated_and_ended(place: Place) -> None:
    """An editor may publish until a day; `--revoked-at` ends it, and agreements are read as without it at once."""
    agreement, editor = await place.world.give(), OTHER[:9]
    assert (await place.accord("delegate", RECIPIENT, editor, "--until", "2099-01-01"))[1][0]["outcome"] == "live"
    (found,) = await place.world.ledger.lookup([agreement])
    assert found is not None and editor in found.operators
    assert (await place.accord("delegate", RECIPIENT, editor, "--revoked-at", "2026-01-01"))[1][0]["outcome"] == "over"
    (found,) = await place.world.ledger.lookup([agreement])
    assert found is not None and editor not in found.operators
    for wrong in (
        [RECIPIENT, "130025266", "--until", "2099-01-01"],
        ["1", editor, "--until", "2099-01-01"],
        [RECIPIENT, editor],
    ):
        assert (await place.accord("delegate", *wrong))[0] == 2


async def test_reconciled_by_command(place: Place, datapass: DataPass, tmp_path: Path) -> None:
    """`reconcile` says what it wrote and what is not listed; without an account, with a bad mapping or DataPass away it says so."""
    datapass.give(1, OTHER)
    account = ["--client-file", str(secret_file(tmp_path / "client", "\n".join(CLIENT))), "--url", datapass.url]
    code, lines = await place.accord("reconcile", *account)
    assert code == 0 and lines[-1] == {"acts": 2, "unlisted": 0}
    assert {(line["outcome"], line["purpose"]) for line in lines[:-1]} == {
        ("approved", CANTEEN), ("approved", "tarification-periscolaire")
    }  # fmt: skip
    datapass.habilitations.clear()
    assert (await place.accord("reconcile", *account))[1][-1] == {"acts": 0, "unlisted": 1}
    assert (await place.accord("reconcile"))[0] == 2
    (tmp_path / "mapping.yml").write_text("habilitations: 1")
    assert (await place.accord("reconcile", *account, "--mapping", str(tmp_path / "mapping.yml")))[0] == 2
    code, lines = await place.accord("reconcile", *account[:2], "--url", "http://127.0.0.1:1")
    assert (code, lines[-1]["error"]) == (4, "datapass_unavailable")


async def test_drift_by_command(place: Place, tmp_path: Path) -> None:
    """`drift` exits 3 with a line for each difference, 0 once there is none, 2 for a file that is not the open CSV."""
    file, header = (
        tmp_path / "open.csv",
        "API ou Service demandé,SIRET du demandeur,Données demandées,Fondement juridique\n",
    )
    file.write_text(f'\ufeff{header}APIParticulier,{OTHER},"{", ".join(ALL)}",CRPA L114-8\n', encoding="utf-8")
    mapped = read_rules(MAPPING, {name: known.scopes for name, known in DATA_SETS.items()}).habilitations
    code, lines = await place.accord("drift", str(file))
    opened = {(one.data_set, purpose) for one in mapped for purpose in one.purposes}
    assert code == 3 and lines[-1] == {"drifts": len(opened), "lines_aside": []}
    assert {(line["drift"], line["recipient"], line["there"]) for line in lines[:-1] if line["there"] is None} == {
        ("extra", RECIPIENT, None)
    }
    _, lines = await place.accord("drift", str(file), "--all")
    assert [line["drift"] for line in lines[:-1]].count("missing") == 2
    rows = [
        f'{one.definition},{RECIPIENT},"{", ".join(DATA_SETS[one.data_set].scopes)}",CRPA L114-8\n' for one in mapped
    ]
    file.write_text(header + "".join(rows), encoding="utf-8")
    code, lines = await place.accord("drift", str(file))
    assert (code, lines) == (0, [{"drifts": 0, "lines_aside": []}])
    file.write_text("a,b\n")
    assert (await place.accord("drift", str(file)))[0] == 2
    (tmp_path / "run" / "ledger.sock").unlink()
    file.write_text(header, encoding="utf-8")
    assert (await place.accord("drift", str(file)))[0] == 4


async def test_served_by_command(place: Place, datapass: DataPass, tmp_path: Path) -> None:
    """`serve` listens on the loopback, reconciles at the start, and keeps a second one out."""
    datapass.give(1, OTHER)
    secret_file(tmp_path / "client", "\n".join(CLIENT)), secret_file(tmp_path / "secret", "s" * 16)
    argv = ["habilitation", "serve", "--secret-file", str(tmp_path / "secret"), "--client-file", str(tmp_path / "client"),
            "--url", datapass.url, "--data", str(tmp_path), "--json"]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "exchange.cli",
        *argv,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    try:
        assert process.stdout is not None
        assert json.loads(await process.stdout.readline())["url"].startswith("http://127.0.0.1:")
        ledger = connect(Places(tmp_path).socket)
        async with asyncio.timeout(30):
            while not any(h.recipient == OTHER and h.scopes for h in await ledger.habilitations()):
                await asyncio.sleep(0.05)
        await hang_up(ledger)
        assert (await asyncio.to_thread(CliRunner().invoke, accord, argv)).exit_code == 4
    finally:
        process.terminate()
        await process.wait()
    assert process.returncode in (0, -15)

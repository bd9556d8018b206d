"""`accord bench start`: counts and shape, never a time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.report import Figures
from bench.start import LABELS, Size, result
from exchange.cli import app


def test_every_start_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bare broker, whole bus and worker, each started twice; a quick run judges no cold start, and says so; nothing is left."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = CliRunner().invoke(app, ["bench", "start", "--json", "--quick", "--repeat", "1", "--authorisations", "1000"])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout.splitlines()[-1])
    assert [contender["name"] for contender in said["contenders"]] == list(LABELS)
    assert all(contender["figures"]["s"] > 0 for contender in said["contenders"])
    met = {target["name"]: target["met"] for target in said["targets"]}
    assert met["dev_cold_s"] is None and None not in (met["dev_warm_s"], met["worker_s"])
    assert len(said["remarks"]) == 1 and list(tmp_path.iterdir()) == []


def test_a_cold_start_is_judged_when_it_was_one() -> None:
    """The medians are read against 60 s, 5 s and 5 s; a start's ratio is to the bare broker's."""
    seen: dict[str, list[Figures]] = {name: [{"s": at}, {"s": 99.0}, {"s": 0.0}] for at, name in enumerate(LABELS, 1)}
    found = result(Size(1_000, 3), seen, 0.0)
    assert {target.name: (target.found, target.met) for target in found.targets} == {
        "dev_cold_s": (3, True), "dev_warm_s": (4, True), "worker_s": (6, False),
    }  # fmt: skip
    assert found.ratios == {"cold_to_kafka": 3, "warm_to_kafka": 2} and found.remarks == ()


def test_no_start_under_nothing() -> None:
    """Too few authorisations to mean anything is a usage error."""
    assert CliRunner().invoke(app, ["bench", "start", "--authorisations", "10"]).exit_code == 2

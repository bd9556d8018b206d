"""`accord bench ledger`: counts and shape, never a time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.ledger import TARGETS, Rate, Result, Spread, Stage
from exchange.cli import app


def test_the_ledger_beside_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object with every stage, both rates, the spreads and the targets; the same in the file asked for; nothing is left."""
    out = tmp_path / "ledger.json"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    argv = ["bench", "ledger", "--json", "--sizes", "5000", "--repeat", "1", "--out", str(out)]
    done = CliRunner().invoke(app, argv, env={"ACCORD_STORE": ""})
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert json.loads(out.read_text()) == said
    assert set(said) == {"bench", "store", "chunk", "repeat", "leaf_bytes", "stages", "found", "targets", "machine"}
    (stage,) = said["stages"]
    assert (stage["leaves"], stage["authorisations"]) == (11_000, 1_000)
    for rate in ("append", "bulk"):
        assert stage[rate]["per_s"] > 0 and stage[rate]["per_cpu_s"] > 0
    for spread in ("proof_ms", "subject_ms", "day_ms"):
        assert 0 < stage[spread]["p50"] <= stage[spread]["p99"]
    assert said["targets"] == TARGETS and set(said["found"]) == set(TARGETS) and said["found"]["growth"] == 1
    assert 300 <= said["leaf_bytes"] <= 600 and said["store"].startswith("sqlite ")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]


@pytest.mark.parametrize("sizes", ["", "0", "4999", "10000,x", "-5000"])
def test_no_bench_of_nothing(sizes: str) -> None:
    """Sizes that are none, or too small to hold agreements, are a usage error."""
    assert CliRunner().invoke(app, ["bench", "ledger", "--sizes", sizes]).exit_code == 2


def test_growth_is_cost_over_cost() -> None:
    """Half the leaves a CPU-second at the largest size is twice the cost; the targets are read there."""
    spread = Spread(1, 2, 1, 2)
    stages = [
        Stage(n, 1, Rate(n, cpu), Rate(1, 1), spread, spread, Spread(1, 9, 1, 9)) for n, cpu in ((10, 100), (20, 50))
    ]
    result = Result("sqlite", 1, 400, tuple(stages), (0.0, 0.0))
    assert result.found() == {"append_per_s": 20, "proof_p99_ms": 2, "query_p99_ms": 9, "growth": 2}

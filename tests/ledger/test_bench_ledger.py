"""`accord bench ledger`: counts and shape, never a time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.ledger import Rate, Spread, Stage, result
from exchange.cli import app

TARGETS = {"append_per_s": 20_000, "proof_p99_ms": 5, "query_p99_ms": 200, "growth": 1.2}


def test_the_ledger_beside_its_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One object with every stage, both rates, the spreads and the targets; the same in the file asked for; nothing is left."""
    out = tmp_path / "ledger.json"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    argv = ["bench", "ledger", "--json", "--sizes", "5000", "--repeat", "1", "--out", str(out)]
    done = CliRunner().invoke(app, argv, env={"ACCORD_STORE": ""})
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert json.loads(out.read_text()) == said
    sizes = said["sizes"]
    assert (sizes["leaves"], sizes["authorisations"], said["repeat"]) == (11_000, 1_000, 1)
    seen = {contender["name"]: contender["figures"] for contender in said["contenders"] if contender["at"] == 11_000}
    for rate in ("append", "bulk"):
        assert seen[rate]["per_s"] > 0 and seen[rate]["per_cpu_s"] > 0
    for spread in ("proof", "subject", "day"):
        assert 0 < seen[spread]["p50_ms"] <= seen[spread]["p99_ms"]
    assert {target["name"]: target["limit"] for target in said["targets"]} == TARGETS and said["ratios"]["growth"] > 0
    assert 300 <= sizes["leaf_bytes"] <= 600 and sizes["store"].startswith("sqlite ")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.json"]


@pytest.mark.parametrize("sizes", ["", "0", "4999", "10000,x", "-5000"])
def test_no_bench_of_nothing(sizes: str) -> None:
    """Sizes that are none, or too small to hold agreements, are a usage error."""
    assert CliRunner().invoke(app, ["bench", "ledger", "--sizes", sizes]).exit_code == 2


def test_growth_is_cost_over_cost() -> None:
    """Half the leaves a CPU-second at the largest size is twice the cost; the targets are read there."""
    spread = Spread(1, 2, 1, 2)
    stages = [
        Stage(n, 1, Rate(n, cpu), Rate(1, 1), Rate(1, small), spread, spread, Spread(1, 9, 1, 9))
        for n, cpu, small in ((10, 100, 100), (20, 50, 100))
    ]
    found = result("sqlite", 1, 400, stages, 0.0)
    assert {target.name: target.found for target in found.targets} == {
        "append_per_s": 20, "proof_p99_ms": 2, "query_p99_ms": 9, "growth": 2,
    }  # fmt: skip
    assert found.figures("append", 10)["per_cpu_s"] == 100 and found.figures("day", 20)["p99_ms"] == 9

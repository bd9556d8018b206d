"""The form of every bench's result."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from bench import report
from bench.report import Contender, Machine, Result, at_least, at_most, latencies, middle, ratio

HERE = Machine(2, "a processor", 1 << 33, "Linux 6", (0.5, 1.25))


def example(found: float | None = 0.61234) -> Result:
    """A bench of two contenders, one of them at two sizes."""
    contenders = (
        Contender("echo", ("écho", "echo"), {"per_s": 200_000.4, "per_cpu_s": None}),
        Contender("gate", ("portier", "gate"), {"per_s": 122_468.7, "per_cpu_s": 130_000.0}, at=10_000),
        Contender("gate", ("portier", "gate"), {"per_s": 120_000.0, "per_cpu_s": 125_000.0}, at=20_000),
    )
    targets = (at_least("gate_to_echo", ("portier / écho", "gate / echo"), found, 0.6),)
    sizes: dict[str, int | str] = {"requests": 1_000}
    remark = ("sans Faust", "without Faust")
    return Result("gate", ("la porte", "the gate"), sizes, 3, contenders, {"gate_to_echo": found}, targets, HERE, {"python": "3"}, (remark,))  # fmt: skip


def test_a_result_is_one_object_and_comes_back(tmp_path: Path) -> None:
    """What is written is what is printed: JSON with short numbers, from which the same result is read."""
    path = tmp_path / "results" / "gate.json"
    report.write(path, example())
    written = json.loads(path.read_text())
    assert written == example().as_json()
    assert written["contenders"][0]["figures"] == {"per_s": 200_000, "per_cpu_s": None}
    assert written["targets"] == [
        {"name": "gate_to_echo", "label": ["portier / écho", "gate / echo"], "found": 0.612, "limit": 0.6, "at_least": True, "met": True}
    ]  # fmt: skip
    assert report.read(path).as_json() == written
    path.write_text('{"bench": "gate"}')
    with pytest.raises(msgspec.ValidationError):
        report.read(path)


def test_a_target_is_met_missed_or_not_measured() -> None:
    """At least and at most hold at the bound itself; what was not measured is neither kept nor missed."""
    said = ("a", "b")
    assert [at_least("x", said, found, 2).met for found in (1.9, 2, 3, None)] == [False, True, True, None]
    assert [at_most("x", said, found, 2).met for found in (1.9, 2, 3, None)] == [True, True, False, None]
    assert example(None).as_json()["targets"][0]["met"] is None


def test_figures_are_found_by_name_and_size() -> None:
    """Each contender has its own at each size; who was not measured has none."""
    assert example().figures("gate", 20_000)["per_s"] == 120_000
    assert example().figures("gate") == {} and example().figures("faust") == {}


def test_medians_ratios_and_centiles() -> None:
    """Each figure's median over the turns that have it; a ratio needs both; a centile is a duration that was seen."""
    turns: list[report.Figures] = [
        {"per_s": 1, "rss_bytes": None},
        {"per_s": 9, "rss_bytes": 4},
        {"per_s": 2, "rss_bytes": None},
    ]
    assert middle(turns) == {"per_s": 2, "rss_bytes": 4}
    assert middle([{"per_cpu_s": None}]) == {"per_cpu_s": None}
    assert (ratio(3, 2), ratio(None, 2), ratio(3, None), ratio(3, 0)) == (1.5, None, None, None)
    assert latencies(range(1, 201)) == {"p50_ms": 100, "p90_ms": 180, "p99_ms": 198}
    assert latencies([7.0]) == {"p50_ms": 7, "p90_ms": 7, "p99_ms": 7}


def test_the_machine_and_the_versions_are_this_one_s() -> None:
    """Cores, processor, memory, both loads; the versions of what was measured, and those a bench adds."""
    found = report.machine(0.123)
    assert found.cores > 0 and found.cpu and found.memory_bytes > 1 << 28 and found.load_1m[0] == 0.12
    versions = report.versions(java="25")
    assert versions["java"] == "25" and {"python", "kafka", "sqlite", "cryptography", "aiokafka"} <= set(versions)

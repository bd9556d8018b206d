"""The pages drawn from results."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from bench import page, report, sizing
from bench.report import Contender, Figures, Machine, Result, Words, at_least
from exchange.cli import app

HERE = Machine(2, "a <processor>", 8_000_000_000, "Linux 6", (0.5, 1.25))
SAID: Words = ("portier & co", "gate & co")
RATE: Figures = {"per_s": 20_000.0, "per_cpu_s": 10_000.0}


def example(bench: str, *contenders: Contender, **sizes: int | str) -> Result:
    """A result with these contenders."""
    targets = (at_least("a", SAID, 0.5, 0.6), at_least("b", SAID, 0.7, 0.6), at_least("c", SAID, None, 1))
    return Result(bench, SAID, sizes, 3, contenders, {"a": 0.5}, targets, HERE, {"python": "3"}, (("sans", "without"),))


GATE = example(
    "gate",
    Contender("gate", SAID, RATE),
    Contender("echo", SAID, {"per_s": 40_000.0, "per_cpu_s": None}),
    record_bytes=500,
)
MEASURED = {
    "gate": GATE,
    "release": example("release", Contender("release-postgresql", SAID, {"per_s": 5_000.0, "per_cpu_s": 6_000.0})),
    "ledger": example("ledger", Contender("append", SAID, RATE, 7), leaves=7, leaf_bytes=400),
    "scale": example("scale", Contender("store", SAID, {"bytes_each": 2_000.0}, 10), authorisations=10),
}


def test_a_plot_is_an_image_of_every_figure() -> None:
    """Well-formed SVG; a bar for each figure that was measured, as long as it is large, its value beside it."""
    ((name, svg),) = page.plots(GATE).items()
    root = ET.fromstring(svg)
    assert name == "gate-rate.svg" and root.get("role") == "img"
    bars = [float(one.get("width", 0)) for one in root.iter() if one.tag.endswith("rect")][1:]
    assert bars == [190.0, 95.0, 380.0]
    texts = {one.text for one in root.iter() if one.tag.endswith("text")}
    assert {"gate & co", "20 000", "10 000", "40 000"} <= texts


def test_nothing_that_is_written_in_a_plot_is_cut() -> None:
    """A long name goes on below, and the next row begins under it; each language of the title has its line."""
    long = "what seals, signatures and the State's answer cost alone, without a bus"
    rows: list[tuple[str, list[float | None]]] = [(long, [1.0]), ("next", [2.0])]
    root = ET.fromstring(page.bars(("le titre", "the title"), "ms", rows))
    texts = {one.text or "": float(one.get("y", 0)) for one in root.iter() if one.tag.endswith("text")}
    named = [line for line in texts if line in long]
    assert " ".join(named) == long and all(len(line) <= 38 for line in named)
    assert texts["le titre"] < texts["the title"] < texts["ms"] < texts[named[0]]
    assert [texts[line] - texts[named[0]] for line in (*named, "next")] == [0.0, 15.0, 39.0]


def test_latencies_and_sizes_have_plots_of_their_own() -> None:
    """One plot for each unit; a contender at several sizes is named with its size."""
    figures: Figures = {"p50_ms": 1.0, "p90_ms": 2.0, "p99_ms": 3.5}
    drawn = page.plots(example("exchange", Contender("x", SAID, figures, 1_000), Contender("y", SAID, {"s": 2.0})))
    assert sorted(drawn) == ["exchange-latency.svg", "exchange-time.svg"]
    assert "gate &amp; co, 1 000" in drawn["exchange-latency.svg"] and "3.5" in drawn["exchange-latency.svg"]
    assert page.plots(example("withdrawal", Contender("z", SAID, {"races": 1.0}))) == {}


def test_the_page_names_every_bench() -> None:
    """What was measured with its targets, verdicts, remarks and machine; what was not with its command."""
    text = page.page({"gate": GATE})
    for name, command in page.COMMANDS.items():
        assert f"## {name}\n" in text and f"`{command} --out bench/results`" in text
    assert "| [gate](#gate) | 1 | 1 | 1 |" in text and "(bench/gate-rate.svg)" in text
    assert all(word in text for word in ("tenue · met", "manquée · missed", "non mesurée", "sans · *without*", "8 Go"))


def test_a_country_on_paper_is_arithmetic() -> None:
    """Each need over half of what was measured, the slower of wall and CPU, rounded up; a figure that lacks stops it all."""
    found = sizing.measured(MEASURED)
    assert found is not None and (found.gate_per_s, found.release_per_s, found.authorisation_bytes) == (
        10_000,
        5_000,
        2_000,
    )
    needs = sizing.sizing(found, sizing.Assumed())
    assert (needs.gate_workers, needs.release_workers, needs.shards) == (2, 4, 9)
    assert needs.authorisations == 90_000_000 and needs.ledger_bytes == 90_000_000 * 2_000 * 2
    assert needs.network_bits_per_s == 10_000 * (2 * 500 + 2 * 2_000) * 4 * 8
    slower = sizing.sizing(replace(found, release_per_s=500.0), sizing.Assumed())
    assert slower.release_workers == 40 and slower.shards == 40 and slower.euros_a_month > needs.euros_a_month
    assert "10 000 / (5 000 × 0.5)" in sizing.page(MEASURED)
    for name in sizing.WANTED:
        less = {key: value for key, value in MEASURED.items() if key != name}
        assert sizing.measured(less) is None and f"`{name}`" in sizing.page(less)
    assert sizing.measured(MEASURED | {"gate": example("gate", record_bytes=1)}) is None


def test_drawing_writes_both_pages_and_the_plots(tmp_path: Path) -> None:
    """From every result there is; old plots go; a file that is no result is said, and left as it is."""
    results, docs = tmp_path / "results", tmp_path / "docs"
    for result in MEASURED.values():
        report.write(results / f"{result.bench}.json", result)
    (results / "old.json").write_text('{"bench": "old"}')
    (docs / "bench").mkdir(parents=True)
    (docs / "bench" / "gone.svg").touch()
    done = CliRunner().invoke(app, ["bench", "draw", "--json", "--results", str(results), "--docs", str(docs)])
    assert done.exit_code == 0, done.output
    assert "old.json" in done.stderr and (results / "old.json").exists()
    assert json.loads(done.stdout)["benches"] == sorted(MEASURED)
    assert "## gate" in (docs / "bench.md").read_text() and "10 000 / (10 000 × 0.5)" in (docs / "scale.md").read_text()
    assert sorted(path.name for path in (docs / "bench").iterdir()) == [
        "gate-rate.svg",
        "ledger-rate.svg",
        "release-rate.svg",
    ]


def test_all_runs_each_bench_and_draws(tmp_path: Path) -> None:
    """Each in a process of its own, its result kept, then the pages; a bench nobody knows is a usage error."""
    argv = [
        "bench",
        "all",
        "--json",
        "--small",
        "--results",
        str(tmp_path / "results"),
        "--docs",
        str(tmp_path / "docs"),
    ]
    assert CliRunner().invoke(app, [*argv, "--only", "gate,speed"]).exit_code == 2
    done = CliRunner().invoke(app, [*argv, "--only", "ledger"])
    assert done.exit_code == 0, done.output
    assert report.read(tmp_path / "results" / "ledger.json").bench == "ledger"
    assert "ledger-rate.svg" in (tmp_path / "docs" / "bench.md").read_text()

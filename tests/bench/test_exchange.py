"""`accord bench exchange`: counts and shape, never a time."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bench.exchange import Size, result
from bench.load import WrongCount
from bench.open_loop import Unanswered, measured, most_per_s, open_loop
from bench.report import Figures
from tests.bench.shown import bench


def test_exchanges_beside_hops_and_gateway(tmp_path: Path) -> None:
    """The three contenders at the fixed rate, every answer opened and checked on the way; nothing is left."""
    found = bench(tmp_path, "exchange", "--per-s", "10", "--seconds", "1", "--last-per-s", "0", "--repeat", "1")
    assert (found.bench, found.repeat, found.sizes["per_s"]) == ("exchange", 1, 10)
    for name in ("exchange", "hops", "gateway"):
        figures = found.figures(name, 10)
        assert set(figures) == {"p50_ms", "p90_ms", "p99_ms", "per_s", "per_cpu_s"}
        assert 0 < (figures["p50_ms"] or 0) <= (figures["p90_ms"] or 0) <= (figures["p99_ms"] or 0)
    for name in ("exchange", "hops", "gateway"):
        assert found.figures(name) == {"max_per_s": None}
    assert min(figure or 0 for figure in found.figures("least").values()) > 0
    names = ["p50_to_hops", "p50_to_hops_at_half", "p99_ms", "max_to_gateway"]
    assert [target.name for target in found.targets] == names


async def test_who_stalls_pays_for_who_waits() -> None:
    """Calls held up together count from when each should have begun: the first has waited longest."""
    ended = asyncio.Event()
    calls: list[int] = []

    async def one() -> None:
        calls.append(len(calls))
        if len(calls) == 5:
            ended.set()
        await ended.wait()

    loop = await open_loop(one, 200, 5)
    assert calls == [0, 1, 2, 3, 4]
    last, *held = loop.latencies_ms  # who set the others free came last, and ended first
    assert [*held, last] == sorted(loop.latencies_ms, reverse=True)


async def test_the_highest_rate_is_found() -> None:
    """All hold: the last rate asked for; none holds: 0; a call without an answer in a measure is no figure."""

    async def quick() -> None: ...

    async def nobody() -> None:
        raise Unanswered("503")

    assert await most_per_s(quick, 0.02, 1e9, 100, 400) == 400
    assert await most_per_s(quick, 0.02, -1, 100, 400) == 0
    with pytest.raises(WrongCount):
        await measured(nobody, 10, 0.1)


def test_targets_are_ratios_of_one_run() -> None:
    """p50 against the hops at both rates, p99 at the fixed one, highest rates against each other."""

    def figures(p50_ms: float) -> Figures:
        return {"p50_ms": p50_ms, "p90_ms": 90, "p99_ms": 140, "per_s": 1, "per_cpu_s": 1}

    turns = {
        ("exchange", 100): figures(12),
        ("hops", 100): figures(4),
        ("exchange", 200): figures(30),
        ("hops", 200): figures(6),
        ("least", 0): {"max_per_s": 250.0, "per_cpu_s": 125.0},
    }
    found = result(Size(), {"exchange": 400, "hops": 800, "gateway": 100}, turns, 0.0)
    assert found.ratios == {
        "p50_to_hops": 3, "p50_to_hops_at_half": 5, "max_to_gateway": 4, "hops_max_to_gateway": 8, "least_max_to_gateway": 2.5,
    }  # fmt: skip
    assert [target.met for target in found.targets] == [True, False, True, True]

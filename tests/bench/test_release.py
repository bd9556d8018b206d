"""`accord bench release`: counts and shape, never a time."""

from __future__ import annotations

from pathlib import Path

from bench.postgres import programs
from bench.release import result
from bench.release_pair import two_and_one
from bench.report import machine
from tests.bench.shown import bench


def test_every_answer_is_released_beside_the_bare_opens(tmp_path: Path) -> None:
    """One object: what the ledger released on each store there is and what HPKE opened, their ratios, a target for each; nothing is
    left."""
    found = bench(tmp_path, "release", "--answers", "300", "--authorisations", "40", "--repeat", "1")
    kinds = ["sqlite", "postgresql"] if programs() else ["sqlite"]
    assert [c.name for c in found.contenders] == [*(f"release-{kind}" for kind in kinds), "open"]
    assert all((c.figures["per_s"] or 0) > 0 for c in found.contenders)
    assert all((found.ratios[f"release_to_open_{kind}"] or 0) > 0 for kind in kinds)


def test_a_store_that_is_absent_is_neither_kept_nor_missed() -> None:
    """Its target has no figure, and a remark says why; the other store's is judged."""
    found = result({}, 1, {"per_s": 100.0}, {"sqlite": {"per_s": 70.0}}, machine(0.0))
    assert [(target.limit, target.met) for target in found.targets] == [(0.65, True), (0.5, None), (1.7, None)]
    assert [c.name for c in found.contenders] == ["release-sqlite", "open"]
    assert "PostgreSQL is not installed" in found.remarks[0][1]


async def test_two_ledgers_release_at_once_and_one_alone() -> None:
    """Two real processes, each with a store and an opener of its own; both and one are timed, and both end."""
    both, alone = await two_and_one(60, 10, 1)
    assert (both["per_s"] or 0) > 0
    assert (alone["per_s"] or 0) > 0


def test_two_ledgers_are_judged_where_cores_allow() -> None:
    """Beside one alone; where they were not measured, a remark says why."""
    limit, found, where = {"per_s": 100.0}, {"sqlite": {"per_s": 70.0}}, machine(0.0)
    measured = result({}, 1, limit, found, where, ({"per_s": 90.0}, {"per_s": 50.0}))
    assert [target.met for target in measured.targets if target.name == "two_to_one"] == [True]
    assert [c.name for c in measured.contenders] == ["release-sqlite", "two", "one", "open"]
    assert any("two at once, not measured" in en for _, en in result({}, 1, limit, found, where).remarks)

"""`accord bench release`: counts and shape, never a time."""

from __future__ import annotations

from pathlib import Path

from tests.bench.shown import bench


def test_every_answer_is_released_beside_the_bare_opens(tmp_path: Path) -> None:
    """One object: what the ledger released and what HPKE opened, their ratio, the target of this store; nothing is left."""
    found = bench(tmp_path, "release", "--answers", "300", "--authorisations", "40", "--repeat", "1")
    assert {c.name for c in found.contenders} == {"release", "open"}
    assert all((c.figures["per_s"] or 0) > 0 for c in found.contenders) and (found.ratios["release_to_open"] or 0) > 0
    assert [(target.name, target.limit) for target in found.targets] == [("release_to_open", 0.65)]

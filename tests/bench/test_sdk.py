"""`accord bench sdk`: counts and shape, never a time."""

from __future__ import annotations

from pathlib import Path

from tests.bench.shown import bench


def test_the_sdk_beside_its_cryptography(tmp_path: Path) -> None:
    """Both rates of ours and of the bare cryptography, each request answered and each answer opened on the way; nothing is left."""
    found = bench(tmp_path, "sdk", "--requests", "60", "--repeat", "1")
    assert (found.bench, found.repeat, found.sizes["requests"]) == ("sdk", 1, 60)
    for name in ("published", "seal", "opened", "alone", "open", "verify"):
        figures = found.figures(name)
        assert set(figures) == {"per_s", "per_cpu_s"} and all(value and value > 0 for value in figures.values())
    assert [target.name for target in found.targets] == ["published_to_seal", "opened_to_seal"]
    assert {target.name: target.found for target in found.targets}.items() <= found.ratios.items()
    ours = {"published_to_seal", "opened_to_seal"}
    assert set(found.ratios) == {*ours, "alone_to_seal", "alone_to_open", "alone_to_open_and_verify"}
    assert int(found.sizes["open_bytes"]) > 1_000

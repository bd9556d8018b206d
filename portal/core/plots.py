"""Small curves, as points of an SVG polyline. Pure."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH, HEIGHT = 240, 40


def points(values: Sequence[float]) -> str:
    """`x,y` pairs over the whole width, the highest value at the top and zero at the bottom; empty for fewer than two values."""
    if len(values) < 2:
        return ""
    top, step = max(*values, 1e-9), WIDTH / (len(values) - 1)
    return " ".join(f"{n * step:.1f},{HEIGHT - 1 - (HEIGHT - 2) * value / top:.1f}" for n, value in enumerate(values))


def rates(times_ms: Sequence[int], counts: Sequence[int]) -> list[float]:
    """What was added each second between one sample and the next; never below zero (a topic made anew counts from zero again)."""
    pairs = zip(times_ms, counts, times_ms[1:], counts[1:], strict=False)
    return [max(0.0, (after - before) / max(1, t - s) * 1000) for s, before, t, after in pairs]

"""`accord bench withdrawal`: races counted and judged, never a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.load import WrongCount
from bench.races import Asked, Race, judge, stage
from bench.withdrawal import COUNTS, REQUESTS, STAGES
from consent.core.facts import Outcome, RequestKey
from exchange.core.errors import Code
from tests.bench.shown import bench


def test_withdrawals_race_requests(tmp_path: Path) -> None:
    """Every race judged, every request with its one fate, and nothing openable after an acknowledgement that does not name it."""
    found = bench(tmp_path, "withdrawal", "--races", "8", "--per-s", "8", "--repeat", "1")
    counts = {name: found.figures(name)["count"] or 0 for name in (*COUNTS, *STAGES)}
    assert counts["races"] == 8 and counts["unnamed_after"] == 0 and counts["raced"] > 0
    assert sum(counts[name] for name in STAGES) == 8 * REQUESTS
    for name in ("ack", "quiet"):
        assert set(found.figures(name)) == {"p50_ms", "p90_ms", "p99_ms"}
    assert [target.name for target in found.targets] == ["ack_p99_ms", "quiet_p99_ms", "unnamed_after", "raced"]


COMMITTED_MS, ACKED_MS = 1_000, 1_100


def outcome(code: str, delivery: str = "none", reason: str = "") -> Outcome:
    key = RequestKey("211300553", bytes(16), bytes(16))
    return Outcome(key, bytes(32), code, delivery, reason, "", 0, 0)  # type: ignore[arg-type]  # the words a test says


RELEASED, CUT = outcome("released", "key"), outcome("released", "cut")
WITHDRAWN = outcome("refused", reason=Code.WITHDRAWN)


def asked(*told: tuple[int, Outcome], published_ms: int = 900, **more: Any) -> Asked:
    return Asked("r1", published_ms, told, **more)


@pytest.mark.parametrize(
    ("request_", "where"),
    [
        (asked((1_200, WITHDRAWN)), "at_gate"),
        (asked((1_200, WITHDRAWN), task_ms=1_001), "at_gate"),
        (asked((1_200, WITHDRAWN), task_ms=950), "at_connector"),
        (asked((1_200, WITHDRAWN), task_ms=950, answer_ms=1_001), "at_state"),
        (asked((1_200, WITHDRAWN), task_ms=950, answer_ms=990), "at_release"),
        (asked((1_200, CUT)), "cut"),
        (asked((1_050, RELEASED)), "told"),
        (asked((990, RELEASED), (1_200, RELEASED)), "openable_before"),
        (asked((1_200, WITHDRAWN), published_ms=1_001), "asked_after"),
    ],
)
def test_where_the_withdrawal_finds_a_request(request_: Asked, where: str) -> None:
    """What became of a request tells where it was."""
    assert stage(request_, COMMITTED_MS) == where


@pytest.mark.parametrize(
    "request_",
    [asked(), asked((1, outcome("failed", reason=Code.PROVIDER_ERROR))), asked((1, RELEASED), (2, WITHDRAWN))],
)
def test_other_fates_are_no_measure(request_: Asked) -> None:
    """No fate, another fate, or two of them: a wrong count."""
    with pytest.raises(WrongCount):
        stage(request_, COMMITTED_MS)


def test_what_opens_after_is_counted() -> None:
    """Openable from the acknowledgement on: named apart from unnamed; before it: neither; each duration is the race's own."""
    late = asked((ACKED_MS, RELEASED), called_ms=(1_050, 1_130))
    unnamed = judge([Race(COMMITTED_MS, ACKED_MS, frozenset(), [late])])
    assert (unnamed.unnamed_after, unnamed.named_after, unnamed.raced) == (1, 0, 1)
    assert (list(unnamed.ack_ms), list(unnamed.quiet_ms)) == ([100], [30])
    named = judge([Race(COMMITTED_MS, ACKED_MS, frozenset({"r1"}), [late])])
    assert (named.unnamed_after, named.named_after, named.named) == (0, 1, 1)
    before = judge([Race(COMMITTED_MS, ACKED_MS, frozenset(), [asked((1_099, RELEASED)), asked((900, RELEASED))])])
    assert (before.unnamed_after, before.openable_while_acknowledging, list(before.quiet_ms)) == (0, 1, [0])


def test_a_withdrawal_of_nothing_in_flight_is_no_race() -> None:
    """Raced means that a request was under way at the commit."""
    assert judge([Race(COMMITTED_MS, ACKED_MS, frozenset(), [asked((900, RELEASED))])]).raced == 0

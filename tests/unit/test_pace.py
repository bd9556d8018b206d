"""How long a reader rests before it asks for more."""

from __future__ import annotations

from pathlib import Path
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.adapters import pacing
from exchange.adapters.pacing import Pacing, processor_ns
from exchange.core.pace import COMPANY, CROWD, FREE, REST_MOST_S, REST_S, Pace

MS = 1_000_000
looks = st.lists(
    st.tuples(st.integers(1, 500), st.floats(0, 2), st.integers(0, 1 << 40), st.integers(0, 1 << 40)), max_size=30
)


def settled(per_s: float, ran_ms: int, waited_ms: int) -> Pace:
    """After five seconds of one record at a time."""
    pace = Pace()
    for _ in range(int(5 * per_s)):
        pace = pace.seen(1, 1 / per_s, ran_ms * MS, waited_ms * MS)
    return pace


@pytest.mark.parametrize("per_s", [1, 10, 100, 1000])
def test_where_a_processor_is_free_nobody_rests(per_s: int) -> None:
    """A process that hardly waits for a processor asks at once, however much comes."""
    assert settled(per_s, 95, 5).rest_s(1) == 0


@pytest.mark.parametrize("waited_ms", [0, 5, 50, 500])
def test_who_comes_alone_waits_for_nobody(waited_ms: int) -> None:
    """Ten records a second bring no company in the longest rest: none is taken, however busy the machine."""
    assert settled(10, 5, waited_ms).rest_s(1) == 0


def test_the_busier_the_longer() -> None:
    """At 100 a second, a process rests the longer the more of its time it waits for a processor."""
    rests = [settled(100, 100 - share, share).rest_s(1) for share in (20, 40, 55, 90)]
    assert rests == sorted(rests) and rests[0] == 0 and rests[1] > 0 and rests[-1] == REST_MOST_S


def test_a_crowd_waits_for_nobody() -> None:
    """Who has just taken a crowd asks for more at once."""
    pace = settled(1000, 10, 90)
    assert pace.rest_s(CROWD - 1) > 0 and pace.rest_s(CROWD) == 0


def test_what_was_is_forgotten() -> None:
    """A second in which nobody came and no processor was waited for, and the next who comes finds a reader that asks at once."""
    assert settled(1000, 10, 90).seen(1, 1.0, 100 * MS, 0).rest_s(1) == 0


@given(looks, st.integers(1, 500))
def test_a_rest_is_short_and_worth_it(seen: list[tuple[int, float, int, int]], records: int) -> None:
    """Whatever was seen, a rest is `REST_MOST_S` at most, and where there is one it is expected to bring company."""
    pace = Pace()
    for look in seen:
        pace = pace.seen(*look)
    rest_s = pace.rest_s(records)
    assert 0 <= pace.waiting <= 1 and 0 <= rest_s <= REST_MOST_S
    assert not rest_s or (rest_s * pace.per_s >= COMPANY and pace.waiting > FREE)


@pytest.mark.parametrize("waited_ms", [0, 1])
async def test_a_reader_rests_from_what_it_took(monkeypatch: pytest.MonkeyPatch, waited_ms: int) -> None:
    """A reader whose process waits for a processor half of its time, and whose records come one each millisecond, rests from what it took
    last; one whose process waits for none does not."""
    slept = list[float]()
    now_ms = 0

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(pacing.asyncio, "sleep", sleep)
    monkeypatch.setattr(pacing, "monotonic", lambda: now_ms / 1000)
    monkeypatch.setattr(pacing, "processor_ns", lambda: (MS * now_ms, MS * now_ms * waited_ms))
    reader = Pacing()
    while now_ms < 2000:
        now_ms += 1
        reader.took(1)
    now_ms += 5
    await reader.rest()
    assert slept == ([pytest.approx(min(REST_S * (0.5 - FREE), REST_MOST_S) - 0.005, rel=0.01)] if waited_ms else [])


def test_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A system without scheduler statistics is one where nobody is seen to wait."""
    monkeypatch.setattr(pacing, "_STAT", tmp_path / "absent")
    assert processor_ns() == (0, 0)


def test_what_the_system_tells() -> None:
    """On Linux, what ran has run."""
    if not pacing._STAT.exists():
        pytest.skip("no scheduler statistics here")
    before, began_s = processor_ns(), process_time()
    while process_time() - began_s < 0.1:
        pass
    assert processor_ns()[0] - before[0] > 50 * MS

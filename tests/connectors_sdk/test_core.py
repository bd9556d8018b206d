"""What decides when the State is called, what is remembered, and how a provider is: values in, values out."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Failure, Found, NotFound, Reading, Retry
from connectors.sdk.core.circuit import FAILURES_MAX, OPEN_FIRST_MS, OPEN_MOST_MS, Circuit, answered, throttled_s
from connectors.sdk.core.health import STALE_MS, Health, status_of
from connectors.sdk.core.rate import BadRate, Bucket, interval_ms
from connectors.sdk.core.told import Told


@pytest.mark.parametrize(
    ("rate", "expected_ms"), [("20/s", 50), ("250/min", 240), ("5/h", 720_000), ("1/s", 1_000), ("", 0)]
)
def test_a_rate_is_a_time_between_calls(rate: str, expected_ms: float) -> None:
    """20/s is a call every 50 ms; no rate is no wait."""
    assert interval_ms(rate) == expected_ms


@pytest.mark.parametrize("rate", ["20", "0/s", "-1/s", "20/day", "20 / s", "1.5/s", "٢/s", "20/s\n"])
def test_what_is_no_rate_is_refused(rate: str) -> None:
    """A misspelt limit stops the start; it is never no limit."""
    with pytest.raises(BadRate):
        interval_ms(rate)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=200))
def test_never_more_calls_than_the_state_allows(gaps_ms: list[int]) -> None:
    """Whenever they are asked for, at most twenty calls begin in any second, in order."""
    bucket, now_ms, turns = Bucket(), 0, list[float]()
    for gap_ms in gaps_ms:
        now_ms += gap_ms
        turns.append(bucket.turn_ms(now_ms))
        bucket = bucket.taken(now_ms, 50)
    assert turns == sorted(turns)
    assert all(later - earlier >= 1_000 for earlier, later in zip(turns, turns[20:], strict=False))


def test_a_closed_bucket_waits() -> None:
    """After a 429 nobody calls before the time the State gave; an earlier time does not shorten it."""
    bucket = Bucket().closed(7_000).closed(3_000)
    assert bucket.turn_ms(1_000) == 7_000
    assert bucket.turn_ms(9_000) == 9_000


def failing(circuit: Circuit, times: int, now_ms: int = 0) -> Circuit:
    for _ in range(times):
        circuit = circuit.after(answered=False, now_ms=now_ms)
    return circuit


def test_a_circuit_opens_after_failures_in_a_row() -> None:
    """One short of the limit, or an answer in between: still closed; at the limit: open, for a while."""
    nearly = failing(Circuit(), FAILURES_MAX - 1)
    assert nearly.state == failing(nearly.after(True, 0), FAILURES_MAX - 1).state == "closed"
    opened = nearly.after(False, 1_000)
    assert (opened.state, opened.turn_ms(1_000)) == ("open", 1_000 + OPEN_FIRST_MS)


def test_an_open_circuit_is_tried_with_one_call() -> None:
    """At its time one call goes through; meanwhile the others wait; what it brings closes the circuit, or opens it for longer."""
    opened = failing(Circuit(), FAILURES_MAX)
    tried = opened.entered(OPEN_FIRST_MS)
    assert (tried.state, tried.turn_ms(OPEN_FIRST_MS + 1) > OPEN_FIRST_MS + 1) == ("half_open", True)
    assert tried.after(True, 9_000) == Circuit()
    again = tried.after(False, 9_000)
    assert (again.state, again.until_ms) == ("open", 9_000 + 2 * OPEN_FIRST_MS)


def test_a_circuit_never_stays_open_for_ever() -> None:
    """However long it fails, the wait is bounded; a call tried that never reports is tried again."""
    circuit, now_ms = failing(Circuit(), FAILURES_MAX), 0
    for _ in range(20):
        assert circuit.turn_ms(now_ms) - now_ms <= OPEN_MOST_MS
        now_ms = circuit.turn_ms(now_ms)
        circuit = circuit.entered(now_ms)
        assert circuit.turn_ms(now_ms) - now_ms <= OPEN_MOST_MS
        circuit = circuit.after(False, now_ms)


def test_late_failures_do_not_prolong_an_open_circuit() -> None:
    """Calls let through before it opened report after: its time stays."""
    opened = failing(Circuit(), FAILURES_MAX)
    assert failing(opened, 5, 4_000) == opened


@pytest.mark.parametrize(
    ("reading", "there", "status"),
    [
        (Found({}), True, "ok"),
        (NotFound("35003", ""), True, "ok"),
        (Retry("00015", 0), True, "ok"),
        (Retry("00429", 7), True, "ok"),
        (Retry("04501", 172_800), True, "ok"),
        (Failure("", "wrong_person"), True, "ok"),
        (Retry("", 0, "timeout"), False, "bad_gateway"),
        (Retry("", 0, "network"), False, "bad_gateway"),
        (Retry("37002", 0), False, "bad_gateway"),
        (Retry("37020", 0), False, "maintenance"),
        (Failure("00101", "token"), False, "bad_gateway"),
    ],
)
def test_only_an_outage_counts(reading: Reading, there: bool, status: str) -> None:
    """What the State says of one file is an answer; silence, maintenance or a refused token is not."""
    assert (answered(reading), status_of(reading)) == (there, status)


def test_only_a_429_holds_everybody_back() -> None:
    """Its `Retry-After` is for the token; a manual review of two days is for one company."""
    assert throttled_s(Retry("00429", 7)) == 7
    assert throttled_s(Retry("00429", 0)) == 1
    assert throttled_s(Retry("04501", 172_800)) == throttled_s(Found({})) == 0


def test_health_has_the_shape_of_the_state() -> None:
    """Never seen: unknown; seen: the status and both times; after ten minutes without a look: unknown again."""
    assert Health().document(1_000_000) == {"status": "unknown", "last_update": None, "last_ok_status": None}
    now_ms = 1_800_000_000_000
    seen = Health().seen("ok", now_ms).seen("maintenance", now_ms + 60_000)
    assert seen.document(now_ms + 61_000) == {
        "status": "maintenance",
        "last_update": "2027-01-15T08:01:00+00:00",
        "last_ok_status": "2027-01-15T08:00:00+00:00",
    }
    assert seen.document(now_ms + 60_001 + STALE_MS)["status"] == "unknown"


class Sized(NamedTuple):
    name: str
    size_bytes: int


def test_what_was_said_is_said_again_until_its_time() -> None:
    """The same bytes, up to the deadline; then it is forgotten."""
    told: Told[Sized] = Told()
    told.keep("a", Sized("one", 10), 100)
    assert told.get("a", 99) == Sized("one", 10)
    assert told.get("a", 100) is None
    assert told.get("b", 0) is None


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 60)), max_size=60))
def test_what_is_remembered_is_bounded(kept: list[tuple[int, int]]) -> None:
    """Never more bytes than allowed; the oldest leave first, and the last one kept is there if it fits."""
    told: Told[Sized] = Told(size_max_bytes=100)
    for task, size in kept:
        told.keep(task, Sized("x", size), 1)
        there = [found.size_bytes for key in range(21) if (found := told.get(key, 0))]
        assert sum(there) <= 100
        assert told.get(task, 0) == Sized("x", size)

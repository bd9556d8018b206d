"""What the console decides: values in, values out."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from portal.core.masking import CODES, IDS, NUMBERS, fields_of
from portal.core.plots import HEIGHT, WIDTH, points, rates
from portal.core.timeline import spans_of

NAMES = st.text(min_size=1).filter(lambda name: name not in CODES | IDS | NUMBERS | {"operator"})
SECRETS = st.text("ÀÉØzq", min_size=6).map(lambda text: f"MARTIN{text}")


@given(st.dictionaries(NAMES, SECRETS | st.lists(SECRETS, min_size=1) | SECRETS.map(str.encode), min_size=1))
def test_what_is_not_known_is_masked(record: dict[str, object]) -> None:
    """A field that is not known to hold a code or an id shows nothing of its value, at any depth."""
    shown = fields_of({"inside": record, "listed": [record]})
    assert shown and not any("MARTIN" in field.shown for field in shown)
    assert {field.kind for field in shown} <= {"masked", "sealed"}


def test_codes_and_ids_are_shown() -> None:
    """Ids in hexadecimal, codes and numbers in clear, sealed bytes as size and hash, what is not there as absent."""
    record = {
        "request_id": b"\x01" * 16,
        "code": "refused",
        "deadline_ms": bytes(7) + b"\x05",
        "inner": b"x" * 9,
        "reason": "",
        "scopes": ["a", "b"],
    }
    told = {field.name: (field.kind, field.shown) for field in fields_of(record)}
    assert told["request_id"] == ("id", "01" * 16) and told["code"] == ("code", "refused")
    assert (
        told["deadline_ms"] == ("number", "5")
        and told["scopes"] == ("code", "a, b")
        and told["reason"] == ("absent", "")
    )
    assert told["inner"][0] == "sealed" and told["inner"][1].startswith("9:")


def test_a_long_code_is_none() -> None:
    """A text too long for a closed list is somebody's own words: masked."""
    assert fields_of({"reason": "x" * 300})[0].kind == "masked"


def span(name: str, trace: str, request: str, start: str, end: str) -> str:
    attributes = {"messaging.message.conversation_id": request, "messaging.destination.name": "t"}
    day = "2026-11-28T10:00:"
    return json.dumps({
        "name": name, "context": {"trace_id": trace}, "start_time": f"{day}{start}Z", "end_time": f"{day}{end}Z", "attributes": attributes,
        "resource": {"attributes": {"service.name": "gate"}},
    })  # fmt: skip


def test_spans_of_a_request() -> None:
    """All of its trace, from whatever file, in time's order, and nothing of another's; unreadable lines are passed over."""
    mine, other = "aa" * 16, "bb" * 16
    files = [
        [
            span("gate", "0x1", mine, "00.010000", "00.020000"),
            "{",
            "null",
            span("gate", "0x2", other, "00.000000", "00.001000"),
        ],
        [span("request", "0x1", mine, "00.000000", "00.005000"), span("chunk", "0x1", "", "00.090000", "00.100000")],
    ]
    found = spans_of(files, mine)
    assert [(each.name, each.at_ms, each.took_ms) for each in found] == [
        ("request", 0, 5),
        ("gate", 10, 10),
        ("chunk", 90, 10),
    ]
    assert [(each.left, each.width) for each in found] == [(0, 50), (100, 100), (900, 100)]
    assert spans_of(files, "cc" * 16) == []


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50))
def test_points_stay_inside(values: list[float]) -> None:
    """A curve stays inside its frame, from its left edge to its right one."""
    pairs = [tuple(map(float, pair.split(","))) for pair in points(values).split()]
    assert (pairs[0][0], pairs[-1][0]) == (0, WIDTH) and all(0 <= y <= HEIGHT for _, y in pairs)


def test_rates() -> None:
    """Records a second; a topic made anew is no negative rate."""
    assert rates([0, 1000, 3000, 4000], [0, 10, 20, 0]) == [10, 5, 0]

"""CloudEvents headers, against the CloudEvents SDK where it is right and alone where it is not."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.cloudevents import MAX_HEADERS, MAX_HEADERS_SIZE_BYTES, BadHeaders, Event, headers, parse

GOOD = headers("id-1", "urn:siret:21380185500015", "fr.accord.exchange.requested.v1")
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30)
TIME = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
NAMES = st.from_regex(r"[a-z][a-z0-9]{0,15}", fullmatch=True).filter(
    lambda name: name not in {"id", "source", "type", "time", "subject", "specversion", "data", "datacontenttype"}
)
EXTRA = st.dictionaries(NAMES, TEXT, max_size=5)


def attributes_of(event: Event) -> dict[str, Any]:
    """The event as the SDK names its attributes."""
    known = {"id": event.id, "source": event.source, "type": event.type, "time": event.time, "subject": event.subject}
    return {name: value for name, value in known.items() if value is not None} | dict(event.extra)


@given(id=TEXT, source=TEXT, type=TEXT, time=TIME, subject=st.none() | TEXT, extra=EXTRA)
def test_the_headers_are_the_sdk_s(
    id: str, source: str, type: str, time: datetime, subject: str | None, extra: dict[str, str]
) -> None:
    """The SDK writes the same headers for the same event, and reads ours as that event."""
    text = time.isoformat().replace("+00:00", "Z")
    ours = headers(id, source, type, time=text, subject=subject, extra=extra)
    attributes: dict[str, Any] = {"id": id, "source": source, "type": type, "time": time, **extra}
    attributes |= {"subject": subject} if subject is not None else {}
    theirs = to_binary_event(CloudEvent({**attributes, "datacontenttype": "application/avro"}, b"\x00"))
    assert dict(ours) == theirs.headers
    assert len(ours) == len(theirs.headers)
    read = from_kafka_event(KafkaMessage(headers=dict(ours), key=None, value=b"\x00"))
    assert read.get_attributes() == {**attributes, "specversion": "1.0", "datacontenttype": "application/avro"}


@given(id=TEXT, source=TEXT, type=TEXT, time=TIME, subject=st.none() | TEXT, extra=EXTRA)
def test_what_the_sdk_writes_is_parsed(
    id: str, source: str, type: str, time: datetime, subject: str | None, extra: dict[str, str]
) -> None:
    """An event that the SDK wrote is the same event to us, and comes back from our own headers."""
    given_ = {
        "id": id,
        "source": source,
        "type": type,
        **({"subject": subject} if subject is not None else {}),
        **extra,
    }
    message = to_binary_event(CloudEvent({**given_, "time": time, "datacontenttype": "application/avro"}, b"\x00"))
    event = parse(message.headers.items())
    assert attributes_of(event) == {**given_, "time": time.isoformat().replace("+00:00", "Z")}
    assert parse(headers(**{name: getattr(event, name) for name in Event.__slots__})) == event


def test_where_the_sdk_fails_we_do_not() -> None:
    """The SDK cannot read a binary key, such as an authorisation id; our headers do not depend on the key."""
    with pytest.raises(UnicodeDecodeError):
        from_kafka_event(KafkaMessage(headers=dict(GOOD), key=b"\xff" * 16, value=b"\x00"))
    assert parse(GOOD).id == "id-1"


def test_headers_of_others_are_left_alone() -> None:
    """Headers that are not the event's may be there, even bytes, and are no part of the event."""
    others = [("traceparent", b"00-ab-cd-01"), ("__value_schema_id", b"\xff\xfe"), ("null", None)]
    assert parse([*GOOD, *others]) == parse(GOOD)


def without(name: str) -> list[tuple[str, bytes]]:
    return [header for header in GOOD if header[0] != name]


def replaced(name: str, value: bytes) -> list[tuple[str, bytes]]:
    return [*without(name), (name, value)]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([], "bad_content_type"),
        (without("ce_id"), "missing_attribute"),
        (without("ce_source"), "missing_attribute"),
        (without("ce_type"), "missing_attribute"),
        (without("ce_specversion"), "missing_attribute"),
        (without("content-type"), "bad_content_type"),
        (replaced("content-type", b"application/json"), "bad_content_type"),
        (replaced("content-type", b"application/cloudevents+json; charset=utf-8"), "structured"),
        (replaced("content-type", b"Application/CloudEvents-Batch+json"), "structured"),
        (replaced("ce_specversion", b"0.3"), "bad_specversion"),
        (replaced("ce_id", b""), "bad_attribute"),
        (replaced("ce_id", b"a\r\nb"), "bad_attribute"),
        (replaced("ce_id", b"\xff"), "not_utf8"),
        ([*GOOD, ("ce_more", b"\xc0\x80")], "not_utf8"),
        ([*GOOD, ("ce_", b"x")], "bad_attribute"),
        ([*GOOD, ("ce_a-b", b"x")], "bad_attribute"),
        ([*GOOD, ("ce_\u0661", b"x")], "bad_attribute"),
        ([*GOOD, ("ce_more", None)], "bad_attribute"),
        ([*GOOD, ("ce_id", b"id-1")], "duplicate"),
        ([*GOOD, ("CE_ID", b"id-2")], "duplicate"),
        ([*GOOD, ("ce_datacontenttype", b"application/json")], "duplicate"),
        ([*GOOD, ("other", b"1"), ("other", b"2")], "duplicate"),
        ([*GOOD, ("ce_time", b"yesterday")], "bad_time"),
        ([*GOOD, ("ce_time", b"2026-02-30T00:00:00Z")], "bad_time"),
        ([*GOOD, ("ce_time", b"2026-02-03T00:00:00")], "bad_time"),
        ([*GOOD, ("ce_time", b"0000-01-01T00:00:00Z")], "bad_time"),
        ([*GOOD, *((f"h{number}", b"") for number in range(1000))], "too_many"),
        ([*GOOD, ("h", bytes(MAX_HEADERS_SIZE_BYTES))], "too_large"),
    ],
)
def test_headers_that_are_no_event_are_refused(bad: list[tuple[str, bytes | None]], reason: str) -> None:
    """Each malformed set of headers is a BadHeaders with its reason."""
    with pytest.raises(BadHeaders, match=f"^{reason}$"):
        parse(bad)


def test_as_many_headers_as_the_cap_are_read() -> None:
    """The cap on the number of headers is exact."""
    full = [*GOOD, *((f"h{number}", b"") for number in range(MAX_HEADERS - len(GOOD)))]
    assert parse(full) == parse(GOOD)
    with pytest.raises(BadHeaders, match="^too_many$"):
        parse([*full, ("one-more", b"")])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"id": ""}, "bad_attribute"),
        ({"type": "a\nb"}, "bad_attribute"),
        ({"source": "\ud800"}, "bad_attribute"),
        ({"time": "21/11/2026"}, "bad_time"),
        ({"extra": {"id": "another"}}, "duplicate"),
        ({"extra": {"data": "x"}}, "duplicate"),
        ({"extra": {"Upper": "x"}}, "bad_attribute"),
        ({"subject": "x" * MAX_HEADERS_SIZE_BYTES}, "too_large"),
    ],
)
def test_no_headers_are_made_that_would_not_be_read(changed: dict[str, Any], reason: str) -> None:
    """What ``parse`` would refuse, ``headers`` refuses to write."""
    with pytest.raises(BadHeaders, match=f"^{reason}$"):
        headers(**{"id": "i", "source": "s", "type": "t", **changed})


def test_any_headers_are_an_event_or_a_refusal() -> None:
    """Of 5,000 mutated sets of headers each is an event whose headers are read alike, or a BadHeaders."""
    rng = random.Random(20_261_121)
    full = headers("i", "s", "t", time=(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=1)).isoformat(), subject="x")
    read = 0
    for _ in range(5_000):
        pairs = [*full]
        at = rng.randrange(len(pairs))
        name, value = pairs[at]
        edit = rng.randrange(4)
        pairs[at] = (name, rng.randbytes(rng.randrange(6))) if edit == 0 else pairs[at]
        pairs[at] = (name + rng.choice(["x", "É", "_", " "]), value) if edit == 1 else pairs[at]
        pairs[at] = (name, value + bytes([rng.randrange(256)])) if edit == 2 else pairs[at]
        pairs = pairs[:at] + pairs[at + 1 :] if edit == 3 else pairs
        try:
            event = parse(pairs)
        except BadHeaders:
            continue
        read += 1
        assert parse(headers(**{field: getattr(event, field) for field in Event.__slots__})) == event
    assert 0 < read < 5_000

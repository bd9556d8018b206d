"""Reading a request in place: held equal to the strict codec of exchange-request.v1, bytes by bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from exchange.core.avro import BadAvro
from exchange.core.frame import BadFrame, unframe
from exchange.core.heads import HEAD, SIZE_MAX_BYTES, TAIL_AT, BadRequest, Head, bytes_at, read_head, varint
from exchange.schemas import catalogue

CODEC, PREFIX = catalogue().codec("exchange-request"), catalogue().prefix("exchange-request")
BODIES = st.fixed_dictionaries({
    "request_id": st.binary(min_size=16, max_size=16),
    "authorisation_id": st.binary(min_size=16, max_size=16),
    "certificate_hash": st.binary(min_size=32, max_size=32),
    "ttl_ms": st.integers(0, (1 << 32) - 1).map(lambda ms: ms.to_bytes(4, "big")),
    "ask": st.binary(max_size=200),
    "identity": st.binary(max_size=300),
})  # fmt: skip
SMALL = PREFIX + bytes(68) + b"\x04as\x02i"


def by_codec(value: bytes | None) -> Head | None:
    """The same reading by the frame and the strict codec."""
    try:
        schema_id, datum = unframe(value)
        body = CODEC.decode(datum)
    except (BadFrame, BadAvro):
        return None
    if schema_id != catalogue().id("exchange-request"):
        return None
    ttl_ms = int.from_bytes(body["ttl_ms"], "big")
    return Head(body["request_id"], body["authorisation_id"], body["certificate_hash"], ttl_ms, body["ask"])


def by_hand(value: bytes | None) -> Head | None:
    try:
        return read_head(value, PREFIX)
    except BadRequest:
        return None


@given(BODIES)
def test_a_request_is_read_as_the_codec_reads_it(body: dict[str, Any]) -> None:
    """Every field, and where the tail begins."""
    value = PREFIX + CODEC.encode(body)
    head = by_hand(value)
    assert head is not None and head == by_codec(value)
    assert (
        value[head.tail_at :]
        == varint(len(body["ask"])) + body["ask"] + varint(len(body["identity"])) + body["identity"]
    )


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A request with some bytes changed, added or taken away, mostly about its lengths."""
    value = bytearray(PREFIX + CODEC.encode(draw(BODIES)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.one_of(st.just(TAIL_AT), st.integers(0, max(len(value) - 1, 0))))
        kind = draw(st.sampled_from(["set", "insert", "delete", "cut", "double"]))
        piece = draw(
            st.sampled_from([b"\x00", b"\x01", b"\x80", b"\x80\x00", b"\xff", b"\xff\xff\xff\xff\x0f", b"\x02"])
        )
        if kind == "set":
            value[at : at + len(piece)] = piece
        elif kind == "insert":
            value[at:at] = piece
        elif kind == "delete":
            del value[at : at + 1]
        elif kind == "cut":
            del value[at:]
        else:
            value += value[at:]
    return bytes(value)


@given(mutated())
@example(SMALL)
@example(SMALL[:TAIL_AT] + b"\x84\x00as\x02i")
@example(SMALL[:TAIL_AT] + b"\x80\x00\x00")
@example(SMALL[:TAIL_AT] + b"\x03as\x02i")
@example(SMALL[:TAIL_AT] + b"\xfe\xff\xff\xff\x0f" + b"as\x02i")
@example(SMALL[:TAIL_AT] + b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")
@example(SMALL + b"\x00")
@example(SMALL[:-1])
def test_a_mutated_request_is_read_or_refused_as_the_codec_does(value: bytes) -> None:
    """Both say no, or both read the same: the hand-written reading is no looser and no stricter."""
    assert by_hand(value) == by_codec(value)


@given(st.one_of(st.none(), st.binary(max_size=120), st.binary(max_size=60).map(lambda tail: SMALL[:TAIL_AT] + tail)))
def test_any_bytes_are_read_or_refused_as_the_codec_does(value: bytes | None) -> None:
    """The same of bytes that were never a request."""
    assert by_hand(value) == by_codec(value)


@given(st.integers(0, 1 << 27))
def test_a_length_is_written_as_avro_writes_it(size: int) -> None:
    """Zig-zag, seven bits at a time, and the least number of bytes."""
    length, expected = size << 1, bytearray()
    while True:
        expected.append(length & 0x7F | (0x80 if length > 0x7F else 0))
        length >>= 7
        if not length:
            break
    assert varint(size) == bytes(expected)


@given(st.binary(max_size=300))
def test_bytes_are_found_where_they_lie(data: bytes) -> None:
    """A length and its bytes, at an offset, with something after."""
    value = b"before" + varint(len(data)) + data + b"after"
    start, end = bytes_at(value, 6, len(value))
    assert value[start:end] == data


@pytest.mark.parametrize(("over", "read"), [(0, True), (1, False)])
def test_a_request_has_a_largest_size(over: int, read: bool) -> None:
    """Above it nothing is read: the task, which adds a certificate, must still be one message."""
    ask = bytes(SIZE_MAX_BYTES - HEAD.size - 4 + over)
    value = SMALL[:TAIL_AT] + varint(len(ask)) + ask + b"\x00"
    assert len(value) == SIZE_MAX_BYTES + over
    assert (by_hand(value) is not None) is read

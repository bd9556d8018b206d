"""Confluent's five bytes before an Avro datum."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.core.frame import MAX_SCHEMA_ID, PREFIX_SIZE_BYTES, BadFrame, frame, prefix, unframe


def test_the_frame_is_the_one_confluent_wrote_down() -> None:
    """Zero, the id as a big-endian int32, the datum."""
    assert frame(7, b"datum") == b"\x00\x00\x00\x00\x07datum"
    assert frame(MAX_SCHEMA_ID, b"") == b"\x00\x7f\xff\xff\xff"
    assert prefix(0x01020304) == b"\x00\x01\x02\x03\x04"
    assert len(prefix(1)) == PREFIX_SIZE_BYTES


@given(schema_id=st.integers(1, MAX_SCHEMA_ID), datum=st.binary(max_size=60))
def test_what_is_framed_comes_back(schema_id: int, datum: bytes) -> None:
    """Unframing gives the id and the datum that were framed."""
    assert unframe(frame(schema_id, datum)) == (schema_id, datum)


@given(value=st.binary(max_size=12))
def test_any_bytes_are_a_frame_or_a_refusal(value: bytes) -> None:
    """Bytes that are unframed are framed to the same bytes again."""
    try:
        schema_id, datum = unframe(value)
    except BadFrame:
        return
    assert frame(schema_id, datum) == value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no_value"),
        (b"", "truncated"),
        (b"\x00\x00\x00\x00", "truncated"),
        (b"\x01\x00\x00\x00\x01x", "bad_magic"),
        (b'{"json": 1}', "bad_magic"),
        (b"\x00\x00\x00\x00\x00x", "bad_schema_id"),
        (b"\x00\xff\xff\xff\xffx", "bad_schema_id"),
        (b"\x00\x80\x00\x00\x00x", "bad_schema_id"),
    ],
)
def test_what_is_no_frame_is_refused(value: bytes | None, reason: str) -> None:
    """A null, short, foreign or negative frame is a BadFrame with its reason."""
    with pytest.raises(BadFrame, match=f"^{reason}$"):
        unframe(value)


@pytest.mark.parametrize("schema_id", [0, -1, MAX_SCHEMA_ID + 1])
def test_no_frame_is_made_of_an_id_that_is_none(schema_id: int) -> None:
    """Only a positive int32 is a schema id."""
    with pytest.raises(BadFrame, match="^bad_schema_id$"):
        frame(schema_id, b"")

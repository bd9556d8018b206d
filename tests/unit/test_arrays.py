"""The arrays of Kafka's messages are aiokafka's to the byte, of every message that is said often."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest
from aiokafka.protocol import types as kinds
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.adapters import arrays
from exchange.adapters.arrays import Pass

BITS = {kinds.Int8: 8, kinds.Int16: 16, kinds.Int32: 32, kinds.Int64: 64}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """What a field of this kind may hold."""
    if kind in BITS:
        return st.integers(-(1 << BITS[kind] - 1), (1 << BITS[kind] - 1) - 1)
    if kind is kinds.Boolean:
        return st.booleans()
    if kind is kinds.Bytes:
        return st.none() | st.binary(max_size=9)
    if isinstance(kind, kinds.String):
        return st.none() | st.text(max_size=9)
    if isinstance(kind, kinds.Schema):
        return st.tuples(*map(values, kind.fields))
    assert isinstance(kind, kinds.Array), kind
    return st.none() | st.lists(values(kind.array_of), max_size=3)


def passes() -> Iterator[Pass]:
    """Those of every message, as aiokafka has them in this process."""
    arrays.use()
    yield from (field for schema in arrays.schemas() for field in schema.fields if isinstance(field, Pass))


PASSES = {id(one): one for one in passes()}


def test_what_is_said_often_is_read_in_one_pass() -> None:
    """Of it no array is left to aiokafka."""
    assert not [field for schema in arrays.schemas() for field in schema.fields if type(field) is kinds.Array]


@given(st.data())
@settings(max_examples=300)
def test_an_array_is_written_and_read_as_aiokafka_does(data: st.DataObject) -> None:
    """Whatever it holds; what lies behind it stays where it is."""
    one = PASSES[data.draw(st.sampled_from(sorted(PASSES)))]
    items = data.draw(values(one))
    written = one.encode(items)
    assert written == kinds.Array.encode(one, items)
    before, behind = data.draw(st.binary(max_size=3)), data.draw(st.binary(max_size=3))
    stream = BytesIO(before + written + behind)
    stream.seek(len(before))
    assert one.decode(stream) == kinds.Array.decode(one, BytesIO(written)) == items
    assert stream.read() == behind


@given(st.data())
@settings(max_examples=300)
def test_an_array_that_is_cut_is_told(data: st.DataObject) -> None:
    """With the error that aiokafka has for it; where aiokafka reads on from what is left, so does this."""
    one = PASSES[data.draw(st.sampled_from(sorted(PASSES)))]
    written = one.encode(data.draw(values(one)))
    cut = written[: data.draw(st.integers(0, len(written) - 1))]
    with pytest.raises(ValueError):
        one.decode(BytesIO(cut))
    with pytest.raises(ValueError):
        kinds.Array.decode(one, BytesIO(cut))


@given(st.data(), st.binary(max_size=60))
@settings(max_examples=300)
def test_other_bytes_are_read_as_aiokafka_does_or_not_at_all(data: st.DataObject, other: bytes) -> None:
    """Whatever comes over the wire."""
    one = PASSES[data.draw(st.sampled_from(sorted(PASSES)))]
    theirs, ours = said(lambda: kinds.Array.decode(one, BytesIO(other))), said(lambda: one.decode(BytesIO(other)))
    assert ours == theirs


def said(work: Any) -> Any:
    try:
        return work()
    except ValueError as error:
        return "not UTF-8" if isinstance(error, UnicodeDecodeError) else "bytes are missing"


@pytest.mark.parametrize("number", [1 << 31, -(1 << 31) - 1])
def test_a_number_that_does_not_fit_is_told(number: int) -> None:
    """As aiokafka does."""
    one = Pass(kinds.Array(("partition", kinds.Int32), ("offset", kinds.Int64)))
    with pytest.raises(ValueError):
        one.encode([(number, 0)])
    with pytest.raises(ValueError):
        one.encode([(0,)])


def test_a_field_of_another_kind_is_left_to_aiokafka() -> None:
    """Lengths of a variable size are no affair of ours."""
    with pytest.raises(arrays.Unknown):
        Pass(kinds.Array(kinds.CompactString()))

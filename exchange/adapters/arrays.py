"""The arrays of Kafka's messages, read and written in one pass.

aiokafka asks each field of each element for its own bytes, through four calls: of a fetch of 32 partitions that bring nothing, 2,000 calls,
a tenth of what an agent does for a record that comes alone. This takes the place of how arrays are read and written, in the schemas of
what is said again and again, and of nothing else; `tests/unit/test_arrays.py` holds it to aiokafka's own, byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Any, cast

from aiokafka.protocol import commit, fetch, group, metadata, offset, produce
from aiokafka.protocol import types as kinds
from aiokafka.protocol.struct import Struct

_FIXED = {kinds.Int8: "b", kinds.Int16: "h", kinds.Int32: "i", kinds.Int64: "q", kinds.Boolean: "?"}
_COUNT, _SIZE = struct.Struct(">i"), struct.Struct(">h")
SAID_OFTEN = (fetch, produce, offset, metadata, commit, group)
_Take = Callable[[bytes, int, int], tuple[Any, int]]
"""What has a length, and the place after it: of bytes, the place behind that length, and the length."""
_Write = Callable[[Any, list[bytes]], None]
"""Adds the parts of a value."""


class Unknown(Exception):
    """A kind of field that is aiokafka's own affair."""


class Pass(kinds.Array):  # type: ignore[misc]  # nothing of aiokafka is typed
    """aiokafka's array (Kafka's protocol, "ARRAY"), in one pass. ValueError where bytes are missing. `Unknown`."""

    def __init__(self, array: kinds.Array) -> None:
        self.array_of = array.array_of
        (_, self._take), self._write = _taker(array), _writer(array)

    def decode(self, data: BytesIO) -> list[Any] | None:
        whole, at = data.getvalue(), data.tell()
        try:
            value, at = self._take(whole, at + _COUNT.size, *_COUNT.unpack_from(whole, at))
        except struct.error:
            raise ValueError("bytes are missing") from None
        data.seek(at)
        return value  # type: ignore[no-any-return]  # an array's is a list

    def encode(self, items: Sequence[Any] | None) -> bytes:
        parts: list[bytes] = []
        try:
            self._write(items, parts)
        except struct.error:
            raise ValueError("a number that does not fit") from None
        return b"".join(parts)


def _taker(kind: Any) -> tuple[str, _Take]:
    """How its length is written, and what takes what follows."""
    if type(kind) is kinds.Array:
        return "i", _numbers_taker(kind.array_of) if kind.array_of in _FIXED else _rows_taker(kind.array_of)
    if type(kind) is kinds.String:
        return "h", _text_taker(kind.encoding)
    if kind is kinds.Bytes:
        return "i", _take_bytes
    raise Unknown


def _numbers_taker(each: Any) -> _Take:
    code = _FIXED[each]

    def take(data: bytes, at: int, count: int) -> tuple[list[Any] | None, int]:
        numbers = struct.Struct(f">{max(count, 0)}{code}")
        return (None if count == -1 else list(numbers.unpack_from(data, at))), at + numbers.size

    return take


def _rows_taker(each: Any) -> _Take:
    """Of schemas, whose numbers, and the length that follows them, are one step; of texts as of schemas with one field."""
    steps = list(_steps(each.fields if type(each) is kinds.Schema else (each,)))
    alone = type(each) is not kinds.Schema

    def take(data: bytes, at: int, count: int) -> tuple[list[Any] | None, int]:
        if count == -1:
            return None, at
        rows = []
        for _ in range(count):
            row: list[Any] = []
            for numbers, follows in steps:
                row += numbers.unpack_from(data, at)
                at += numbers.size
                if follows is not None:
                    value, at = follows(data, at, row.pop())
                    row.append(value)
            rows.append(row[0] if alone else tuple(row))
        return rows, at

    return take


def _steps(fields: Sequence[Any]) -> Iterator[tuple[struct.Struct, _Take | None]]:
    codes = ""
    for kind in fields:
        if kind in _FIXED:
            codes += _FIXED[kind]
        else:
            code, take = _taker(kind)
            yield struct.Struct(f">{codes}{code}"), take
            codes = ""
    if codes:
        yield struct.Struct(f">{codes}"), None


def _text_taker(encoding: str) -> _Take:
    def take(data: bytes, at: int, size: int) -> tuple[str | None, int]:
        value, at = _take_bytes(data, at, size)
        return (None if value is None else value.decode(encoding)), at

    return take


def _take_bytes(data: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    if size < 0:
        return None, at
    value = data[at : at + size]
    if len(value) != size:
        raise struct.error
    return value, at + size


def _writer(kind: Any) -> _Write:
    if kind in _FIXED:
        pack = struct.Struct(">" + _FIXED[kind]).pack
        return lambda value, parts: parts.append(pack(value))
    if type(kind) is kinds.Array:
        return _array_writer(_writer(kind.array_of))
    if type(kind) is kinds.Schema:
        return _schema_writer(kind)
    if type(kind) is kinds.String or kind is kinds.Bytes:
        return lambda value, parts: parts.append(kind.encode(value))
    raise Unknown


def _array_writer(one: _Write) -> _Write:
    def write(items: Sequence[Any] | None, parts: list[bytes]) -> None:
        if items is None:
            parts.append(_COUNT.pack(-1))
            return
        parts.append(_COUNT.pack(len(items)))
        for item in items:
            one(item, parts)

    return write


def _schema_writer(schema: kinds.Schema) -> _Write:
    count = len(schema.fields)
    if all(kind in _FIXED for kind in schema.fields):
        pack = struct.Struct(">" + "".join(_FIXED[kind] for kind in schema.fields)).pack

        def write_numbers(item: Sequence[Any], parts: list[bytes]) -> None:
            parts.append(pack(*item))

        return write_numbers
    writers = [_writer(kind) for kind in schema.fields]

    def write(item: Sequence[Any], parts: list[bytes]) -> None:
        if len(item) != count:
            raise struct.error
        for each, value in zip(writers, item, strict=True):
            each(value, parts)

    return write


def use() -> None:
    """In this process, for all that aiokafka says from now on."""
    for schema in schemas():
        schema.fields = tuple(map(_passing, schema.fields))


def schemas() -> Iterator[Any]:
    """Those of what is said often."""
    for module in SAID_OFTEN:
        found = (one for one in vars(module).values() if isinstance(one, type) and issubclass(one, Struct))
        yield from (cast(Any, one).SCHEMA for one in found)


def _passing(kind: Any) -> Any:
    try:
        return Pass(kind) if type(kind) is kinds.Array else kind
    except Unknown:
        return kind

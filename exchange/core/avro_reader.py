"""Reading an Avro datum, exactly of the bytes that encoding writes (see ``exchange.core.avro``).

``compile_reader`` turns a schema into nested closures, or refuses it. The Avro specification's section "Binary encoding"
gives the forms; of the several that it allows for one datum, one is accepted.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, Literal, NamedTuple, TypeAlias

MAX_ITEMS: Final = 1_000
MAX_DEPTH: Final = 16

Reason: TypeAlias = Literal[
    "too_large",
    "truncated",
    "trailing_bytes",
    "not_canonical",
    "int_overflow",
    "bad_boolean",
    "bad_float",
    "bad_length",
    "bad_utf8",
    "bad_enum_index",
    "bad_union_index",
    "bad_block",
    "duplicate_key",
    "not_of_schema",
]
SchemaReason: TypeAlias = Literal[
    "not_avro", "not_a_record", "recursive", "zero_size", "too_deep", "too_large", "logical_type", "ambiguous_union"
]


class BadAvro(ValueError):
    """Bytes, or a value, that the schema does not allow. Holds a reason of a closed list and never the value."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class BadSchema(ValueError):
    """A schema that no codec may be made of: its data could not be bounded, or would have two encodings."""

    def __init__(self, reason: SchemaReason) -> None:
        super().__init__(reason)
        self.reason: SchemaReason = reason


# A read takes the data and the position of a datum, and returns its value and the position after it. It always moves forward and
# raises IndexError or BadAvro; past the end it gets only to find no byte there, or to end where the data do not.
Read: TypeAlias = Callable[[bytes, int], tuple[Any, int]]


def _long(data: bytes, pos: int) -> tuple[int, int]:
    """The zigzag varint at ``pos`` and the position after it; minimal, at most ten bytes, at most 64 bits."""
    byte = data[pos]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), pos + 1
    raw = byte & 0x7F
    for shift in range(7, 70, 7):
        pos += 1
        byte = data[pos]
        raw |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0:
                raise BadAvro("not_canonical")
            if raw >> 64:
                break
            return (raw >> 1) ^ -(raw & 1), pos + 1
    raise BadAvro("int_overflow")


def _int(data: bytes, pos: int) -> tuple[int, int]:
    value, pos = _long(data, pos)
    if not -(1 << 31) <= value < 1 << 31:
        raise BadAvro("int_overflow")
    return value, pos


def _boolean(data: bytes, pos: int) -> tuple[bool, int]:
    if data[pos] > 1:
        raise BadAvro("bad_boolean")
    return data[pos] == 1, pos + 1


def _bytes(data: bytes, pos: int) -> tuple[bytes, int]:
    byte = data[pos]
    if byte < 0x80 and not byte & 1:  # most are short: as `_long`, without its call
        start, end = pos + 1, pos + 1 + (byte >> 1)
    else:
        length, start = _long(data, pos)
        end = start + length
        if length < 0:
            raise BadAvro("bad_length")
    return data[start:end], end


def _string(data: bytes, pos: int) -> tuple[str, int]:
    text, end = _bytes(data, pos)
    return text.decode(), end


def _real(layout: str) -> Read:
    """NaN has many encodings and infinity no JSON: neither is a number an administration sends."""
    unpack_from, size = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def read(data: bytes, pos: int) -> tuple[float, int]:
        if size > len(data) - pos:
            raise BadAvro("truncated")
        (value,) = unpack_from(data, pos)
        if not isfinite(value):
            raise BadAvro("bad_float")
        return value, pos + size

    return read


def _fixed(size: int) -> Read:
    def read(data: bytes, pos: int) -> tuple[bytes, int]:
        end = pos + size
        return data[pos:end], end

    return read


def _enum(symbols: list[str]) -> Read:
    def read(data: bytes, pos: int) -> tuple[str, int]:
        index, pos = _long(data, pos)
        if not 0 <= index < len(symbols):
            raise BadAvro("bad_enum_index")
        return symbols[index], pos

    return read


def _union(branches: list[Read]) -> Read:
    one_byte = {index << 1: branch for index, branch in enumerate(branches)}  # there are at most as many as kinds

    def read(data: bytes, pos: int) -> tuple[Any, int]:
        branch = one_byte.get(data[pos])
        if branch is None:
            raise BadAvro("bad_union_index")
        return branch(data, pos + 1)

    return read


def _record(fields: list[tuple[str, Read]]) -> Read:
    def read(data: bytes, pos: int) -> tuple[dict[str, Any], int]:
        value: dict[str, Any] = {}
        for name, field in fields:
            value[name], pos = field(data, pos)
        return value, pos

    return read


def _block(data: bytes, pos: int) -> tuple[int, int]:
    """How many items an array or a map has: none, or all of them in one block."""
    count, pos = _long(data, pos)
    if count and not 0 < count <= min(MAX_ITEMS, len(data) - pos):
        raise BadAvro("bad_block")
    return count, pos


def _block_end(data: bytes, pos: int, count: int) -> int:
    """The position after the zero that ends a block, which nothing follows when there was none."""
    if not count:
        return pos
    if data[pos] != 0:
        raise BadAvro("not_canonical")
    return pos + 1


def _array(item: Read) -> Read:
    def read(data: bytes, pos: int) -> tuple[list[Any], int]:
        items = []
        count, pos = _block(data, pos)
        for _ in range(count):
            value, pos = item(data, pos)
            items.append(value)
        return items, _block_end(data, pos, count)

    return read


def _map(item: Read) -> Read:
    def read(data: bytes, pos: int) -> tuple[dict[str, Any], int]:
        items = {}
        count, pos = _block(data, pos)
        for _ in range(count):
            key, pos = _string(data, pos)
            items[key], pos = item(data, pos)
        if len(items) != count:
            raise BadAvro("duplicate_key")
        return items, _block_end(data, pos, count)

    return read


class _Compiled(NamedTuple):
    read: Read
    depth: int
    kind: str
    """What fastavro's writer sees of a value: it takes bytes for a sequence, an int for a float."""


_NULL: Final = _Compiled(lambda data, pos: (None, pos), 0, "null")
_PRIMITIVES: Final[Mapping[str, _Compiled]] = {
    "boolean": _Compiled(_boolean, 1, "boolean"),
    "int": _Compiled(_int, 1, "number"),
    "long": _Compiled(_long, 1, "number"),
    "float": _Compiled(_real("<f"), 1, "number"),
    "double": _Compiled(_real("<d"), 1, "number"),
    "bytes": _Compiled(_bytes, 1, "sequence"),
    "string": _Compiled(_string, 1, "text"),
}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def compile_reader(schema: Any) -> Read:
    """The reader of a schema that fastavro has parsed: names in full, each defined before its use. Raises BadSchema."""
    return _Compiler().compile(schema).read


class _Compiler:
    def __init__(self) -> None:
        self._named: dict[str, _Compiled | None] = {}  # None while the type is being compiled

    def compile(self, schema: Any) -> _Compiled:
        compiled = self._compile(schema)
        if compiled.depth > MAX_DEPTH:
            raise BadSchema("too_deep")
        return compiled

    def _compile(self, schema: Any) -> _Compiled:
        if isinstance(schema, list):
            return self._union(schema)
        if isinstance(schema, str):
            return self._by_name(schema)
        if "logicalType" in schema:
            raise BadSchema("logical_type")
        match schema["type"]:
            case "array":
                item = self.compile(schema["items"])
                return _Compiled(_array(item.read), item.depth + 1, "sequence")
            case "map":
                value = self.compile(schema["values"])
                return _Compiled(_map(value.read), value.depth + 1, "mapping")
            case "record" | "enum" | "fixed":
                return self._define(schema)
            case inner:
                return self._compile(inner)

    def _by_name(self, name: str) -> _Compiled:
        if name in _PRIMITIVES:
            return _PRIMITIVES[name]
        if name == "null":
            raise BadSchema("zero_size")
        found = self._named[name]
        if found is None:
            raise BadSchema("recursive")
        return found

    def _define(self, schema: Mapping[str, Any]) -> _Compiled:
        name = schema["name"]
        _require_names(name.split("."))
        self._named[name] = None
        match schema["type"]:
            case "record":
                compiled = self._record(schema["fields"])
            case "enum":
                compiled = _Compiled(_enum(_require_distinct(schema["symbols"])), 1, "text")
            case _:
                compiled = _Compiled(_fixed(_require_size(schema["size"])), 1, "sequence")
        self._named[name] = compiled
        return compiled

    def _record(self, fields: list[Mapping[str, Any]]) -> _Compiled:
        names = _require_distinct([field["name"] for field in fields])
        parts = [self.compile(field["type"]) for field in fields]
        read = _record([(name, part.read) for name, part in zip(names, parts, strict=True)])
        return _Compiled(read, 1 + max(part.depth for part in parts), "mapping")

    def _union(self, schema: list[Any]) -> _Compiled:
        _require_size(len(schema))
        branches = [_NULL if branch == "null" else self.compile(branch) for branch in schema]
        kinds = {branch.kind for branch in branches}
        if "union" in kinds:  # fastavro lets a union into a union, Avro does not
            raise BadSchema("not_avro")
        if len(kinds) != len(branches):
            raise BadSchema("ambiguous_union")
        return _Compiled(_union([branch.read for branch in branches]), 1 + max(b.depth for b in branches), "union")


def _require_names(names: object) -> list[str]:
    """A list of names as Avro wants them, which fastavro lets pass when they are anything else."""
    if not isinstance(names, list) or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise BadSchema("not_avro")
    _require_size(len(names))
    return names


def _require_distinct(names: object) -> list[str]:
    found = _require_names(names)
    if len(set(found)) != len(found):
        raise BadSchema("not_avro")
    return found


def _require_size(size: object) -> int:
    if type(size) is not int:
        raise BadSchema("not_avro")
    if size < 1:
        raise BadSchema("zero_size")
    return size

"""The walk over an Avro datum that accepts exactly the bytes that encoding writes (see ``exchange.core.avro``).

``compile_skim`` turns a schema into nested closures, or refuses it. The Avro specification's section "Binary encoding"
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


# A skim takes the data and the position of a datum, and returns the position after it. It always moves forward, never
# past the end, and raises IndexError or BadAvro otherwise.
Skim: TypeAlias = Callable[[bytes, int], int]


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


def _skim_long(data: bytes, pos: int) -> int:
    return _long(data, pos)[1]


def _skim_int(data: bytes, pos: int) -> int:
    value, pos = _long(data, pos)
    if not -(1 << 31) <= value < 1 << 31:
        raise BadAvro("int_overflow")
    return pos


def _skim_boolean(data: bytes, pos: int) -> int:
    if data[pos] > 1:
        raise BadAvro("bad_boolean")
    return pos + 1


def _skim_bytes(data: bytes, pos: int) -> int:
    length, pos = _long(data, pos)
    if length < 0:
        raise BadAvro("bad_length")
    if length > len(data) - pos:
        raise BadAvro("truncated")
    return pos + length


def _real(layout: str) -> Skim:
    """NaN has many encodings and infinity no JSON: neither is a number an administration sends."""
    unpack_from, size = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def skim(data: bytes, pos: int) -> int:
        if size > len(data) - pos:
            raise BadAvro("truncated")
        if not isfinite(unpack_from(data, pos)[0]):
            raise BadAvro("bad_float")
        return pos + size

    return skim


def _fixed(size: int) -> Skim:
    def skim(data: bytes, pos: int) -> int:
        if size > len(data) - pos:
            raise BadAvro("truncated")
        return pos + size

    return skim


def _enum(count: int) -> Skim:
    def skim(data: bytes, pos: int) -> int:
        index, pos = _long(data, pos)
        if not 0 <= index < count:
            raise BadAvro("bad_enum_index")
        return pos

    return skim


def _union(branches: list[Skim]) -> Skim:
    def skim(data: bytes, pos: int) -> int:
        index, pos = _long(data, pos)
        if not 0 <= index < len(branches):
            raise BadAvro("bad_union_index")
        return branches[index](data, pos)

    return skim


def _record(fields: list[Skim]) -> Skim:
    def skim(data: bytes, pos: int) -> int:
        for field in fields:
            pos = field(data, pos)
        return pos

    return skim


def _blocks(items: Callable[[bytes, int, int], int]) -> Skim:
    """An array or a map: one block of ``items(data, pos, count)``, unless empty, then the zero that ends it."""

    def skim(data: bytes, pos: int) -> int:
        count, pos = _long(data, pos)
        if count == 0:
            return pos
        if not 0 < count <= min(MAX_ITEMS, len(data) - pos):
            raise BadAvro("bad_block")
        pos = items(data, pos, count)
        if data[pos] != 0:
            raise BadAvro("not_canonical")
        return pos + 1

    return skim


def _array(item: Skim) -> Skim:
    def items(data: bytes, pos: int, count: int) -> int:
        for _ in range(count):
            pos = item(data, pos)
        return pos

    return _blocks(items)


def _map(value: Skim) -> Skim:
    def items(data: bytes, pos: int, count: int) -> int:
        keys = set()
        for _ in range(count):
            start, pos = pos, _skim_bytes(data, pos)
            keys.add(data[start:pos])
            pos = value(data, pos)
        if len(keys) != count:
            raise BadAvro("duplicate_key")
        return pos

    return _blocks(items)


class _Compiled(NamedTuple):
    skim: Skim
    depth: int
    kind: str
    """What fastavro's writer sees of a value: it takes bytes for a sequence, an int for a float."""


_NULL: Final = _Compiled(lambda data, pos: pos, 0, "null")
_PRIMITIVES: Final[Mapping[str, _Compiled]] = {
    "boolean": _Compiled(_skim_boolean, 1, "boolean"),
    "int": _Compiled(_skim_int, 1, "number"),
    "long": _Compiled(_skim_long, 1, "number"),
    "float": _Compiled(_real("<f"), 1, "number"),
    "double": _Compiled(_real("<d"), 1, "number"),
    "bytes": _Compiled(_skim_bytes, 1, "sequence"),
    "string": _Compiled(_skim_bytes, 1, "text"),
}
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def compile_skim(schema: Any) -> Skim:
    """The skim of a schema that fastavro has parsed: names in full, each defined before its use. Raises BadSchema."""
    return _Compiler().compile(schema).skim


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
                return _Compiled(_array(item.skim), item.depth + 1, "sequence")
            case "map":
                value = self.compile(schema["values"])
                return _Compiled(_map(value.skim), value.depth + 1, "mapping")
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
                compiled = _Compiled(_enum(len(_require_distinct(schema["symbols"]))), 1, "text")
            case _:
                compiled = _Compiled(_fixed(_require_size(schema["size"])), 1, "sequence")
        self._named[name] = compiled
        return compiled

    def _record(self, fields: list[Mapping[str, Any]]) -> _Compiled:
        _require_distinct([field["name"] for field in fields])
        parts = [self.compile(field["type"]) for field in fields]
        return _Compiled(_record([part.skim for part in parts]), 1 + max(part.depth for part in parts), "mapping")

    def _union(self, schema: list[Any]) -> _Compiled:
        _require_size(len(schema))
        branches = [_NULL if branch == "null" else self.compile(branch) for branch in schema]
        kinds = {branch.kind for branch in branches}
        if "union" in kinds:  # fastavro lets a union into a union, Avro does not
            raise BadSchema("not_avro")
        if len(kinds) != len(branches):
            raise BadSchema("ambiguous_union")
        return _Compiled(_union([branch.skim for branch in branches]), 1 + max(b.depth for b in branches), "union")


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

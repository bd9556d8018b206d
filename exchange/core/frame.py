"""Confluent's frame around an Avro datum: a zero byte, the schema's id as a big-endian int32, the datum.

Source: Confluent Schema Registry, "Wire format". The newer form, a schema GUID in a header, is not portable yet.
"""

from __future__ import annotations

import struct
from typing import Final, Literal, TypeAlias

MAGIC: Final = 0
PREFIX_SIZE_BYTES: Final = 5
MAX_SCHEMA_ID: Final = (1 << 31) - 1
_PREFIX: Final = struct.Struct(">Bi")

Reason: TypeAlias = Literal["no_value", "truncated", "bad_magic", "bad_schema_id"]


class BadFrame(ValueError):
    """A message value that is no frame. Holds a reason of a closed list and never the bytes."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


def prefix(schema_id: int) -> bytes:
    """The five bytes before every datum of a schema: computed once, added on the hot path. Raises BadFrame."""
    if not 0 < schema_id <= MAX_SCHEMA_ID:
        raise BadFrame("bad_schema_id")
    return _PREFIX.pack(MAGIC, schema_id)


def frame(schema_id: int, datum: bytes) -> bytes:
    """The message value of a datum. Raises BadFrame for an id that is not a positive int32."""
    return prefix(schema_id) + datum


def unframe(value: bytes | None) -> tuple[int, bytes]:
    """The schema id and the datum of a message value; ``None`` is Kafka's null value (a tombstone). Raises BadFrame."""
    if value is None:
        raise BadFrame("no_value")
    if len(value) < PREFIX_SIZE_BYTES:
        raise BadFrame("truncated")
    magic, schema_id = _PREFIX.unpack_from(value)
    if magic != MAGIC:
        raise BadFrame("bad_magic")
    if schema_id <= 0:
        raise BadFrame("bad_schema_id")
    return schema_id, value[PREFIX_SIZE_BYTES:]

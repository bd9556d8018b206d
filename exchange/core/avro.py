"""A strict Avro codec: fastavro writes, our own closures read.

fastavro trusts its bytes: one byte turns enum DENY into ALLOW, five bytes allocate 1e8 nulls, 200 kB of a recursive
record end the process. So it writes, and reads nothing: a datum is read by closures compiled from its schema, which accept
exactly the bytes that encoding writes (measured: one such pass costs less than fastavro's own and a check beside it).

Canonical bytes: one datum has one encoding, so equal bytes are equal facts (digests, idempotence, memos). The reader alone
ensures it, by refusing every other form (long varints, several blocks, sized blocks, NaN) and, when the codec is made, every
schema where the value would not tell the bytes (ambiguous unions, logical types). Encoding again and comparing would cost
twice as much: the tests do that instead.

Work and memory are bounded by the input: every type is at least one byte long, no type contains itself, and an array
or map has at most ``MAX_ITEMS`` items.

Source: Apache Avro specification 1.12, "Binary encoding" and "Parsing canonical form for schemas".
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, cast

import fastavro
from fastavro.schema import SchemaParseException, UnknownType, to_parsing_canonical_form
from fastavro.validation import ValidationError, validate

from exchange.core.avro_reader import BadAvro, BadSchema, Reason, SchemaReason, compile_reader

__all__ = ["MAX_SIZE_BYTES", "BadAvro", "BadSchema", "Codec", "Reason", "SchemaReason"]

MAX_SIZE_BYTES: Final = 1 << 20
MAX_SCHEMA_SIZE_BYTES: Final = 256 << 10


class Codec:
    """Decodes and encodes the records of one schema, one datum at a time, without any container or header.

    Where neither raises, ``encode(decode(data)) == data``, and ``decode(encode(value)) == value`` but for what Avro
    itself does not keep: any sequence comes back a list, a ``float`` comes back rounded to 32 bits.
    Raises BadSchema when made of a schema that is not valid Avro or not bounded (see the module).
    """

    __slots__ = ("_max_size_bytes", "_parsed", "_read", "schema", "sha256")

    schema: Mapping[str, Any]
    """The schema given, in a copy of the codec's own."""
    sha256: str
    """SHA-256, in hexadecimal, of the schema's parsing canonical form: names and types, not docs or defaults."""

    def __init__(self, schema: Mapping[str, Any], *, max_size_bytes: int = MAX_SIZE_BYTES) -> None:
        own = _own_copy(schema)
        try:
            self._parsed = fastavro.parse_schema(own)
            self._read = compile_reader(self._parsed)
            canonical = to_parsing_canonical_form(own)
        except BadSchema:
            raise
        except RecursionError:
            raise BadSchema("too_deep") from None
        except (SchemaParseException, UnknownType, ValueError, TypeError, LookupError, AttributeError):
            raise BadSchema("not_avro") from None
        self.schema = own
        self.sha256 = hashlib.sha256(canonical.encode()).hexdigest()
        self._max_size_bytes = max_size_bytes

    def decode(self, data: bytes) -> dict[str, Any]:
        """The record that ``data`` encodes. Raises BadAvro for any bytes that ``encode`` would not have written."""
        if len(data) > self._max_size_bytes:
            raise BadAvro("too_large")
        try:
            value, end = self._read(data, 0)
        except IndexError:
            raise BadAvro("truncated") from None
        except UnicodeDecodeError:
            raise BadAvro("bad_utf8") from None
        if end != len(data):
            raise BadAvro("trailing_bytes" if end < len(data) else "truncated")
        return cast("dict[str, Any]", value)

    def encode(self, value: Mapping[str, Any]) -> bytes:
        """The bytes of ``value``: exactly the schema's fields, of its types, or BadAvro ``not_of_schema``."""
        out = BytesIO()
        try:
            # asked for errors, it words one for each branch of a union it passes over: half of what an answer costs
            if not validate(value, self._parsed, strict=True, raise_errors=False):
                raise BadAvro("not_of_schema")
            fastavro.schemaless_writer(out, self._parsed, value, strict=True, disable_tuple_notation=True)
        except (ValidationError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, struct.error):
            # Said again without its text, which holds the value.
            raise BadAvro("not_of_schema") from None
        data = out.getvalue()
        self.decode(data)
        return data


def _own_copy(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy nobody else can change, without the hints by which fastavro would believe a schema already parsed."""
    try:
        text = json.dumps(dict(schema))
    except RecursionError:
        raise BadSchema("too_deep") from None
    except (TypeError, ValueError):
        raise BadSchema("not_avro") from None
    if len(text) > MAX_SCHEMA_SIZE_BYTES:
        raise BadSchema("too_large")
    copy: dict[str, Any] = json.loads(text)
    if copy.get("type") != "record":
        raise BadSchema("not_a_record")
    return {key: part for key, part in copy.items() if not key.startswith("__")}

"""The strict Avro codec, hazard by hazard: what it refuses in bytes, in values and in schemas."""

from __future__ import annotations

from typing import Any

import pytest

from exchange.core.avro import MAX_SIZE_BYTES, BadAvro, BadSchema, Codec
from exchange.core.avro_reader import MAX_DEPTH, MAX_ITEMS


def record(*types: Any) -> dict[str, Any]:
    fields = [{"name": f"f{number}", "type": of} for number, of in enumerate(types)]
    return {"type": "record", "name": "R", "namespace": "fr.accord.test", "fields": fields}


def enum(*symbols: str) -> dict[str, Any]:
    return {"type": "enum", "name": "E", "symbols": list(symbols)}


def fixed(size: int, name: str = "F") -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapping(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def reason_of(of: Any, data: bytes) -> str:
    with pytest.raises(BadAvro) as caught:
        Codec(record(of)).decode(data)
    return caught.value.reason


ACCESS = enum("DENY", "ALLOW")
MAYBE = ["null", "string", "int"]


@pytest.mark.parametrize(
    ("of", "data", "reason"),
    [
        (ACCESS, "01", "bad_enum_index"),  # -1: fastavro reads ALLOW
        (ACCESS, "03", "bad_enum_index"),
        (ACCESS, "04", "bad_enum_index"),
        (ACCESS, "feffffffffffffffff01", "bad_enum_index"),
        (MAYBE, "01", "bad_union_index"),  # -1: fastavro reads the last branch
        (MAYBE, "03", "bad_union_index"),
        (MAYBE, "06", "bad_union_index"),
        ("int", "8080808010", "int_overflow"),  # 2^31
        ("int", "8180808010", "int_overflow"),  # -2^31 - 1
        ("int", "80808080808001", "int_overflow"),
        ("long", "80808080808080808002", "int_overflow"),  # 2^64, raw
        ("long", "8080808080808080808001", "int_overflow"),  # eleven bytes
        ("long", "8080808080808080808000", "int_overflow"),
        ("long", "ff" * 1000, "int_overflow"),
        ("long", "8000", "not_canonical"),
        ("long", "80808080808080808000", "not_canonical"),
        ("boolean", "02", "bad_boolean"),
        ("boolean", "ff", "bad_boolean"),
        ("boolean", "0100", "trailing_bytes"),
        ("float", "0000c07f", "bad_float"),  # NaN
        ("double", "000000000000f07f", "bad_float"),  # infinity
        ("double", "00000000000000", "truncated"),
        ("bytes", "01", "bad_length"),
        ("string", "ffffffffffffffffff01", "bad_length"),  # -2^63
        ("bytes", "feffffffffffffffff01", "truncated"),  # 2^63 - 1
        ("bytes", "04aa", "truncated"),
        ("string", "04c080", "bad_utf8"),  # overlong NUL
        ("string", "06eda080", "bad_utf8"),  # lone surrogate
        ("string", "08f4908080", "bad_utf8"),  # beyond U+10FFFF
        ("string", "02ff", "bad_utf8"),
        (mapping("int"), "0202ff0000", "bad_utf8"),
        (fixed(3), "0102", "truncated"),
        (fixed(3), "01020304", "trailing_bytes"),
        (fixed(1 << 40), "00", "truncated"),
        (array("int"), "01", "bad_block"),  # -1 item, then a size
        (array("int"), "ffffffffffffffffff01", "bad_block"),  # -2^63 items
        (array("int"), "8084af5f00", "bad_block"),  # 10^8 items in five bytes
        (array("int"), "0400", "bad_block"),
        (array("int"), "020002000000", "not_canonical"),  # two blocks
        (array("int"), "0200", "truncated"),
        (mapping("int"), "04026100026100" + "00", "duplicate_key"),
        (mapping("int"), "01", "bad_block"),
        ("string", "", "truncated"),
    ],
)
def test_hostile_bytes_are_refused_with_their_reason(of: Any, data: str, reason: str) -> None:
    """Each form that no encoder of ours writes is one refusal, with a reason of the closed list."""
    assert reason_of(of, bytes.fromhex(data)) == reason


def test_every_byte_of_an_enum_is_its_own_symbol_or_a_refusal() -> None:
    """Of the 256 single bytes, two are symbols and none of the others becomes one."""
    codec = Codec(record(ACCESS))
    read = {}
    for byte in range(256):
        try:
            read[byte] = codec.decode(bytes([byte]))["f0"]
        except BadAvro:
            continue
    assert read == {0: "DENY", 2: "ALLOW"}


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ("int", -(1 << 31)),
        ("int", (1 << 31) - 1),
        ("long", -(1 << 63)),
        ("long", (1 << 63) - 1),
        ("boolean", True),
        ("double", -0.0),
        ("string", "Éloïse\x00\U0001f600"),
        (array("string"), [""] * MAX_ITEMS),
        (mapping("int"), {"b": 1, "a": 2}),
        (MAYBE, None),
        (array(["null", array("bytes")]), [None, [b""], []]),
        (enum(*(f"S{number}" for number in range(200))), "S199"),
    ],
)
def test_the_edges_of_every_type_come_back(of: Any, value: Any) -> None:
    """What is encoded is decoded, up to the first and last value of each type."""
    codec = Codec(record(of))
    assert codec.decode(codec.encode({"f0": value})) == {"f0": value}


def test_one_megabyte_is_read_and_one_byte_more_is_not() -> None:
    """The size cap is exact, in both directions, and comes before anything else."""
    codec = Codec(record("bytes"))
    body = MAX_SIZE_BYTES - 3
    data = codec.encode({"f0": bytes(body)})
    assert len(data) == MAX_SIZE_BYTES
    assert len(codec.decode(data)["f0"]) == body
    with pytest.raises(BadAvro, match="^too_large$"):
        codec.decode(data + b"\x00")
    with pytest.raises(BadAvro, match="^too_large$"):
        codec.encode({"f0": bytes(body + 1)})


def test_more_items_than_the_cap_are_refused_before_any_is_read() -> None:
    """One datum cannot make more than MAX_ITEMS values out of one array, however small they are."""
    many = b"\xd2\x0f" + bytes(MAX_ITEMS + 2)  # count = MAX_ITEMS + 1
    assert reason_of(array("int"), many) == "bad_block"
    with pytest.raises(BadAvro, match="^bad_block$"):
        Codec(record(array("int"))).encode({"f0": [0] * (MAX_ITEMS + 1)})


NESTED = {"type": "record", "name": "N", "fields": [{"name": "next", "type": ["null", "N"]}]}


def deep(levels: int) -> Any:
    of: Any = "int"
    for _ in range(levels):
        of = array(of)
    return of


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (NESTED, "recursive"),  # 200 kB of it end a process that uses bare fastavro
        (record(mapping({"type": "record", "name": "T", "fields": [{"name": "t", "type": array("T")}]})), "recursive"),
        (record(array("null")), "zero_size"),  # five bytes are 10^8 nulls
        (record(array({"type": "record", "name": "Empty", "fields": []})), "zero_size"),
        (record(fixed(0)), "zero_size"),
        (record("null"), "zero_size"),
        (record(enum()), "zero_size"),
        (record(), "zero_size"),
        (record(["int", "long"]), "ambiguous_union"),
        (record(["double", "int"]), "ambiguous_union"),
        (record(["string", ACCESS]), "ambiguous_union"),
        (record([array("int"), "bytes"]), "ambiguous_union"),
        (
            record([mapping("int"), {"type": "record", "name": "M", "fields": [{"name": "m", "type": "int"}]}]),
            "ambiguous_union",
        ),
        (record({"type": "int", "logicalType": "date"}), "logical_type"),
        (record({"type": "string", "logicalType": "timestamp-millis"}), "logical_type"),
        (record(deep(MAX_DEPTH - 1)), "too_deep"),
        (record(deep(150)), "too_deep"),
        (record(deep(300)), "too_deep"),
        (record(deep(100_000)), "too_deep"),
        (record(*["string"] * 10_000), "too_large"),
        (enum("A"), "not_a_record"),
        (record("nothing"), "not_avro"),
        (record(["null", ["int", "string"]]), "not_avro"),
        (record(fixed(3), fixed(3)), "not_avro"),  # one name given twice
        (record(enum("A", "A")), "not_avro"),
        (record(enum("A", "../B")), "not_avro"),
        ({**record("int"), "name": "../R"}, "not_avro"),
        ({**record("int"), "fields": record("int")["fields"] * 2}, "not_avro"),
        ({"type": "record", "name": "R", "__fastavro_parsed": True, "fields": 3}, "not_avro"),
        (record({"type": "fixed", "name": "F", "size": "3"}), "not_avro"),
    ],
)
def test_no_codec_is_made_of_an_unbounded_or_ambiguous_schema(schema: Any, reason: str) -> None:
    """A schema whose data could not be bounded, or would have two encodings, is refused when the codec is made."""
    with pytest.raises(BadSchema, match=f"^{reason}$"):
        Codec(schema)


def test_as_many_levels_as_the_cap_are_read() -> None:
    """The cap on depth is exact: one level less than what is refused above is a codec."""
    codec = Codec(record(deep(MAX_DEPTH - 2)))
    assert codec.decode(b"\x00") == {"f0": []}


def test_a_schema_s_word_that_it_was_parsed_is_not_taken() -> None:
    """Fastavro's own hints in a schema are ignored: its names are resolved like any other's."""
    schema = record(ACCESS, "E")
    codec = Codec({**schema, "__fastavro_parsed": True, "__named_schemas": {}})
    assert codec.decode(b"\x00\x02") == {"f0": "DENY", "f1": "ALLOW"}
    assert codec.sha256 == Codec(schema).sha256


def test_a_type_that_doubles_at_each_level_costs_no_more_than_its_bytes() -> None:
    """A schema of 2^15 leaves in fifteen lines is read in as many steps as there are bytes."""
    fields: list[dict[str, Any]] = [{"name": "a0", "type": fixed(1, "A0")}]
    for level in range(1, 15):
        halves = [{"name": side, "type": f"A{level - 1}"} for side in ("left", "right")]
        fields.append({"name": f"a{level}", "type": {"type": "record", "name": f"A{level}", "fields": halves}})
    with pytest.raises(BadAvro, match="^truncated$"):
        Codec({"type": "record", "name": "R", "fields": fields}).decode(bytes(10))


@pytest.mark.parametrize(
    ("of", "value"),
    [
        ("int", True),
        ("int", 1.0),
        ("int", "1"),
        ("int", 1 << 31),
        ("long", 1 << 63),
        ("long", None),
        ("boolean", 1),
        ("string", b"a"),
        ("string", "\ud800"),
        ("string", None),
        ("bytes", "a"),
        ("bytes", 3),
        ("double", "1.0"),
        ("double", 10**400),
        (fixed(3), b"ab"),
        (fixed(3), b"abcd"),
        (fixed(3), "abc"),
        (ACCESS, "PERHAPS"),
        (ACCESS, 1),
        (ACCESS, []),
        (array("int"), 3),
        (array("string"), "ab"),
        (array("string"), [1]),
        (mapping("int"), {1: 1}),
        (mapping("int"), [("a", 1)]),
        (MAYBE, b"x"),
        (MAYBE, ("string", "x")),
    ],
)
def test_a_value_of_another_type_is_not_encoded(of: Any, value: Any) -> None:
    """A wrong type, a number out of range or a wrong size is a BadAvro, never a silent conversion."""
    with pytest.raises(BadAvro, match="^not_of_schema$"):
        Codec(record(of)).encode({"f0": value})


@pytest.mark.parametrize("value", [{}, {"f0": 1, "more": 2}, {"F0": 1}, [1], None, "f0", {"f0": 1, "-type": "X"}])
def test_a_missing_or_unknown_field_is_not_encoded(value: Any) -> None:
    """A record has exactly the schema's fields, even where the schema gives a default."""
    schema = record("int")
    schema["fields"][0]["default"] = 0
    with pytest.raises(BadAvro, match="^not_of_schema$"):
        Codec(schema).encode(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_number_without_a_value_is_encoded(value: float) -> None:
    """NaN and the infinities are refused on both ways."""
    with pytest.raises(BadAvro, match="^bad_float$"):
        Codec(record("double")).encode({"f0": value})


def test_an_error_never_holds_the_value() -> None:
    """Neither the text of a refusal nor its cause says anything of what was refused."""
    with pytest.raises(BadAvro) as caught:
        Codec(record("int")).encode({"f0": "1850275056042"})
    assert "1850275056042" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert caught.value.__suppress_context__


def test_the_fingerprint_is_of_names_and_types_only() -> None:
    """Docs and defaults leave the canonical form, and so the fingerprint, as they were; a type changes it."""
    plain = record("int")
    told = {**plain, "doc": "…", "fields": [{"name": "f0", "type": "int", "default": 0, "doc": "…"}]}
    assert Codec(plain).sha256 == Codec(told).sha256 != Codec(record("long")).sha256


def test_a_codec_does_not_follow_later_changes_of_the_schema_it_was_given() -> None:
    """The caller's dictionary is copied: to change it changes no codec."""
    schema = record("int")
    codec = Codec(schema)
    schema["fields"].clear()
    assert codec.decode(b"\x02") == {"f0": 1}
    assert codec.schema == record("int")

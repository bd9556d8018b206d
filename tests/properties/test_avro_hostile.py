"""Every schema of the contract against generated values and hostile bytes."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.core.avro import BadAvro, BadSchema, Codec

FILES = sorted(Path(__file__).parents[2].joinpath("schemas", "avro").glob("*.avsc"))
SCHEMAS = {file.stem: json.loads(file.read_text("utf-8")) for file in FILES}
CODECS = {stem: Codec(schema) for stem, schema in SCHEMAS.items()}
MUTANTS = 20_000
SEED = 20_261_121

PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "boolean": st.booleans(),
    "int": st.integers(-(1 << 31), (1 << 31) - 1),
    "long": st.integers(-(1 << 63), (1 << 63) - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "bytes": st.binary(max_size=80),
    "string": st.text(max_size=40),
}


def values(schema: Any, named: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[Any]:
    """All values of a schema; ``named`` holds the named types met so far."""
    if isinstance(schema, list):
        return st.one_of([values(branch, named) for branch in schema])
    if isinstance(schema, str):
        return PRIMITIVES[schema] if schema in PRIMITIVES else named[schema]
    match schema["type"]:
        case "array":
            return st.lists(values(schema["items"], named), max_size=4)
        case "record":
            fields = {field["name"]: values(field["type"], named) for field in schema["fields"]}
            made: st.SearchStrategy[Any] = st.fixed_dictionaries(fields)
        case "enum":
            made = st.sampled_from(schema["symbols"])
        case "fixed":
            made = st.binary(min_size=schema["size"], max_size=schema["size"])
        case other:
            raise AssertionError(other)
    named[schema["name"]] = made
    return made


VALUES = {stem: values(schema, {}) for stem, schema in SCHEMAS.items()}


def sample(schema: Any, rng: random.Random, named: dict[str, Any]) -> Any:
    """One value of a schema, drawn quickly."""
    if isinstance(schema, list):
        return sample(rng.choice(schema), rng, named)
    if isinstance(schema, str) and schema in named:
        return sample(named[schema], rng, named)
    if isinstance(schema, dict) and "name" in schema:
        named[schema["name"]] = schema
    drawn: dict[str, Callable[[], Any]] = {
        "null": lambda: None,
        "boolean": lambda: rng.random() < 0.5,
        "double": lambda: rng.uniform(-1e9, 1e9),
        "int": lambda: rng.randint(-(1 << 31), (1 << 31) - 1),
        "long": lambda: rng.getrandbits(63) - rng.getrandbits(63),
        "bytes": lambda: rng.randbytes(rng.randrange(90)),
        "string": lambda: "".join(rng.choices("aZ0.é€\U0001f600", k=rng.randrange(20))),
        "array": lambda: [sample(schema["items"], rng, named) for _ in range(rng.randrange(4))],
        "record": lambda: {field["name"]: sample(field["type"], rng, named) for field in schema["fields"]},
        "enum": lambda: rng.choice(schema["symbols"]),
        "fixed": lambda: rng.randbytes(schema["size"]),
    }
    return drawn[schema["type"] if isinstance(schema, dict) else schema]()


EDGES = [0, 1, 2, 3, 4, 0x7E, 0x7F, 0x80, 0x81, 0xC0, 0xED, 0xFE, 0xFF]
LONGEST_VARINT = bytes([0xFF] * 9 + [1])


def mutant(data: bytes, rng: random.Random) -> bytes:
    """``data`` after one to three hostile edits."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(out) + 1)
        match rng.randrange(7):
            case 0:
                out[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                out[at : at + 1] = bytes([rng.choice(EDGES)])
            case 2:
                out[at:at] = bytes(rng.choices(EDGES, k=rng.randint(1, 10)))
            case 3:
                del out[at : at + rng.randint(1, 8)]
            case 4:
                del out[at:]
            case 5:
                out[at : at + 1] = LONGEST_VARINT
            case _:
                out[at:at] = out[at : at + rng.randint(1, 40)]
    return bytes(out)


def test_a_schema_is_there() -> None:
    """The properties below say something of a contract that is not empty."""
    assert len(SCHEMAS) >= 15


@pytest.mark.parametrize("stem", SCHEMAS)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_value_comes_back_and_another_library_reads_it(stem: str, data: st.DataObject) -> None:
    """What is encoded is decoded to the same value, by us and by Apache's own Python library."""
    value = data.draw(VALUES[stem])
    datum = CODECS[stem].encode(value)
    assert CODECS[stem].decode(datum) == value
    assert APACHE[stem].read(avro.io.BinaryDecoder(io.BytesIO(datum))) == value


APACHE = {stem: avro.io.DatumReader(avro.schema.parse(json.dumps(schema))) for stem, schema in SCHEMAS.items()}


@pytest.mark.parametrize("stem", SCHEMAS)
def test_a_datum_cut_anywhere_is_refused(stem: str) -> None:
    """No proper prefix of a datum is a datum, at any byte, and neither is a datum with a byte more."""
    rng = random.Random(SEED)
    codec = CODECS[stem]
    for _ in range(5):
        datum = codec.encode(sample(SCHEMAS[stem], rng, {}))
        for end in range(len(datum)):
            with pytest.raises(BadAvro):
                codec.decode(datum[:end])
        for byte in range(256):
            with pytest.raises(BadAvro, match="^trailing_bytes$"):
                codec.decode(datum + bytes([byte]))


def test_mutated_bytes_are_canonical_or_refused() -> None:
    """Of 20,000 mutated data, each decodes to a value that encodes to the same bytes, or is a BadAvro; both happen."""
    rng = random.Random(SEED)
    read = refused = 0
    for number in range(MUTANTS):
        stem = rng.choice(list(SCHEMAS))
        bytes_ = mutant(CODECS[stem].encode(sample(SCHEMAS[stem], rng, {})), rng)
        try:
            value = CODECS[stem].decode(bytes_)
        except BadAvro:
            refused += 1
            continue
        read += 1
        assert CODECS[stem].encode(value) == bytes_, f"seed {SEED}, mutant {number}, {stem}"
    assert read > MUTANTS // 100
    assert refused > MUTANTS // 10


@pytest.mark.parametrize("stem", SCHEMAS)
@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=400))
def test_noise_is_canonical_or_refused(stem: str, noise: bytes) -> None:
    """Any bytes at all are a datum that encodes to themselves, or a BadAvro."""
    try:
        value = CODECS[stem].decode(noise)
    except BadAvro:
        return
    assert CODECS[stem].encode(value) == noise


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.floats()
    | st.sampled_from(["", "null", "string", "record", "X"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "name", "items", "x"]), inner),
    max_leaves=8,
)
PLACES = ["type", "name", "namespace", "fields", "doc"]


@settings(max_examples=300, deadline=None)
@given(stem=st.sampled_from(sorted(SCHEMAS)), place=st.sampled_from(PLACES), junk=JSON_VALUES, number=st.integers(0, 3))
def test_a_mutated_schema_is_a_codec_or_a_refusal(stem: str, place: str, junk: Any, number: int) -> None:
    """Any JSON in any place of a schema makes a codec that holds its word, or a BadSchema."""
    fields = [dict(field) for field in SCHEMAS[stem]["fields"]]
    schema = {**SCHEMAS[stem], "fields": fields}
    target = schema if place in ("namespace", "fields") else fields[number % len(fields)]
    target[place] = junk
    try:
        codec = Codec(schema)
    except BadSchema:
        return
    try:
        value = codec.decode(bytes(60))
    except BadAvro:
        return
    assert codec.encode(value) == bytes(60)


@pytest.mark.parametrize("stem", SCHEMAS)
@settings(max_examples=60, deadline=None)
@given(junk=JSON_VALUES, place=st.integers(0, 30))
def test_a_wrong_value_is_never_encoded_as_another(stem: str, junk: Any, place: int) -> None:
    """A value with anything in place of a field is encoded to what decodes to it, or is a BadAvro."""
    value = sample(SCHEMAS[stem], random.Random(place), {})
    value[list(value)[place % len(value)]] = junk
    try:
        datum = CODECS[stem].encode(value)
    except BadAvro:
        return
    assert CODECS[stem].decode(datum) == value

"""The catalogue of schemas and its registry; the rules each schema keeps are in `tests/schemas`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import avro.schema
import pytest

from exchange.core.frame import unframe
from exchange.schemas import BadCatalogue, Name, UnknownSchema, build, catalogue, register

FOLDER = Path(__file__).parents[2] / "schemas"
FILES = {file.name: file.read_text("utf-8") for file in sorted((FOLDER / "avro").iterdir())}
REGISTRY = (FOLDER / "registry.json").read_text("utf-8")
SCHEMAS = {name.removesuffix(".avsc"): json.loads(text) for name, text in FILES.items() if name.endswith(".avsc")}


def small(doc: str = "A test.", of: str = "int") -> str:
    field = {"name": "a", "type": of, "doc": "A field."}
    return json.dumps({"type": "record", "name": "T", "namespace": "fr.accord", "doc": doc, "fields": [field]})


ONE = {"one.v1.avsc": small()}


def test_every_schema_is_found_by_its_subject_and_by_its_id() -> None:
    """Subject, id and codec agree, for every schema shipped."""
    found = catalogue()
    assert {str(name) for name in found.codecs} == SCHEMAS.keys()
    for subject in {name.subject for name in found.codecs}:
        schema_id = found.id(subject)
        assert found.subject(schema_id) == subject
        assert found.codec_by_id(schema_id) is found.codec(subject)
        assert unframe(found.prefix(subject)) == (schema_id, b"")
    assert catalogue() is found


def test_a_data_set_is_a_subject_with_a_dot_and_its_version() -> None:
    """Data sets are told from the bus's own messages by their name alone."""
    found = catalogue()
    assert "cnaf.quotient-familial.v1" in found.data_sets()
    assert all(data_set.count(".") == 2 for data_set in found.data_sets())
    assert found.codec_of_data_set("cnaf.quotient-familial.v1").decode(bytes(4)) == dict.fromkeys(
        ("quotient_familial", "allocataires", "enfants", "adresse")
    )


def test_what_the_catalogue_does_not_have_is_unknown() -> None:
    """An unknown id, subject or data set is an UnknownSchema, and a message of the bus is no data set."""
    found = catalogue()
    for ask in (
        lambda: found.codec("nothing"),
        lambda: found.id("ask.v1"),
        lambda: found.codec_by_id(0),
        lambda: found.subject(1 << 30),
        lambda: found.codec_of_data_set("ask.v1"),
        lambda: found.codec_of_data_set("../x.v1"),
    ):
        with pytest.raises(UnknownSchema):
            ask()


def test_the_latest_version_is_the_highest_number() -> None:
    """Version 10 comes after version 9, and earlier ones stay readable by their ids."""
    files = {f"one.v{version}.avsc": small(of=of) for version, of in ((1, "int"), (9, "long"), (10, "string"))}
    found = build(files, register(files, "{}"))
    assert found.codec("one").decode(b"\x02a") == {"a": "a"}
    assert [found.codec_by_id(schema_id).schema["fields"][0]["type"] for schema_id in (1, 2, 3)] == [
        "int",
        "long",
        "string",
    ]
    assert found.registry[Name("one", 10)].id == found.id("one") == 3


def test_registering_twice_changes_nothing() -> None:
    """The registry shipped is what registering makes of it: complete, sorted, with the same ids."""
    assert register(FILES, REGISTRY) == REGISTRY
    once = register(ONE, "{}")
    assert register(ONE, once) == once


def test_an_id_is_given_once() -> None:
    """A new schema takes the number after the highest, even where its name comes first."""
    later = {**ONE, "a.v1.avsc": small(of="long")}
    registry = register(later, register(ONE, "{}"))
    found = build(later, registry)
    assert (found.id("one"), found.id("a")) == (1, 2)


def test_a_schema_that_changed_is_refused_at_load_and_at_registration() -> None:
    """Another type under a registered name is an error; another doc is not."""
    registry = register(ONE, "{}")
    changed = {"one.v1.avsc": small(of="long")}
    with pytest.raises(BadCatalogue, match=r"changed: one\.v1"):
        build(changed, registry)
    with pytest.raises(BadCatalogue, match=r"changed: one\.v1"):
        register(changed, registry)
    assert build({"one.v1.avsc": small(doc="Better said.")}, registry).id("one") == 1


@pytest.mark.parametrize(
    ("files", "registry", "said"),
    [
        (ONE, "{}", "not registered"),
        ({}, register(ONE, "{}"), "now missing"),
        (ONE, "[]", "not readable"),
        (ONE, "{", "not readable"),
        (ONE, '{"one": {"1": {"id": "1", "sha256": "x"}}}', "not readable"),
        (ONE, '{"one": {"1": {"id": 0, "sha256": "x"}}}', "not readable"),
        (ONE, '{"one": {"1": {"id": 1}}}', "not readable"),
        (ONE, '{"one": {"0": {"id": 1, "sha256": "x"}}}', "not named"),
        (ONE, '{"one": {"1": {"id": 1, "sha256": "x"}, "2": {"id": 1, "sha256": "x"}}}', "twice"),
        (ONE, '{"one": {"1": {"id": 1, "sha256": "x"}}}', "now changed"),
        ({"one.avsc": small()}, "{}", "not named"),
        ({"../one.v1.avsc": small()}, "{}", "not named"),
        ({"one.v1.avsc": "{"}, "{}", "not usable"),
        ({"one.v1.avsc": small(of="null")}, "{}", "zero_size"),
    ],
)
def test_a_catalogue_that_disagrees_with_itself_does_not_load(files: dict[str, str], registry: str, said: str) -> None:
    """Whatever is not exactly registered stops the load, and the error says which and why."""
    with pytest.raises(BadCatalogue, match=said):
        build(files, registry)


def types_in(schema: Any) -> Iterator[dict[str, Any]]:
    """Every complex type and every field of a schema."""
    parts = schema if isinstance(schema, list) else [schema]
    for part in (part for part in parts if isinstance(part, dict)):
        if part["type"] in ("record", "enum", "fixed"):
            yield part
        for field in part.get("fields", []):
            yield field
            yield from types_in(field["type"])
        yield from types_in(part.get("items", part.get("values")))


@pytest.mark.parametrize("stem", SCHEMAS)
def test_another_library_reads_every_schema(stem: str) -> None:
    """Apache's own Python library parses each schema file."""
    parsed = avro.schema.parse(json.dumps(SCHEMAS[stem]))
    assert isinstance(parsed, avro.schema.RecordSchema)
    assert parsed.fullname == f"{SCHEMAS[stem]['namespace']}.{SCHEMAS[stem]['name']}"


def test_the_facts_shared_by_schemas_are_the_same_everywhere() -> None:
    """A named type met in several files (Sha256, Uuid…) has one definition, doc included."""
    seen: dict[str, Any] = {}
    for schema in SCHEMAS.values():
        for part in types_in(schema):
            if part["type"] == "fixed":
                assert seen.setdefault(part["name"], part) == part

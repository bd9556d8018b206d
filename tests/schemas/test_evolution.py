"""Versions of one subject: what may change, what may not, and who reads whom (reliability (e) 43 and 44)."""

from __future__ import annotations

import io
import json
from itertools import product
from typing import Any

import avro.io
import avro.schema
import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.core.avro import BadSchema, Codec
from exchange.core.frame import unframe
from exchange.core.schema_evolution import breaks, changes, reads
from exchange.core.schema_rules import Finding, Rule
from exchange.schemas import build, register
from tests.schemas.samples import FIELD, enum, field, record

BASE = record(
    field("int"),
    field("string", "b", default=""),
    field(["null", "string"], "c", default=None),
    field(enum("x", "y"), "d"),
    field({"type": "fixed", "name": "Digest", "size": 4, "doc": "A digest."}, "e"),
    field({"type": "array", "items": "long"}, "f"),
    field(enum("p", "q", name="Open", default="p"), "g"),
)


def changed(name: str, /, **more: Any) -> dict[str, Any]:
    """The base with one field changed."""
    return record(*(part | (more if part["name"] == name else {}) for part in BASE["fields"]))


def added(**more: Any) -> dict[str, Any]:
    return record(*BASE["fields"], field("int", "z", **more))


def removed(name: str) -> dict[str, Any]:
    return record(*(part for part in BASE["fields"] if part["name"] != name))


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (added(), (Rule.FIELD_ADDED, False)),
        (removed("a"), (Rule.FIELD_REMOVED, False)),
        (changed("a", name="a2"), (Rule.FIELD_REMOVED, False)),
        (changed("a", name="a2", aliases=["a"]), (Rule.FIELD_REMOVED, False)),
        (changed("a", type="long"), (Rule.PROMOTION, False)),
        (changed("f", type={"type": "array", "items": "int"}), (Rule.PROMOTION, False)),
        (changed("b", type="bytes"), (Rule.PROMOTION, True)),
        (changed("b", default="other"), (Rule.DEFAULT_CHANGED, True)),
        (changed("a", type={"type": "array", "items": "int"}), (Rule.TYPE_CHANGED, False)),
        (changed("c", type=["null", "int"]), (Rule.BRANCHES_CHANGED, False)),
        (changed("c", type="string", default=""), (Rule.TYPE_CHANGED, False)),
        (changed("d", type=enum("x", "y", "z")), (Rule.SYMBOLS_CHANGED, False)),
        (changed("d", type=enum("x", "y", name="Other")), (Rule.NAME_CHANGED, False)),
        (changed("d", type=enum("x", "y", namespace="fr.other")), (Rule.NAMESPACE_CHANGED, True)),
        (changed("e", type={"type": "fixed", "name": "Digest", "size": 5, "doc": "A digest."}), (Rule.SIZE_CHANGED, False)),
        (changed("g", type=enum("p", "q", name="Open", default="q")), (Rule.DEFAULT_CHANGED, True)),
        (changed("a", scope="other"), (Rule.SCOPE_CHANGED, True)),
        (BASE | {"namespace": "fr.other"}, (Rule.NAMESPACE_CHANGED, True)),
        (BASE | {"name": "Other"}, (Rule.NAME_CHANGED, False)),
    ],
)  # fmt: skip
def test_what_a_version_may_not_change_is_named(later: dict[str, Any], expected: tuple[Rule, bool]) -> None:
    """Each forbidden change is found by its rule; where Apache's checker sees nothing, ours does all the same."""
    rule, blind = expected
    found = breaks({"thing.v1": BASE, "thing.v2": later}, "thing", [1, 2])
    assert rule in [finding.rule for finding in found]
    assert (Rule.UNREADABLE in [finding.rule for finding in found]) is not blind
    assert (reads(BASE, later) and reads(later, BASE)) is blind


@pytest.mark.parametrize(
    "later",
    [
        BASE,
        BASE | {"doc": "Better said."},
        added(default=0),
        removed("b"),
        changed("a", doc="Better said."),
        changed("d", type=enum("y", "x")),
        changed("g", type=enum("p", "q", "r", name="Open", default="p")),
        record(*reversed(BASE["fields"])),
    ],
)
def test_what_a_version_may_change(later: dict[str, Any]) -> None:
    """A field with a default, a doc and an order may change, and each version still reads the other."""
    assert breaks({"thing.v1": BASE, "thing.v2": later}, "thing", [1, 2]) == []
    assert reads(BASE, later) and reads(later, BASE)


def test_every_version_meets_every_other() -> None:
    """What v2 did to v1 stays wrong for v3, even where v3 and v2 agree: that is TRANSITIVE."""
    versions = {
        "thing.v1": record(FIELD),
        "thing.v2": record(FIELD, field("int", "b", default=0)),
        "thing.v3": record(FIELD, field("string", "b", default="")),
    }
    found = breaks(versions, "thing", [1, 2, 3])
    assert {(finding.schema, finding.detail[:2]) for finding in found} == {("thing.v3", "v2")}
    versions["thing.v2"] = versions["thing.v3"]
    versions["thing.v1"] = record(FIELD, field("int", "b", default=0))
    assert {f.detail[:2] for f in breaks(versions, "thing", [1, 2, 3])} == {"v1"}
    assert Finding(Rule.TYPE_CHANGED, "thing.v3", "Thing.b", "v1") in breaks(versions, "thing", [1, 2, 3])


TYPES: st.SearchStrategy[Any] = st.recursive(
    st.sampled_from(["int", "long", "double", "string", "bytes", "boolean"])
    | st.sampled_from([enum("a"), enum("a", "b"), enum("a", "b", default="a"), enum("a", name="Other")])
    | st.sampled_from([{"type": "fixed", "name": "Kind", "size": size} for size in (1, 2)]),
    lambda inner: (
        inner.map(lambda items: {"type": "array", "items": items})
        | inner.map(lambda values: {"type": "map", "values": values})
        | inner.map(lambda branch: ["null", branch] if not isinstance(branch, list) else branch)
    ),
    max_leaves=3,
)
FIELDS = st.dictionaries(st.sampled_from("abc"), st.tuples(TYPES, st.booleans()), min_size=1, max_size=1)


def one_field(drawn: dict[str, tuple[Any, bool]]) -> dict[str, Any]:
    """A record of one field, whose default, if any, is null: the checker asks only whether there is one."""
    ((name, (of, has_default)),) = drawn.items()
    return record(field(of, name, **({"default": None} if has_default and isinstance(of, list) else {})))


@settings(max_examples=400, deadline=None)
@given(one=FIELDS.map(one_field), two=FIELDS.map(one_field))
def test_our_walk_refuses_all_that_the_checker_refuses(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Where Apache's checker says that two schemas do not read each other, our walk has named why."""
    try:
        Codec(one), Codec(two)
    except BadSchema:
        return
    named = [change for change in changes(one, two) if change.rule]
    assert named or (reads(one, two) and reads(two, one))


VERSIONS = [
    record(FIELD),
    record(FIELD, field("string", "b", default="none")),
    record(FIELD, field("string", "b", default="none"), field(["null", "long"], "c", default=None)),
]
VALUES = [{"a": 1}, {"a": 2, "b": "x"}, {"a": 3, "b": "y", "c": 4}]
DEFAULTS = {"b": "none", "c": None}


@pytest.mark.parametrize(("writer", "reader"), list(product(range(3), range(3))))
def test_readers_older_and_newer_than_the_writer(writer: int, reader: int) -> None:
    """Over three versions, each reader reads each writer's datum, in both libraries: defaults for what it lacks, nothing for the rest."""
    datum = Codec(VERSIONS[writer]).encode(VALUES[writer])
    names = [part["name"] for part in VERSIONS[reader]["fields"]]
    expected = {name: VALUES[writer].get(name, DEFAULTS.get(name)) for name in names}
    parsed = [fastavro.parse_schema(dict(VERSIONS[number])) for number in (writer, reader)]
    apache = [avro.schema.parse(json.dumps(VERSIONS[number])) for number in (writer, reader)]
    assert fastavro.schemaless_reader(io.BytesIO(datum), *parsed) == expected
    assert avro.io.DatumReader(*apache).read(avro.io.BinaryDecoder(io.BytesIO(datum))) == expected


def test_a_frame_of_each_version_is_read_by_its_own_schema() -> None:
    """The id in a frame finds the version that wrote it, whichever is the latest; an id of nobody's is unknown."""
    files = {f"thing.v{number}.avsc": json.dumps(schema) for number, schema in enumerate(VERSIONS, start=1)}
    found = build(files, register(files, "{}"))
    for number, value in enumerate(VALUES, start=1):
        frame = bytes([0, 0, 0, 0, number]) + Codec(VERSIONS[number - 1]).encode(value)
        schema_id, datum = unframe(frame)
        assert found.codec_by_id(schema_id).decode(datum) == value
    with pytest.raises(LookupError):
        found.codec_by_id(4)

"""What a schema may not be or say, alone (reliability (e) 43)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.core.avro import BadSchema
from exchange.core.schema_lint import fits, lint, read
from exchange.core.schema_rules import RULES, Rule
from exchange.core.schema_tree import tree
from exchange.schema_checks import SHIPPED, lint_folder, open_folder
from tests.schemas.samples import enum, field, record

MAYBE = ["null", "string"]
DEEP = "[" * 200_000 + "]" * 200_000


def rules(schema: Any, stem: str = "thing.v1") -> list[Rule]:
    return [finding.rule for finding in lint(stem, schema if isinstance(schema, str) else json.dumps(schema))]


def data_set() -> dict[str, Any]:
    return record(field(MAYBE, default=None, scope="s"), namespace="fr.accord.france_travail")


@pytest.mark.parametrize(
    ("schema", "rule"),
    [
        (record(field({"type": "record", "name": "T", "doc": "T.", "fields": [field(MAYBE), field("T", "b")]})), Rule.RECURSIVE),
        (record(field({"type": "int", "logicalType": "date"})), Rule.LOGICAL_TYPE),
        (record(field({"type": "string", "logicalType": "timestamp-millis"})), Rule.LOGICAL_TYPE),
        (record(*(field("int", f"f{number}") for number in range(10_000))), Rule.TOO_LARGE),
        (record(doc="x" * (2 << 20)), Rule.TOO_LARGE),
        (record(field({"type": "array", "items": "null"})), Rule.ZERO_SIZE),
        (record(field(["int", "long"])), Rule.AMBIGUOUS_UNION),
        (record(name="../T"), Rule.NOT_AVRO),
        (record(namespace="fr.accord..x"), Rule.NOT_AVRO),
        (record(field("int"), field("int")), Rule.NOT_AVRO),
        (DEEP, Rule.TOO_LARGE),
        (DEEP[150_000:250_000], Rule.TOO_DEEP),
        ('{"type": "record", "type": "record"}', Rule.NOT_AVRO),
        ("{", Rule.NOT_AVRO),
        ("[]", Rule.NOT_A_RECORD),
        (enum("a"), Rule.NOT_A_RECORD),
        (record(namespace="fr.other"), Rule.NAMESPACE),
        (record(field(enum("a", default="a", namespace="fr.other"))), Rule.NAMESPACE),
        (record(name="thing"), Rule.TYPE_NAME),
        (record(field("int", "nbPart")), Rule.FIELD_NAME),
        (record(field(enum("YES", default="YES"))), Rule.SYMBOL_NAME),
        (record(doc=" "), Rule.DOC_MISSING),
        (record({"name": "a", "type": "int"}), Rule.DOC_MISSING),
        (record(field(enum("a", default="a", doc=""))), Rule.DOC_MISSING),
        (record(doc="<script>alert(1)</script>"), Rule.DOC_MARKUP),
        (record(doc="<b onclick=x>"), Rule.DOC_MARKUP),
        (record(doc="\u202eno"), Rule.DOC_MARKUP),
        (record(doc="\x1b[2J"), Rule.DOC_MARKUP),
        (record(field("int", aliases=["b"])), Rule.ALIAS),
        (record(aliases=["Other"]), Rule.ALIAS),
        (record(field("int", default="1")), Rule.DEFAULT_TYPE),
        (record(field("int", default=True)), Rule.DEFAULT_TYPE),
        (record(field("int", default=1 << 31)), Rule.DEFAULT_TYPE),
        (record(field(["string", "int"], default=1)), Rule.DEFAULT_TYPE),
        (record(field({"type": "array", "items": "int"}, default=[1, "2"])), Rule.DEFAULT_TYPE),
        (record(field({"type": "record", "name": "Pair", "doc": "Two.", "fields": [field("int")]}, default={"b": 1})), Rule.DEFAULT_TYPE),
        (record(field(MAYBE)), Rule.NULL_DEFAULT),
        (record(field(["string", "null"], default="")), Rule.NULL_DEFAULT),
    ],
)  # fmt: skip
def test_a_schema_that_breaks_a_rule_is_named(schema: Any, rule: Rule) -> None:
    """Each fault is found by its own rule, which refuses it, and no fault raises anything."""
    assert rules(schema) == [rule]
    assert not RULES[rule].warning


def test_what_is_well_is_well() -> None:
    """A topic's name in a doc, the State's spelling in a data set and a provider with a hyphen are no faults."""
    assert rules(record(doc="Topic answers.<provider>.v1.")) == []
    assert rules(data_set(), "france-travail.statut.v1") == []
    shaped = record(field(MAYBE, "nbPart", default=None, scope="s"), namespace="fr.accord.dgfip")
    assert rules(shaped, "dgfip.impot.v1") == []


def test_a_root_field_of_a_data_set_says_its_scope() -> None:
    """A data set's field that no scope opens could be read by nobody, or by everybody."""
    schema = data_set()
    del schema["fields"][0]["scope"]
    assert rules(schema, "france-travail.statut.v1") == [Rule.SCOPE_MISSING]


def test_an_enum_without_default_only_warns() -> None:
    """A closed enum is right for a verdict: it is told, not refused."""
    assert rules(record(field(enum("a")))) == [Rule.CLOSED_ENUM]
    assert RULES[Rule.CLOSED_ENUM].warning


@pytest.mark.parametrize("stem", ["thing", "Thing.v1", "thing.v0", "a.b.c.v1", "../thing.v1", "thing.v1.v1é"])
def test_a_file_has_its_name(stem: str) -> None:
    """A file is called by its subject and version, and nothing else."""
    assert Rule.FILE_NAME in rules(record(), stem)


def test_every_schema_shipped_keeps_every_rule() -> None:
    """The contract of this project refuses nothing of itself."""
    assert [finding for finding in lint_folder(open_folder(SHIPPED)) if finding.refused] == []


@pytest.mark.parametrize(
    ("of", "good", "bad"),
    [
        ("null", [None], [0, ""]),
        ("boolean", [True], [1, "true"]),
        ("long", [-(1 << 63), (1 << 63) - 1], [1 << 63, 1.0, True]),
        ("double", [0, 1.5], [True, "1", float("inf")]),
        ("bytes", ["", "ÿ"], ["Ā", 0]),
        ({"type": "fixed", "name": "F", "size": 2}, ["ab"], ["a", "abc", "aĀ"]),
        (enum("a", "b"), ["b"], ["c", 0]),
        ({"type": "map", "values": "int"}, [{}, {"x": 1}], [{"x": "1"}, []]),
        ({"type": "array", "items": "string"}, [[], ["x"]], [[1], {}, "x"]),
        (record(field("int", default=1), field("int", "b"), name="P"), [{"b": 1}], [{}, {"a": 1}, {"b": 1, "c": 2}]),
    ],
)
def test_a_default_is_of_its_type(of: Any, good: list[Any], bad: list[Any]) -> None:
    """Each JSON form Avro gives a type is a default of it; no other is."""
    (inner,) = (part.type for part in tree(record(field(of))).fields)
    assert [value for value in good if not fits(inner, value)] == []
    assert [value for value in bad if fits(inner, value)] == []


def test_a_schema_that_doubles_at_each_level_is_walked_once() -> None:
    """2^15 leaves in fifteen lines are fifteen types to look at."""
    fields = [field({"type": "fixed", "name": "A", "size": 1, "doc": "A."}, "a")]
    for level, name in enumerate("BCDEFGHIJKLMN"):
        halves = [field(chr(ord("A") + level), side) for side in ("left", "right")]
        inner = {"type": "record", "name": f"{name}", "doc": "Two halves.", "fields": halves}
        fields.append(field(inner, f"f{level}"))
    assert set(rules(record(*fields))) == {Rule.TYPE_NAME}
    assert len(rules(record(*fields))) == 14


@settings(max_examples=300, deadline=None)
@given(
    text=st.text()
    | st.recursive(st.none() | st.text() | st.integers(), lambda j: st.lists(j) | st.dictionaries(st.text(), j)).map(
        json.dumps
    )
)
def test_no_text_raises(text: str) -> None:
    """Whatever a schema file holds, it is linted; what `read` cannot use it refuses with a word of the closed list."""
    assert lint("thing.v1", text)
    with pytest.raises(BadSchema):
        read(text)


def test_every_rule_speaks_both_languages() -> None:
    """Each rule has a cause and a thing to do, in French and in English."""
    assert set(RULES) == set(Rule)
    assert all(all((*entry.cause, *entry.todo)) for entry in RULES.values())

"""What changed between two versions of a schema, and whether each still reads the other.

Apache Avro's own checker has the last word (`ReaderWriterCompatibilityChecker`, both ways: FULL); it names places by number and does
not see a namespace, a default or a string that became bytes. Our walk names each change and sees those too: what it refuses includes
all that the checker refuses. Rule of this project: a version adds fields with a default; no name or type changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Final, NamedTuple

import avro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from exchange.core.schema_rules import Finding, Rule
from exchange.core.schema_tree import ABSENT, NAMED, Field, Type, short, tree

_PROMOTED: Final = (frozenset({"int", "long", "float", "double"}), frozenset({"string", "bytes"}))


class Change(NamedTuple):
    """One difference: in a word, where, and the rule it breaks, or None where a new version may do so."""

    what: str
    where: str
    rule: Rule | None = None


def changes(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> list[Change]:
    """All differences of two schemas that `Codec` accepts, in the order of the earlier one."""
    one, two = tree(earlier), tree(later)
    return list(_types(one, two, short(one.name), set()))


def breaks(schemas: Mapping[str, Mapping[str, Any]], subject: str, versions: Sequence[int]) -> list[Finding]:
    """FULL_TRANSITIVE: what any two versions of a subject do not keep; `schemas` are by `<subject>.v<version>`."""
    findings = []
    for earlier, later in combinations(sorted(versions), 2):
        one, two = (schemas[f"{subject}.v{version}"] for version in (earlier, later))
        stem, against = f"{subject}.v{later}", f"v{earlier}"
        findings += [Finding(c.rule, stem, c.where, against) for c in changes(one, two) if c.rule]
        if not reads(one, two):
            findings.append(Finding(Rule.UNREADABLE, stem, short(tree(two).name), f"{against} ← v{later}"))
        if not reads(two, one):
            findings.append(Finding(Rule.UNREADABLE, stem, short(tree(two).name), f"{against} → v{later}"))
    return findings


def reads(reader: Mapping[str, Any], writer: Mapping[str, Any]) -> bool:
    """Whether Apache Avro's checker says that `reader` reads what `writer` wrote."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    one, two = (avro.schema.parse(json.dumps(dict(schema))) for schema in (reader, writer))
    return checker.get_compatibility(one, two).compatibility is SchemaCompatibilityType.compatible


def _types(one: Type, two: Type, where: str, seen: set[tuple[str, str]]) -> Iterator[Change]:
    if one.kind != two.kind:
        promoted = any({one.kind, two.kind} <= family for family in _PROMOTED)
        yield Change(f"{one.kind} → {two.kind}", where, Rule.PROMOTION if promoted else Rule.TYPE_CHANGED)
        return
    if one.kind in NAMED:
        if (one.name, two.name) in seen:
            return
        seen.add((one.name, two.name))
        yield from _names(one, two, where)
    if one.kind == "union":
        yield from _unions(one, two, where, seen)
    else:
        for inner, other in zip(one.branches, two.branches, strict=True):
            yield from _types(inner, other, where + ("[]" if one.kind == "array" else "{}"), seen)
    yield from _fields(one, two, where, seen)


def _names(one: Type, two: Type, where: str) -> Iterator[Change]:
    if short(one.name) != short(two.name):
        yield Change("name", where, Rule.NAME_CHANGED)
    elif one.name != two.name:
        yield Change("namespace", where, Rule.NAMESPACE_CHANGED)
    if one.doc != two.doc:
        yield Change("doc", where)
    if one.size_bytes != two.size_bytes:
        yield Change("size", where, Rule.SIZE_CHANGED)
    if one.symbols != two.symbols:
        yield Change("symbols", where, _symbols_rule(one, two))
    if one.default != two.default:
        yield Change("default", where, Rule.DEFAULT_CHANGED)


def _symbols_rule(one: Type, two: Type) -> Rule | None:
    """The reader that lacks a symbol needs a default; the same symbols in another order are read by name."""
    lacking = [reader for reader, writer in ((one, two), (two, one)) if set(writer.symbols) - set(reader.symbols)]
    return Rule.SYMBOLS_CHANGED if any(reader.default is ABSENT for reader in lacking) else None


def _unions(one: Type, two: Type, where: str, seen: set[tuple[str, str]]) -> Iterator[Change]:
    before, after = ({_branch(b): b for b in of.branches} for of in (one, two))
    if before.keys() != after.keys():
        yield Change("union", where, Rule.BRANCHES_CHANGED)
    elif list(before) != list(after):
        yield Change("order", where)
    for key in before.keys() & after.keys():
        yield from _types(before[key], after[key], where, seen)


def _branch(of: Type) -> str:
    """Its kind and short name: a namespace that changed is then said as such."""
    return f"{of.kind} {short(of.name)}"


def _fields(one: Type, two: Type, where: str, seen: set[tuple[str, str]]) -> Iterator[Change]:
    before, after = ({field.name: field for field in of.fields} for of in (one, two))
    for name, field in before.items():
        at = f"{where}.{name}"
        if name in after:
            yield from _field(field, after[name], at, seen)
        else:
            yield Change("removed", at, Rule.FIELD_REMOVED if field.default is ABSENT else None)
    for name, field in after.items():
        if name not in before:
            yield Change("added", f"{where}.{name}", Rule.FIELD_ADDED if field.default is ABSENT else None)
    kept = [name for name in before if name in after]
    if kept != [name for name in after if name in before]:
        yield Change("order", where)


def _field(one: Field, two: Field, where: str, seen: set[tuple[str, str]]) -> Iterator[Change]:
    if one.doc != two.doc:
        yield Change("doc", where)
    if _differ(one.default, two.default):
        yield Change("default", where, Rule.DEFAULT_CHANGED)
    if one.scope != two.scope:
        yield Change("scope", where, Rule.SCOPE_CHANGED)
    yield from _types(one.type, two.type, where, seen)


def _differ(one: object, two: object) -> bool:
    """As JSON: true is not 1."""
    if ABSENT in (one, two):
        return one is not two
    return json.dumps(one, sort_keys=True) != json.dumps(two, sort_keys=True)

"""A schema as a tree of values: names in full, references replaced by what they name, lengths and defaults where they are said.

The tree is shared where the schema repeats a name; whoever walks it visits a named type once, so a schema of 2^15 leaves in fifteen
lines costs fifteen steps. Source: Apache Avro specification 1.12, "Schema Declaration" and "Names".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

ABSENT: Final = object()
"""No default: None is one."""
NAMED: Final = frozenset({"record", "enum", "fixed"})


class Type(NamedTuple):
    """A type. `kind` is Avro's word; `name` is full and empty for what has none; the rest is empty where it does not apply."""

    kind: str
    name: str = ""
    doc: str = ""
    aliases: tuple[str, ...] = ()
    fields: tuple[Field, ...] = ()
    symbols: tuple[str, ...] = ()
    default: object = ABSENT
    size_bytes: int = 0
    branches: tuple[Type, ...] = ()
    """Of a union, in order; of an array or a map, the one type inside."""


class Field(NamedTuple):
    """A field of a record."""

    name: str
    type: Type
    doc: str
    default: object
    aliases: tuple[str, ...]
    scope: str
    """The State's scope that opens it: told by the root fields of a data set, empty elsewhere."""


class Place(NamedTuple):
    """A named type or a field, and the dotted path to it from the root, e.g. `QuotientFamilial.enfants[].sexe`."""

    where: str
    part: Type | Field


def tree(schema: Mapping[str, Any]) -> Type:
    """The tree of a schema that `exchange.core.avro.Codec` accepts; what happens to another is not said."""
    return _type(schema, "", {})


def document_sha256(schema: Mapping[str, Any]) -> str:
    """SHA-256, in hexadecimal, of all that a schema document says but its docs, which may be improved: defaults, scopes, parameters and
    aliases too, which the parsing canonical form leaves out. As JSON with sorted keys and no spaces, in ASCII."""
    text = json.dumps(_undocumented(schema), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _undocumented(part: Any) -> Any:
    """Without the docs; a default is a datum, whose own names are its business."""
    if isinstance(part, list):
        return [_undocumented(item) for item in part]
    if isinstance(part, Mapping):
        kept = {name: value for name, value in part.items() if name != "doc"}
        return {name: value if name == "default" else _undocumented(value) for name, value in kept.items()}
    return part


def walk(root: Type) -> Iterator[Place]:
    """Every named type, once, and every field."""
    return _walk(root, short(root.name), set())


def short(name: str) -> str:
    """A full name without its namespace."""
    return name.rpartition(".")[2]


def optional(of: Type) -> Type | None:
    """What a union of null and one other type may hold; None for any other type."""
    if of.kind != "union" or len(of.branches) != 2 or not any(b.kind == "null" for b in of.branches):
        return None
    return next(branch for branch in of.branches if branch.kind != "null")


def _walk(of: Type, where: str, seen: set[str]) -> Iterator[Place]:
    if of.kind in NAMED:
        if of.name in seen:
            return
        seen.add(of.name)
        yield Place(where, of)
    for field in of.fields:
        at = f"{where}.{field.name}"
        yield Place(at, field)
        yield from _walk(field.type, at, seen)
    inside = {"array": "[]", "map": "{}"}.get(of.kind, "")
    for branch in of.branches:
        yield from _walk(branch, where + inside, seen)


def _type(of: Any, namespace: str, named: dict[str, Type]) -> Type:
    if isinstance(of, list):
        return Type("union", branches=tuple(_type(branch, namespace, named) for branch in of))
    if isinstance(of, str):
        return named.get(_full(of, namespace)) or named.get(of) or Type(of)
    kind = of["type"]
    if kind in ("array", "map"):
        return Type(kind, branches=(_type(of["items" if kind == "array" else "values"], namespace, named),))
    if not isinstance(kind, str) or kind not in NAMED:
        return _type(kind, namespace, named)
    name = _full(of["name"], of.get("namespace", namespace))
    fields = tuple(_field(field, name.rpartition(".")[0], named) for field in of.get("fields", ()))
    named[name] = Type(
        kind, name, _text(of.get("doc")), _aliases(of), fields, tuple(of.get("symbols", ())),
        of.get("default", ABSENT) if kind == "enum" else ABSENT, of.get("size", 0),
    )  # fmt: skip
    return named[name]


def _field(of: Mapping[str, Any], namespace: str, named: dict[str, Type]) -> Field:
    inner = _type(of["type"], namespace, named)
    return Field(
        of["name"], inner, _text(of.get("doc")), of.get("default", ABSENT), _aliases(of), _text(of.get("scope"))
    )


def _full(name: str, namespace: str) -> str:
    return name if "." in name or not namespace else f"{namespace}.{name}"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _aliases(of: Mapping[str, Any]) -> tuple[str, ...]:
    found = of.get("aliases", ())
    return tuple(map(str, found)) if isinstance(found, list) else (str(found),) if found else ()

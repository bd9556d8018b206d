"""What no compatibility checker sees in a schema: docs, names, defaults, aliases, and all that `Codec` refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any, Final

from exchange.core.avro import MAX_SCHEMA_SIZE_BYTES, BadSchema, Codec
from exchange.core.schema_rules import Finding, Rule
from exchange.core.schema_tree import ABSENT, Field, Type, short, tree, walk

STEM: Final = re.compile(r"([a-z0-9-]+(?:\.[a-z0-9-]+)?)\.v([1-9][0-9]*)", re.ASCII)
_TYPE: Final = re.compile(r"([A-Z][a-z0-9]+)+", re.ASCII)
_OURS: Final = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_STATES: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_MARKUP: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]|</|<!|<\w[^<>]*=|<(script|iframe|style|img|svg|object|embed)\b|javascript:",
    re.IGNORECASE,
)
"""`<provider>` in a topic's name is no markup: what would run in a page is."""
_INTEGERS: Final = {"int": 31, "long": 63}


def read(text: str) -> Codec:
    """The codec of a schema file. Raises BadSchema, whatever the text is."""
    return Codec(_parse(text))


def _parse(text: str) -> dict[str, Any]:
    if len(text) > MAX_SCHEMA_SIZE_BYTES:
        raise BadSchema("too_large")
    try:
        schema = json.loads(text, object_pairs_hook=_each_once, parse_constant=_no_number)
    except RecursionError:
        raise BadSchema("too_deep") from None
    except ValueError:
        raise BadSchema("not_avro") from None
    if not isinstance(schema, dict):
        raise BadSchema("not_a_record")
    return schema


def lint(stem: str, text: str) -> list[Finding]:
    """What the schema file `<stem>.avsc` does not keep of the rules; empty for a good one. Never raises."""
    named = STEM.fullmatch(stem)
    findings = [] if named else [Finding(Rule.FILE_NAME, stem)]
    try:
        root = _root(_parse(text))
    except BadSchema as bad:
        return [*findings, Finding(Rule(bad.reason), stem)]
    subject = named[1] if named else stem
    findings += [Finding(Rule.NAMESPACE, stem, short(root.name))] if not _at_home(root, subject) else []
    if "." in subject:
        unscoped = (field for field in root.fields if not field.scope)
        findings += [Finding(Rule.SCOPE_MISSING, stem, f"{short(root.name)}.{field.name}") for field in unscoped]
    for where, part in walk(root):
        rules = _of_field(part, subject) if isinstance(part, Field) else _of_type(part, root, subject)
        findings += [Finding(rule, stem, where) for rule in rules]
    return findings


def _root(schema: dict[str, Any]) -> Type:
    """The tree of a schema a codec can be made of, were its defaults not there: a wrong one is a finding of its own."""
    try:
        return tree(Codec(schema).schema)
    except BadSchema as bad:
        if bad.reason != "not_avro":
            raise
        try:
            Codec(_without_defaults(schema))
        except RecursionError:
            raise BadSchema("too_deep") from None
        return tree(schema)


def _without_defaults(part: Any) -> Any:
    if isinstance(part, list):
        return [_without_defaults(item) for item in part]
    if isinstance(part, dict):
        return {name: _without_defaults(value) for name, value in part.items() if name != "default"}
    return part


def namespace_of(subject: str) -> str:
    """`fr.accord` for a message of the bus, `fr.accord.<provider>` for a data set; Avro names have no hyphen."""
    provider, _, _ = subject.rpartition(".")
    return ".".join(["fr.accord", *filter(None, [provider.replace("-", "_")])])


def fits(of: Type, value: object) -> bool:
    """Whether a JSON value may be the default of a type (Avro 1.12, "Complex Types": a union's is of its first type)."""
    if of.kind == "union":
        return bool(of.branches) and fits(of.branches[0], value)
    if of.kind in _INTEGERS:
        top = 1 << _INTEGERS[of.kind]
        return isinstance(value, int) and not isinstance(value, bool) and -top <= value < top
    if of.kind in ("array", "map"):
        items = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
        return isinstance(value, list if of.kind == "array" else dict) and all(fits(of.branches[0], i) for i in items)
    if of.kind == "record":
        return isinstance(value, dict) and _record_fits(of, value)
    return _plain_fits(of, value)


def _plain_fits(of: Type, value: object) -> bool:
    match of.kind, value:
        case ("null", None) | ("boolean", bool()) | ("string", str()):
            return True
        case "float" | "double", int() | float():
            return not isinstance(value, bool) and isfinite(value)
        case "bytes" | "fixed", str() as letters:
            sized = of.kind == "bytes" or len(letters) == of.size_bytes
            return sized and all(ord(letter) < 256 for letter in letters)
    return of.kind == "enum" and value in of.symbols


def _record_fits(of: Type, value: Mapping[str, Any]) -> bool:
    names = {field.name for field in of.fields}
    given = ((field.type, value.get(field.name, field.default)) for field in of.fields)
    return value.keys() <= names and all(fits(kind, part) for kind, part in given)


def _at_home(root: Type, subject: str) -> bool:
    home = namespace_of(subject)
    types = (part for _, part in walk(root) if isinstance(part, Type))
    return all(part.name.rpartition(".")[0] == home for part in types)


def _of_type(part: Type, root: Type, subject: str) -> Iterator[Rule]:
    yield from _told(part)
    if not _TYPE.fullmatch(short(part.name)):
        yield Rule.TYPE_NAME
    if not all(_spelling(subject).fullmatch(symbol) for symbol in part.symbols):
        yield Rule.SYMBOL_NAME
    if part.kind == "enum" and part.default is ABSENT:
        yield Rule.CLOSED_ENUM
    elif part.kind == "enum" and part.default not in part.symbols:
        yield Rule.DEFAULT_TYPE


def _of_field(part: Field, subject: str) -> Iterator[Rule]:
    yield from _told(part)
    if not _spelling(subject).fullmatch(part.name):
        yield Rule.FIELD_NAME
    kinds = [branch.kind for branch in part.type.branches] if part.type.kind == "union" else []
    if "null" in kinds and (kinds[0] != "null" or part.default is not None):
        yield Rule.NULL_DEFAULT
    elif part.default is not ABSENT and not fits(part.type, part.default):
        yield Rule.DEFAULT_TYPE


def _told(part: Type | Field) -> Iterator[Rule]:
    if not part.doc.strip():
        yield Rule.DOC_MISSING
    elif _MARKUP.search(part.doc):
        yield Rule.DOC_MARKUP
    if part.aliases:
        yield Rule.ALIAS


def _spelling(subject: str) -> re.Pattern[str]:
    """A data set keeps the State's wire names, whatever their case."""
    return _STATES if "." in subject else _OURS


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) != len(pairs):
        raise ValueError
    return found


def _no_number(_: str) -> float:
    raise ValueError

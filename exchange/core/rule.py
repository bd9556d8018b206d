"""A rule: a question put to a data set, whose answer leaves the provider in place of the data (issue 5, "answer, not data").

A closed document in one form (sorted JSON, no float), of at most 2,048 bytes:

    {"name", "data_set", "doc": {"fr", "en"}, "ask": one of
        {"field": "quotient_familial.valeur", "is": "<=", "value": 650}      yes or no; `in` takes a list; a truth: {"is": "=", "value": true}
        {"all": [...]} or {"any": [...]}                                      two to eight of them, two levels at most
        {"field": ..., "brackets": [{"to": 400, "label": "A"}, ...], "above": "C"}    a table, alone; each bound belongs to its bracket
    }

Nothing is computed that this grammar does not say. A field that is absent or null leaves the answer unknown, unless the rest decides it
(Kleene's three values). A list counts as the number of its items. Numbers are exact: whole ones, or decimals written as text ("650.50") where the field is a real number.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from exchange.core.schema_tree import Type, optional, tree

SIZE_MAX_BYTES: Final = 2_048
SIGNED_MAX_BYTES: Final = 4_096
"""Of a rule under its signatures."""
PARTS_MAX, DEPTH_MAX, VALUES_MAX, BRACKETS_MAX = 8, 2, 32, 16

Operator: TypeAlias = Literal["<=", "<", ">=", ">", "=", "in"]
Scalar: TypeAlias = bool | int | str
Result: TypeAlias = Literal["true", "false", "unknown"] | str
"""What a rule answers; a table answers one of its labels, which are none of the three words."""

_WHOLE = frozenset({"int", "long", "array"})
_REAL = frozenset({"float", "double"})
_ORDERED = frozenset({"<=", "<", ">=", ">"})
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*", re.ASCII)
_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*){0,7}", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,14})(\.[0-9]{1,6})?", re.ASCII)
_SPACES = {0xA0: " ", 0x202F: " "}
"""The no-break spaces of French typography, which Python does not call printable."""
_LONG = 1 << 63
_WORDS = frozenset({"true", "false", "unknown"})


class BadRule(ValueError):
    """Not a rule of the grammar, or not one for its data set; says which part, never a value of anybody's."""


class Comparison(NamedTuple):
    """A field compared with one value, or with several for `in`."""

    field: str
    operator: Operator
    values: tuple[Scalar, ...]


class Several(NamedTuple):
    """All, or any, of some questions."""

    word: Literal["all", "any"]
    parts: tuple[Question, ...]


class Table(NamedTuple):
    """A number's bracket: bounds ascend, each belongs to its bracket; `above` is the label beyond the last one."""

    field: str
    bounds: tuple[tuple[Scalar, str], ...]
    above: str


Question: TypeAlias = Comparison | Several


class Rule(NamedTuple):
    """A rule of the grammar; `text` is its document, in its one form. Whether its fields exist is `fit`'s to say."""

    name: str
    data_set: str
    fr: str
    en: str
    question: Question | Table
    text: str

    @property
    def hash(self) -> bytes:
        """SHA-256 of the document: the rule is what it says, whoever signed it."""
        return hashlib.sha256(self.text.encode()).digest()

    @property
    def fields(self) -> tuple[str, ...]:
        """The paths it reads, each once, in order."""
        return tuple(dict.fromkeys(fields_of(self.question)))

    @property
    def results(self) -> tuple[str, ...]:
        """All it may answer."""
        if isinstance(self.question, Table):
            return *(label for _, label in self.question.bounds), self.question.above, "unknown"
        return "true", "false", "unknown"


def rule_hash(signed: bytes) -> bytes:
    """The hash of the rule in a signed note, whoever signed it; empty without a rule. Nothing is verified."""
    text, blank, _ = signed.rpartition(b"\n\n")
    return hashlib.sha256(text + b"\n" if blank else signed).digest() if signed else b""


def parse(text: str) -> Rule:
    """The rule of a document in its one form: what `write` makes. BadRule."""
    body = _json(text)
    if write(body) != text:
        raise BadRule("not in its one form")
    doc = _keys(_keys(body, "ask", "data_set", "doc", "name")["doc"], "en", "fr")
    name, data_set = body["name"], _text(body["data_set"], "data_set", 100)
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > 60:
        raise BadRule("name")
    ask = body["ask"]
    question = _table(ask) if isinstance(ask, dict) and "brackets" in ask else _question(ask, 0)
    return Rule(name, data_set, _text(doc["fr"], "doc.fr", 300), _text(doc["en"], "doc.en", 300), question, text)


def write(body: object) -> str:
    """A document in its one form; BadRule if it has none."""
    try:
        text = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n"
        size_bytes = len(text.encode())
    except (TypeError, ValueError, RecursionError):
        raise BadRule("not a document") from None
    if size_bytes > SIZE_MAX_BYTES:
        raise BadRule("too large")
    return text


def loads(text: str) -> Rule:
    """The rule of any JSON text: for what people write."""
    return parse(write(_json(text)))


def fit(rule: Rule, schema: Mapping[str, Any]) -> None:
    """BadRule unless every field is there and of a kind that its value, and its operator, can be compared with."""
    root = tree(schema)
    if isinstance(rule.question, Table):
        kind = _kind(root, rule.question.field)
        if kind not in _WHOLE | _REAL:
            raise BadRule(f"{rule.question.field}: not a number")
        for bound, _ in rule.question.bounds:
            _fits(rule.question.field, kind, bound)
        return
    for part in _comparisons(rule.question):
        kind = _kind(root, part.field)
        if part.operator in _ORDERED and kind not in _WHOLE | _REAL:
            raise BadRule(f"{part.field}: has no order")
        for value in part.values:
            _fits(part.field, kind, value)


def scopes_read(rule: Rule, schema: Mapping[str, Any]) -> tuple[str, ...]:
    """The scopes that open what it reads, sorted; `fit` has passed."""
    opened = {field["name"]: str(field.get("scope", "")) for field in schema["fields"]}
    return tuple(sorted({opened[path.partition(".")[0]] for path in rule.fields}))


def answer(rule: Rule, data: Mapping[str, Any]) -> Result:
    """What the rule says of a datum; `fit` has passed, and the datum is its data set's."""
    if isinstance(rule.question, Table):
        value = _at(data, rule.question.field)
        if value is None:
            return "unknown"
        within = (label for bound, label in rule.question.bounds if _exact(value) <= _exact(bound))
        return next(within, rule.question.above)
    said = _answer(rule.question, data)
    return "unknown" if said is None else "true" if said else "false"


def in_short(question: Question | Table) -> str:
    """What is computed, as a formula: to be held against the rule's words."""
    if isinstance(question, Comparison):
        shown = [json.dumps(value, ensure_ascii=False) for value in question.values]
        right = f"[{', '.join(shown)}]" if question.operator == "in" else shown[0]
        return f"{question.field} {question.operator} {right}"
    if isinstance(question, Several):
        word = " and " if question.word == "all" else " or "
        return f"({word.join(in_short(part) for part in question.parts)})"
    rows = [f"<= {bound} : {label}" for bound, label in question.bounds]
    return f"{question.field} {{{', '.join(rows)}, > : {question.above}}}"


def fields_of(question: Question | Table) -> Iterator[str]:
    """The paths a question reads."""
    if isinstance(question, Table):
        yield question.field
    else:
        yield from (part.field for part in _comparisons(question))


def _comparisons(question: Question) -> Iterator[Comparison]:
    if isinstance(question, Comparison):
        yield question
    else:
        for part in question.parts:
            yield from _comparisons(part)


def _answer(question: Question, data: Mapping[str, Any]) -> bool | None:
    if isinstance(question, Several):
        said = {_answer(part, data) for part in question.parts}
        decided = question.word == "any"
        return decided if decided in said else None if None in said else not decided
    value = _at(data, question.field)
    if value is None:
        return None
    left, rights = _exact(value, like=value), [_exact(right, like=value) for right in question.values]
    match question.operator:
        case "=" | "in":
            return left in rights
        case "<=":
            return bool(left <= rights[0])
        case "<":
            return bool(left < rights[0])
        case ">=":
            return bool(left >= rights[0])
        case ">":
            return bool(left > rights[0])


def _at(data: Mapping[str, Any], path: str) -> Any:
    """The value at a path; None where anything on the way is absent or null."""
    value: Any = data
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _exact(value: Scalar | float | list[Any], like: object = 0) -> Any:
    """A number as the decimal that was written, never a binary fraction; a list as its length; a truth or a text as it is."""
    if isinstance(value, list):
        return Decimal(len(value))
    if isinstance(value, bool) or (isinstance(value, str) and isinstance(like, str)):
        return value
    return Decimal(value) if isinstance(value, str) else Decimal(repr(value))


def _kind(root: Type, path: str) -> str:
    """Avro's word for what is at a path, through optional records; BadRule where there is nothing that can be compared."""
    at = root
    for name in path.split("."):
        found = next((field for field in at.fields if field.name == name), None)
        if found is None:
            raise BadRule(f"{path}: no such field")
        at = optional(found.type) or found.type
    if at.kind not in _WHOLE | _REAL | {"boolean", "string", "enum"}:
        raise BadRule(f"{path}: not one value")
    return at.kind


def _fits(path: str, kind: str, value: Scalar) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    good = {
        "boolean": isinstance(value, bool),
        "string": isinstance(value, str),
        "enum": isinstance(value, str),
    }.get(kind, whole or (kind in _REAL and isinstance(value, str) and bool(_DECIMAL.fullmatch(value))))
    if not good:
        raise BadRule(f"{path}: not compared with a value of its kind")


def _question(body: object, depth: int) -> Question:
    if isinstance(body, dict) and len(body) == 1 and (word := next(iter(body))) in ("all", "any"):
        parts = body[word]
        if depth >= DEPTH_MAX or not isinstance(parts, list) or not 2 <= len(parts) <= PARTS_MAX:
            raise BadRule(f"{word}: two to {PARTS_MAX} parts, {DEPTH_MAX} levels")
        return Several(word, tuple(_question(part, depth + 1) for part in parts))
    part = _keys(body, "field", "is", "value")
    operator = part["is"]
    if operator not in ("<=", "<", ">=", ">", "=", "in"):
        raise BadRule("is")
    values = part["value"] if operator == "in" else [part["value"]]
    if not isinstance(values, list) or not 1 <= len(values) <= VALUES_MAX:
        raise BadRule("value")
    return Comparison(_path(part["field"]), operator, tuple(_scalar(value) for value in values))


def _table(body: object) -> Table:
    table = _keys(body, "above", "brackets", "field")
    rows = table["brackets"]
    if not isinstance(rows, list) or not 1 <= len(rows) <= BRACKETS_MAX:
        raise BadRule(f"brackets: 1 to {BRACKETS_MAX}")
    bounds = tuple((_scalar(row["to"]), _label(row["label"])) for row in (_keys(row, "label", "to") for row in rows))
    if not all(_number(bound) for bound, _ in bounds):
        raise BadRule("brackets: a number each")
    exact = [_exact(bound) for bound, _ in bounds]
    if exact != sorted(set(exact)):
        raise BadRule("brackets: bounds ascend")
    above = _label(table["above"])
    if len({above, *(label for _, label in bounds)}) != len(bounds) + 1:
        raise BadRule("brackets: a label twice")
    return Table(_path(table["field"]), bounds, above)


def _number(value: Scalar) -> bool:
    return not isinstance(value, bool) and (isinstance(value, int) or bool(_DECIMAL.fullmatch(value)))


def _scalar(value: object) -> Scalar:
    if isinstance(value, bool) or (isinstance(value, int) and -_LONG <= value < _LONG):
        return value
    return _text(value, "value", 60)


def _label(value: object) -> str:
    label = _text(value, "label", 60)
    if label in _WORDS:
        raise BadRule("label")
    return label


def _path(value: object) -> str:
    if not isinstance(value, str) or len(value) > 200 or not _PATH.fullmatch(value):
        raise BadRule("field")
    return value


def _text(value: object, what: str, most: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= most or not value.translate(_SPACES).isprintable():
        raise BadRule(what)
    return value


def _keys(body: object, *names: str) -> dict[str, Any]:
    if not isinstance(body, dict) or sorted(body) != sorted(names):
        raise BadRule(f"exactly {', '.join(names)}")
    return body


def _json(text: str) -> Any:
    if len(text) > 4 * SIZE_MAX_BYTES:
        raise BadRule("too large")

    def no(_: str) -> Any:
        raise BadRule("not a whole number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise BadRule("a key twice")
        return dict(pairs)

    try:
        return json.loads(text, parse_float=no, parse_constant=no, object_pairs_hook=once)
    except BadRule:
        raise
    except (ValueError, RecursionError):
        raise BadRule("not JSON") from None

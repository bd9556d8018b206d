"""A JSON answer read strictly by the Avro record of its data set: documented fields only, of the documented types.

An optional field that is absent stays absent, a null stays null (``exchange.core.shape`` completes them at the encoding).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final

from connectors.core.description import Description
from exchange.core.shape import branch_of, kind_of

MISSING: Final = object()
LONG_BITS, INT_BITS = 63, 31


class Undocumented(ValueError):
    """The answer has not the types its contract documents; holds nothing of it."""


def pick(value: Any, path: str) -> Any:
    """What is at ``path`` (see ``connectors.core.description``), ``MISSING`` where nothing is. Raises ``Undocumented``."""
    key, _, rest = path.partition(".")
    listed, key = key.endswith("[]"), key.removesuffix("[]")
    if not isinstance(value, dict):
        raise Undocumented
    inner = value.get(key, MISSING)
    if inner is MISSING or inner is None:
        return inner
    if not listed:
        return pick(inner, rest) if rest else inner
    if not isinstance(inner, list):
        raise Undocumented
    return [pick(item, rest) for item in inner] if rest else inner


def record(description: Description, answer: Any) -> dict[str, Any]:
    """The data set's record in the State's whole JSON answer. Raises ``Undocumented``, also for a record with nothing in it."""
    fields = {field["name"]: field for field in description.schema["fields"]}
    found = {name: pick(answer, description.roots[name]) for name in fields}
    kept = {name: typed(fields[name]["type"], value) for name, value in found.items() if value is not MISSING}
    if all(value is None for value in kept.values()):
        raise Undocumented
    for path, pattern in description.patterns:
        if not all(pattern.fullmatch(text) for text in texts(kept, path)):
            raise Undocumented
    if any(pick(kept, path) in (MISSING, None) for path in description.present):
        raise Undocumented
    if any(pick(kept, path) == [] for path in description.not_empty):
        raise Undocumented
    return kept


def texts(record: Mapping[str, Any], path: str) -> list[str]:
    """The texts at ``path``, one or a list of them; nulls and absences are none."""
    try:
        found = pick(record, path)
    except Undocumented:
        return []
    return [text for text in (found if isinstance(found, list) else [found]) if isinstance(text, str)]


def typed(schema: Any, value: Any) -> Any:
    """``value`` as the Avro type ``schema`` documents it, undocumented fields left out. Raises ``Undocumented``."""
    if isinstance(schema, list):
        return None if value is None else typed(branch_of(schema), value)
    named = kind_of(schema)
    if named == "record":
        return _fields(schema, value)
    if named == "array":
        if not isinstance(value, list):
            raise Undocumented
        return [typed(schema["items"], item) for item in value]
    if named not in _PLAIN or not _PLAIN[named](value):
        raise Undocumented
    return value


def _fields(schema: Mapping[str, Any], value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Undocumented
    kept = {
        field["name"]: typed(field["type"], value[field["name"]])
        for field in schema["fields"]
        if field["name"] in value
    }
    if any("default" not in field and field["name"] not in kept for field in schema["fields"]):
        raise Undocumented
    return kept


def _whole(bits: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and -(1 << bits) <= value < 1 << bits


_PLAIN: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: type(value) is str,
    "boolean": lambda value: type(value) is bool,
    "int": _whole(INT_BITS),
    "long": _whole(LONG_BITS),
    "double": lambda value: _whole(LONG_BITS)(value) or (type(value) is float and isfinite(value)),
}

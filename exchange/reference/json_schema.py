"""A data set as JSON Schema 2020-12, the dialect of OpenAPI 3.1: what a program reads of an answer."""

from __future__ import annotations

from typing import Any, Final

from exchange.core.schema_tree import ABSENT, NAMED, Field, Type, optional, short

_PLAIN: Final[dict[str, dict[str, Any]]] = {
    "null": {"type": "null"},
    "boolean": {"type": "boolean"},
    "int": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "string": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "fixed": {"type": "string", "contentEncoding": "base64"},
}


def definitions(stem: str, root: Type) -> dict[str, dict[str, Any]]:
    """The JSON Schemas of a data set and of the types inside it, by component name: `<stem>`, then `<stem>.<Type>`."""
    made: dict[str, dict[str, Any]] = {}
    _define(stem, stem, root, made)
    return made


def _define(stem: str, name: str, of: Type, made: dict[str, dict[str, Any]]) -> None:
    if name in made:
        return
    made[name] = {}  # its place comes before those of the types inside
    made[name] = {"description": of.doc} | _body(stem, of, made)


def _body(stem: str, of: Type, made: dict[str, dict[str, Any]]) -> dict[str, Any]:
    match of.kind:
        case "record":
            properties = {field.name: _property(stem, field, made) for field in of.fields}
            required = [field.name for field in of.fields if field.default is ABSENT]
            shape = {"type": "object", "properties": properties, "additionalProperties": False}
            return shape | ({"required": required} if required else {})
        case "enum":
            return {"type": "string", "enum": list(of.symbols)}
    return dict(_PLAIN[of.kind])


def _property(stem: str, field: Field, made: dict[str, dict[str, Any]]) -> dict[str, Any]:
    told = _schema(stem, field.type, made) | {"description": field.doc}
    if field.default is not ABSENT:
        told["default"] = field.default
    return told | ({"x-scope": field.scope} if field.scope else {})


def _schema(stem: str, of: Type, made: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if of.kind in NAMED:
        name = f"{stem}.{short(of.name)}"
        _define(stem, name, of, made)
        return {"$ref": f"#/components/schemas/{name}"}
    if of.kind == "array":
        return {"type": "array", "items": _schema(stem, of.branches[0], made)}
    if of.kind == "map":
        return {"type": "object", "additionalProperties": _schema(stem, of.branches[0], made)}
    if of.kind == "union":
        return _union(stem, of, made)
    return dict(_PLAIN[of.kind])


def _union(stem: str, of: Type, made: dict[str, dict[str, Any]]) -> dict[str, Any]:
    inner = optional(of)
    if inner is not None and inner.kind in _PLAIN and inner.kind not in NAMED:
        plain = _PLAIN[inner.kind]
        return plain | {"type": [plain["type"], "null"]}
    return {"anyOf": [_schema(stem, branch, made) for branch in of.branches]}

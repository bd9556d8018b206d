"""A State's JSON object in the shape of its Avro schema, and back: an absent optional field is null, and an absent root is absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from consent.core.facts import Handover


def branch_of(union: Sequence[Any]) -> Any:
    """What an optional type is where it is not null."""
    return next(branch for branch in union if branch != "null")


def kind_of(schema: Any) -> Any:
    """The name of a type that is no union: ``record``, ``array``, or a plain one's own."""
    return schema["type"] if isinstance(schema, dict) else schema


def complete(schema: Any, value: Any) -> Any:
    """`value` with every absent field that has a default filled in; unknown fields are left for the codec to refuse."""
    if isinstance(schema, list):
        return None if value is None else complete(branch_of(schema), value)
    if kind_of(schema) == "array" and isinstance(value, list):
        return [complete(schema["items"], item) for item in value]
    if kind_of(schema) != "record" or not isinstance(value, dict):
        return value
    completed = {**value}
    for field in schema["fields"]:
        if (name := field["name"]) in value:
            completed[name] = complete(field["type"], value[name])
        elif "default" in field:
            completed[name] = field["default"]
    return completed


def present(value: Mapping[str, Any]) -> dict[str, Any]:
    """Only the roots that are there: a scope that was not granted leaves nothing, not a null."""
    return {name: item for name, item in value.items() if item is not None}


def scopes_of(schema: Mapping[str, Any]) -> frozenset[str]:
    """Every scope of a data set: each root field of its schema says which one opens it (its attribute ``scope``)."""
    return frozenset(field["scope"] for field in schema["fields"] if "scope" in field)


def handover_of(schema: Mapping[str, Any]) -> Handover:
    """How its answers reach the collectivity: the attribute ``handover`` of its schema's record, ``push`` without one."""
    return "pull" if schema.get("handover") == "pull" else "push"


def preview_of(schema: Mapping[str, Any]) -> bool:
    """Whether its person lets each answer through before it is handed over: the attribute ``preview`` of its schema's record."""
    return schema.get("preview") is True


def parameters_of(schema: Mapping[str, Any]) -> frozenset[str]:
    """What may select within a data set: the attribute ``parameters`` of its schema's record."""
    return frozenset(schema.get("parameters", ()))

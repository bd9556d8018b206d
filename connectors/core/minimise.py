"""Only what was authorised leaves: the scopes of an authorisation, applied to the State's answer.

Each root field of a data set's schema says which scope opens it (its ``scope``), as the State's own scopes do.
Source: API Particulier ``commons/data/authorizations.yml``: in v3, one scope opens one root key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exchange.core.shape import branch_of, kind_of


def minimise(schema: Mapping[str, Any], data: Mapping[str, Any], scopes: frozenset[str]) -> dict[str, Any]:
    """The part of ``data`` that ``scopes`` open; an unknown scope opens nothing, an absent key stays absent."""
    opened = {field["name"]: field["type"] for field in schema["fields"] if field.get("scope") in scopes}
    kept = {root: _documented(kind, data[root]) for root, kind in opened.items() if root in data}
    return {root: value for root, value in kept.items() if value is not None}


def _documented(schema: Any, value: Any) -> Any:
    """What of ``value`` the schema documents, ``None`` where nothing is."""
    if isinstance(schema, list):
        schema = branch_of(schema)
    if kind_of(schema) == "record":
        return _fields(schema, value)
    if kind_of(schema) == "array":
        return _items(schema["items"], value)
    return value if isinstance(value, str | int | float) else None


def _items(schema: Any, value: Any) -> list[Any] | None:
    if not isinstance(value, list):
        return None
    kept = (_documented(schema, item) for item in value)
    return [item for item in kept if item is not None]


def _fields(schema: Mapping[str, Any], value: Any) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    kinds = {field["name"]: field["type"] for field in schema["fields"] if field["name"] in value}
    return {name: _documented(kind, value[name]) for name, kind in kinds.items()}

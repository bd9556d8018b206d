"""Only what was authorised leaves: the State's scopes, applied to the State's answer.

Source: API Particulier ``commons/data/authorizations.yml``: in v3, one scope opens one root key.
"""

from __future__ import annotations

from typing import Any

from connectors.core.family import Address, Person, Quotient

Fields = tuple[str, ...]

SCOPES: dict[str, tuple[str, Fields]] = {
    "cnaf_quotient_familial": ("quotient_familial", Quotient.__struct_fields__),
    "cnaf_allocataires": ("allocataires", Person.__struct_fields__),
    "cnaf_enfants": ("enfants", Person.__struct_fields__),
    "cnaf_adresse": ("adresse", Address.__struct_fields__),
}
"""Scope -> (root key it opens, fields the contract documents below that key)."""

LISTS = ("allocataires", "enfants")


def minimise(data: dict[str, Any], scopes: frozenset[str]) -> dict[str, Any]:
    """The part of ``data`` that ``scopes`` open; an unknown scope opens nothing, an absent key stays absent."""
    opened = {root: fields for scope, (root, fields) in SCOPES.items() if scope in scopes}
    kept = {root: _under(root, data[root], fields) for root, fields in opened.items() if root in data}
    return {root: value for root, value in kept.items() if value is not None}


def _under(root: str, value: Any, fields: Fields) -> Any:
    if root not in LISTS:
        return _only(value, fields)
    if not isinstance(value, list):
        return None
    return [_only(item, fields) for item in value if isinstance(item, dict)]


def _only(value: Any, fields: Fields) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    return {name: value[name] for name in fields if _plain(value.get(name, ...))}


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)

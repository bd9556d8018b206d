"""The descriptions shipped: ``connectors/rest/data_sets/*.yaml``, one data set each, with its schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from connectors.core.call import SOURCES
from connectors.core.composition import Composition, compose
from connectors.core.description import BadDescription, Description, describe
from connectors.core.state_errors import FAMILIES
from exchange.core.shape import parameters_of, scopes_of
from exchange.schemas import catalogue


@cache
def descriptions() -> Mapping[str, Description]:
    """Every data set that one operation answers, by name, in the order of names; read once. Raises ``BadDescription``."""
    found = [_description(document) for document in _documents() if not _composed(document)]
    return MappingProxyType({description.data_set: description for description in found})


@cache
def compositions() -> Mapping[str, Composition]:
    """Every data set composed of others, by name, in the order of names; read once. Raises ``BadDescription``."""
    found = [_composition(document) for document in _documents() if _composed(document)]
    return MappingProxyType({composition.data_set: composition for composition in found})


def parts_of(data_set: str) -> Mapping[str, Description]:
    """The descriptions that answer for a data set: those of its parts by root field, or its own under an empty name. ``KeyError``."""
    composed = compositions().get(data_set)
    return composed.parts if composed else {"": descriptions()[data_set]}


def load(text: str) -> Description:
    """The description of one YAML text, its data set registered, its sources and family known. Raises ``BadDescription``."""
    return _description(_document(text))


def load_composition(text: str) -> Composition:
    """The composition of one YAML text, its data set registered, its parts described. Raises ``BadDescription``."""
    return _composition(_document(text))


def _description(document: Any) -> Description:
    schema = _schema(document)
    _agrees(document, schema)
    description = describe(document, schema)
    unknown = description.sources - SOURCES.keys()
    if unknown or description.family not in FAMILIES:
        raise BadDescription(f"{description.data_set}: {', '.join(sorted(unknown)) or 'family'}")
    if not scopes_of(schema) or description.parameters.keys() != parameters_of(schema):
        raise BadDescription(f"{description.data_set}: scopes or parameters are not those of its schema")
    return description


def _composition(document: Any) -> Composition:
    schema = _schema(document)
    _agrees(document, schema)
    return compose(document, schema, descriptions())


def _agrees(document: Any, schema: Mapping[str, Any]) -> None:
    """``preview`` is true or not there, and its schema says the same: nothing is handed over unseen for want of a word."""
    told = (document.get("preview", False), schema.get("preview", False))
    if told not in ((True, True), (False, False)) or not all(isinstance(each, bool) for each in told):
        raise BadDescription(f"{document.get('data_set')}: preview is not that of its schema")


@cache
def _documents() -> tuple[Any, ...]:
    entries = sorted(files("connectors.rest").joinpath("data_sets").iterdir(), key=lambda entry: entry.name)
    return tuple(_document(entry.read_text("utf-8")) for entry in entries if entry.name.endswith(".yaml"))


def _composed(document: Any) -> bool:
    return isinstance(document, dict) and "parts" in document


def _document(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise BadDescription("not a YAML document") from None


def _schema(document: Any) -> Mapping[str, Any]:
    name = document.get("data_set", "") if isinstance(document, dict) else ""
    try:
        return catalogue().codec_of_data_set(name).schema
    except LookupError:
        raise BadDescription(f"{name}: no schema of this name is registered") from None

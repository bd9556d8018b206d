"""The descriptions shipped: ``connectors/rest/data_sets/*.yaml``, one data set each, with its schema."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import yaml

from connectors.core.call import SOURCES
from connectors.core.description import BadDescription, Description, describe
from connectors.core.state_errors import FAMILIES
from exchange.core.shape import parameters_of, scopes_of
from exchange.schemas import catalogue


@cache
def descriptions() -> Mapping[str, Description]:
    """Every description, by data set, in the order of names; read once. Raises ``BadDescription``."""
    entries = sorted(files("connectors.rest").joinpath("data_sets").iterdir(), key=lambda entry: entry.name)
    found = [load(entry.read_text("utf-8")) for entry in entries if entry.name.endswith(".yaml")]
    return MappingProxyType({description.data_set: description for description in found})


def load(text: str) -> Description:
    """The description of one YAML text, its data set registered, its sources and family known. Raises ``BadDescription``."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        raise BadDescription("not a YAML document") from None
    name = document.get("data_set", "") if isinstance(document, dict) else ""
    try:
        schema = catalogue().codec_of_data_set(name).schema
    except LookupError:
        raise BadDescription(f"{name}: no schema of this name is registered") from None
    description = describe(document, schema)
    unknown = description.sources - SOURCES.keys()
    if unknown or description.family not in FAMILIES:
        raise BadDescription(f"{name}: {', '.join(sorted(unknown)) or 'family'}")
    if not scopes_of(schema) or description.parameters.keys() != parameters_of(schema):
        raise BadDescription(f"{name}: scopes or parameters are not those of its schema")
    return description

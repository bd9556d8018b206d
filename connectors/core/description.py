"""How a data set is had from a State API over REST, as a YAML file says it: read into frozen values.

A description has ``data_set``, ``provider``, ``family`` (whose error table holds: ``connectors.core.state_errors``) and:

* ``operations``: each ``{id, path, needs, query}``. ``path`` may hold ``{siren}`` placeholders, sources or parameters; ``query``
  gives each wire name its source; ``needs`` lists the sources and parameters without which the operation cannot be asked;
  ``takes``, where there, the only parameters it can be asked with; ``media_type``, what it answers in where not plain JSON.
  The first one that can be asked is. Sources are the names of ``connectors.core.call.SOURCES``.
* ``parameters``: what an ask may add, ``{name: {pattern, required}}``, sent under their own names. All else is refused.
* ``roots``: where a root field of the schema is in the answer, when not at ``data.<field>``. A path is keys and dots; ``[]``
  goes into each item of a list.
* ``patterns``: ``{path in the record: regular expression}`` of the texts the contract closes; ``present``: what every answer
  holds, whatever the token's scopes; ``not_empty``: lists that are not.
* ``about``: how the answer is known to be about the one asked: ``{person: {at, nom_naissance, ...}}``, ``{people: [those]}``
  for people that are fields of the record (no ``at``), ``{same: {source: [paths in the record]}}``, or ``nothing`` where the
  State's answer names nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PLACEHOLDER = re.compile(r"\{(\w+)\}")
_KEYS = {
    "data_set",
    "preview",
    "provider",
    "family",
    "operations",
    "parameters",
    "roots",
    "patterns",
    "present",
    "not_empty",
    "about",
}


class BadDescription(ValueError):
    """A description that says too little or too much; names the part."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the State's OpenAPI document. ``query`` pairs a wire name and a source; ``takes`` None is any parameter."""

    id: str
    path: str
    needs: tuple[str, ...]
    query: tuple[tuple[str, str], ...]
    takes: frozenset[str] | None = None
    media_type: str = ""

    @property
    def sources(self) -> frozenset[str]:
        """Every source this operation reads, its path's included."""
        return frozenset((*self.needs, *(source for _, source in self.query), *PLACEHOLDER.findall(self.path)))


@dataclass(frozen=True, slots=True)
class Parameter:
    """What an ask may add: the texts allowed, and whether it must be there."""

    pattern: re.Pattern[str]
    required: bool


@dataclass(frozen=True, slots=True)
class Person:
    """Where the people of an answer are in the record (``at``: one, or a list; empty: the record), and what their fields are called."""

    nom_naissance: str
    nom_usage: str
    prenoms: str
    date_naissance: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Same:
    """An answer is about the one asked when one of ``paths`` holds the value of ``source``."""

    source: str
    paths: tuple[str, ...]


About = Person | Same | tuple[Person, ...] | None


@dataclass(frozen=True, slots=True)
class Description:
    """One data set over REST. ``schema`` is the Avro record of its datum."""

    data_set: str
    provider: str
    family: str
    operations: tuple[Operation, ...]
    parameters: Mapping[str, Parameter]
    roots: Mapping[str, str]
    patterns: tuple[tuple[str, re.Pattern[str]], ...]
    present: tuple[str, ...]
    not_empty: tuple[str, ...]
    about: About
    schema: Mapping[str, Any]

    @property
    def sources(self) -> frozenset[str]:
        """Every source the description names, ``recipient`` and parameters apart."""
        about = {self.about.source} if isinstance(self.about, Same) else set()
        named = frozenset(about).union(*(operation.sources for operation in self.operations))
        return named - {"recipient"} - self.parameters.keys()

    @property
    def media_types(self) -> frozenset[str]:
        """What its operations answer in, plain JSON apart."""
        return frozenset(operation.media_type for operation in self.operations if operation.media_type)


def describe(document: Any, schema: Mapping[str, Any]) -> Description:
    """The description of one YAML document, for the data set's schema. Raises ``BadDescription``."""
    if not isinstance(document, dict) or not document.keys() <= _KEYS:
        raise BadDescription("not a description")
    named = {field["name"] for field in schema["fields"]}
    roots = {name: f"data.{name}" for name in named} | _mapping(document, "roots")
    if roots.keys() != named:
        raise BadDescription("roots")
    try:
        return Description(
            data_set=document["data_set"],
            provider=document["provider"],
            family=document["family"],
            operations=tuple(_operation(item) for item in document["operations"]),
            parameters={name: _parameter(item) for name, item in _mapping(document, "parameters").items()},
            roots=roots,
            patterns=tuple((path, re.compile(text)) for path, text in _mapping(document, "patterns").items()),
            present=tuple(document.get("present", ())),
            not_empty=tuple(document.get("not_empty", ())),
            about=_about(document["about"]),
            schema=schema,
        )
    except (LookupError, TypeError, ValueError, AttributeError, re.error) as error:
        raise BadDescription(f"{document.get('data_set')}: {type(error).__name__} {error}") from None


def _mapping(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise BadDescription(name)
    return value


def _operation(item: Mapping[str, Any]) -> Operation:
    takes = frozenset(item["takes"]) if "takes" in item else None
    query = tuple(item["query"].items())
    return Operation(item["id"], item["path"], tuple(item["needs"]), query, takes, item.get("media_type", ""))


def _parameter(item: Mapping[str, Any]) -> Parameter:
    return Parameter(re.compile(item["pattern"]), item.get("required", False))


def _about(item: Any) -> About:
    if item == "nothing":
        return None
    if "person" in item:
        return Person(at=item["person"]["at"], **{name: at for name, at in item["person"].items() if name != "at"})
    if "people" in item:
        first, *others = item["people"]
        return tuple(Person(**person) for person in (first, *others))
    [(source, paths)] = item["same"].items()
    return Same(source, tuple(paths))

"""A data set composed of others: what its description says, and what the readings of its parts make together.

Its YAML file names ``data_set``, ``provider`` and ``parts``: for each root field of the schema, the data set that fills it. All
parts are asked about the same identity, with the same parameters, and each keeps its own description, error table and guard
against a wrong look-up. Only the parts that the effective scopes open are asked.

**What an attempt counts.** A T-attempt comes before each *round*: the calls, side by side, of all the parts that have not answered
yet, once each has its turn in its own lane. A request has at most three rounds, so each operation of the State is asked at most
three times for it, as for any data set. One attempt a call would end the request within its first round (the ledger allows three),
and write five facts of one release. What the attempt is for is kept: no round starts after a withdrawal, the digest and
the schema are registered before any call, and the leaf names the composed data set, whose parts are those its schema documents.

**What a part may say.** Found, not found and the State's refusal are answers, kept as they came, and not asked again within the
patience of a chunk; past that they are dropped (nothing of an answer is at rest outside a seal) and the parts are asked anew. A part
without an answer holds the whole back: it is retried, then the request fails with that part's code. Never a silent hole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from connectors.contract import Failure, Found, NotFound, Reading, Retry, StateRefusal
from connectors.core.description import BadDescription, Description
from exchange.core.shape import parameters_of, scopes_of

_KEYS, _MAY = {"data_set", "provider", "parts"}, {"preview"}


@dataclass(frozen=True, slots=True)
class Composition:
    """The description of a composed data set. ``parts``: by root field of ``schema``, the description that fills it."""

    data_set: str
    provider: str
    parts: Mapping[str, Description]
    schema: Mapping[str, Any]

    def opened(self, scopes: Iterable[str]) -> tuple[str, ...]:
        """The root fields that these scopes open, in the schema's order."""
        opening = frozenset(scopes)
        return tuple(field["name"] for field in self.schema["fields"] if field["scope"] in opening)


def compose(document: Any, schema: Mapping[str, Any], known: Mapping[str, Description]) -> Composition:
    """The composition of one YAML document, for the data set's schema and the ``known`` descriptions. Raises ``BadDescription``."""
    if not isinstance(document, dict) or document.keys() - _MAY != _KEYS or not isinstance(document["parts"], dict):
        raise BadDescription("not a composition")
    name, parts, scopes = document["data_set"], document["parts"], {f["name"]: f["scope"] for f in schema["fields"]}
    if parts.keys() != scopes.keys() or not all(isinstance(part, str) and part in known for part in parts.values()):
        raise BadDescription(f"{name}: parts")
    for root, part in parts.items():
        # One scope a part: else a scope not granted would leave with the one that opens the root field.
        if scopes_of(known[part].schema) != {scopes[root]} or known[part].parameters.keys() != parameters_of(schema):
            raise BadDescription(f"{name}: scope or parameters of {part}")
    return Composition(name, document["provider"], {root: known[part] for root, part in parts.items()}, schema)


def gathered(readings: Mapping[str, Reading]) -> Reading:
    """The one reading of a round, from those of the parts asked by root field: found once all have answered, else what stops it."""
    failed = [reading for reading in readings.values() if isinstance(reading, Failure)]
    if failed:
        return min(failed, key=lambda failure: failure.cause != "wrong_person")
    waiting = [reading for reading in readings.values() if isinstance(reading, Retry)]
    if waiting:
        return max(waiting, key=lambda retry: retry.after_s)
    return Found({root: _told(reading) for root, reading in readings.items()})


def _told(reading: Reading) -> dict[str, Any]:
    """An answered part, in the words of ``state-answer``."""
    if isinstance(reading, Found):
        return {"status": "found", "code": "", "title": "", "data": reading.data}
    assert isinstance(reading, NotFound | StateRefusal)  # all else was stopped before
    status = "not_found" if isinstance(reading, NotFound) else "refused"
    return {"status": status, "code": reading.code, "title": reading.title, "data": None}

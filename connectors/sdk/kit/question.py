"""A rule to put to any data set: whether one of its fields is what the State was just seen to say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from exchange import rules


def question(data_set: str, data: Mapping[str, Any]) -> str | None:
    """The first rule `<field> = <value found>`, or `<list> = <length found>`, that suits the data set, as JSON text; None where no field holds one value."""
    for path, value in _leaves(data, ""):
        said = repr(value) if isinstance(value, float) else value
        ask = {"field": path, "is": "=", "value": said}
        doc = {"fr": "Conformité ?", "en": "Conformance?"}
        text = json.dumps({"name": "conformance", "data_set": data_set, "doc": doc, "ask": ask})
        try:
            rules.read(text)
        except rules.BadRule:
            continue
        return text
    return None


def _leaves(data: Mapping[str, Any], above: str) -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        elif isinstance(value, list):
            yield f"{above}{name}", len(value)
        elif isinstance(value, bool | int | float | str):
            yield f"{above}{name}", value

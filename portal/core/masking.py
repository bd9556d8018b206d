"""What of a message may be read by whoever looks after the bus: codes and ids in clear, sealed bytes as a size and a hash, the rest masked.

Pure, and closed: a field that is not known here to hold a code or an id is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

IDS = frozenset({"request_id", "authorisation_id", "digest", "certificate_hash", "recipient_key", "schema_hash", "rule_hash", "fingerprint"})  # fmt: skip
CODES = frozenset({
    "code", "data_set", "delivery", "kind", "name", "origin", "provider_code", "purpose", "reason", "recipient", "scopes", "state",
    "step", "topic",
})  # fmt: skip
"""Texts of closed lists. `name` is a parameter's; its value may be anybody's words."""
NUMBERS = frozenset({
    "at_ms", "batch_place", "calls", "deadline_ms", "decided_at_ms", "due_ms", "leaf_index", "number", "offset", "partition", "sent",
    "sequence", "size_bytes", "ttl_ms", "version", "watch_every_ms", "watch_until_ms",
})  # fmt: skip
TEXT_MAX = 200


class Field(NamedTuple):
    """One field as it is shown. `kind`: `code`, `id`, `number`, `sealed` (size and hash), `masked` (its length) or `absent`."""

    name: str
    kind: str
    shown: str

    def as_json(self) -> dict[str, str]:
        return self._asdict()


def fields_of(record: Mapping[str, Any], within: str = "") -> list[Field]:
    """A decoded record's fields in their order, those of records inside it under `outer.inner`."""
    found = list[Field]()
    for name, value in record.items():
        path = f"{within}{name}"
        if isinstance(value, Mapping):
            found += fields_of(value, f"{path}.")
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for place, item in enumerate(value):
                found += fields_of(item, f"{path}[{place}].")
        else:
            found.append(_field(path, name, value))
    return found


def _field(path: str, name: str, value: Any) -> Field:
    if value is None or value in (b"", "", []):
        return Field(path, "absent", "")
    if isinstance(value, bytes):
        return _bytes(path, name, value)
    if name in NUMBERS and isinstance(value, int):
        return Field(path, "number", str(value))
    texts = value if isinstance(value, list) else [value]
    if name in CODES and all(isinstance(text, str) and len(text) <= TEXT_MAX for text in texts):
        return Field(path, "code", ", ".join(texts))
    return Field(path, "masked", str(len(value) if isinstance(value, str | list) else 1))


def _bytes(path: str, name: str, value: bytes) -> Field:
    if name in IDS:
        return Field(path, "id", value.hex())
    if name in NUMBERS and len(value) <= 8:
        return Field(path, "number", str(int.from_bytes(value, "big")))
    if name == "operator" and value.isdigit():
        return Field(path, "code", value.decode("ascii"))
    return Field(path, "sealed", f"{len(value)}:{sha256(value).hexdigest()[:16]}")

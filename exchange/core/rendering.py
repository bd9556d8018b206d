"""Values as a person or a program reads them: times in RFC 3339, ids in hexadecimal."""

from __future__ import annotations

from datetime import UTC, datetime

from consent.core.facts import Entry


def rfc3339(ms: int) -> str:
    """Milliseconds since 1970 as UTC text."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def entry_line(entry: Entry) -> dict[str, object]:
    """A leaf of the ledger, as the data protection officer reads it."""
    return {
        "index": entry.index,
        "at": rfc3339(entry.at_ms),
        "kind": entry.kind,
        "request": entry.request.hex(),
        "code": entry.code,
    }

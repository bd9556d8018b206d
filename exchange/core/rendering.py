"""Values as a person or a program reads them: times in RFC 3339 or in words, ids in hexadecimal."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta

from consent.core.facts import Entry

_MONTHS = {
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"),
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"),
}  # fmt: skip


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


def paris(at_ms: int) -> datetime:
    """An instant on the clocks of mainland France: UTC+2 from the last Sunday of March to that of October, at 01:00 UTC, else UTC+1
    (directive 2000/84/EC); no time zone database, so the same page everywhere."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    summer = _change(at.year, 3) <= at < _change(at.year, 10)
    return at + timedelta(hours=2 if summer else 1)


def _change(year: int, month: int) -> datetime:
    last = max(week[calendar.SUNDAY] for week in calendar.monthcalendar(year, month))
    return datetime(year, month, last, 1, tzinfo=UTC)


def day(at_ms: int, language: str = "fr") -> str:
    """`3 février 2026`, in Paris; its spaces do not break."""
    at = paris(at_ms)
    first = "1er" if language == "fr" and at.day == 1 else str(at.day)
    return f"{first}\u00a0{_MONTHS[language][at.month - 1]}\u00a0{at.year}"


def time(at_ms: int, language: str = "fr") -> str:
    """`14 h 05`, in Paris."""
    at = paris(at_ms)
    return f"{at.hour}\u00a0h\u00a0{at.minute:02}" if language == "fr" else f"{at:%H:%M}"


def clock(at_ms: int) -> str:
    """`14:05:09.123`, in Paris: for whoever compares instants."""
    return f"{paris(at_ms):%H:%M:%S}.{at_ms % 1000:03}"


def moment(at_ms: int, language: str = "fr") -> str:
    """`3 février 2026 à 14 h 05`."""
    return f"{day(at_ms, language)} {'à' if language == 'fr' else 'at'} {time(at_ms, language)}"

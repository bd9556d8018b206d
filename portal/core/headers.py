"""Header fields of the HTTP API, read as their RFC says; what is ill-formed counts as absent where the RFC says so."""

from __future__ import annotations

import re
from collections.abc import Sequence

WAIT_MAX_S = 30
_WAIT = re.compile(r"(?:^|,|;)\s*wait\s*=\s*\"?(\d{1,6})\"?\s*(?=$|,|;)", re.IGNORECASE | re.ASCII)
_LIST_MAX_CHARS = 1000


def wait_s(prefer: str) -> int:
    """How long the caller would rather wait for the outcome (`Prefer: wait=10`, RFC 7240 §4.3), at most half a minute; 0 for not at all."""
    found = _WAIT.search(prefer[:_LIST_MAX_CHARS])
    return min(int(found[1]), WAIT_MAX_S) if found else 0


def bearer(authorization: str) -> str:
    """The token of `Authorization: Bearer …` (RFC 6750 §2.1); empty where there is none."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def accepted(accept: str, offered: Sequence[str]) -> str:
    """The media type to answer with (RFC 9110 §12.5.1): of those offered the one liked best, the first of equals; empty where none will do.
    No `Accept` at all takes the first."""
    if not accept.strip():
        return offered[0]
    ranges = [_range(part) for part in accept[:_LIST_MAX_CHARS].split(",")]
    liked = [(_weight(one, ranges), -place, one) for place, one in enumerate(offered)]
    weight, _, best = max(liked)
    return best if weight > 0 else ""


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            try:
                return name, max(0.0, min(1.0, float(value)))
            except ValueError:
                return name, 0.0
    return name, 1.0


def _weight(offered: str, ranges: Sequence[tuple[str, float]]) -> float:
    """That of the most precise range which covers it."""
    family = offered.partition("/")[0]
    for name in (offered, f"{family}/*", "*/*"):
        for found, weight in ranges:
            if found == name:
                return weight
    return 0.0

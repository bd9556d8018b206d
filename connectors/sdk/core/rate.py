"""How often the State may be called: a token bucket of one token, whose time is an argument.

The State counts by whole seconds (`commons/data/throttle.yml`), so calls are spaced evenly: a full bucket let go at once, and what
refills it in the same second, would be twice the limit.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_PER_MS = {"s": 1_000, "min": 60_000, "h": 3_600_000}
_TEXT = re.compile(r"(\d{1,6})/(s|min|h)", re.ASCII)


class BadRate(ValueError):
    """Not a rate such as ``20/s``, ``250/min`` or ``5/h``."""


def interval_ms(rate: str) -> float:
    """The time from one call to the next at this rate (``20/s`` = 50 ms); 0 for the empty text: no limit. Raises BadRate."""
    if not rate:
        return 0.0
    found = _TEXT.fullmatch(rate)
    if found is None or not int(found[1]):
        raise BadRate("a rate is written 20/s, 250/min or 5/h")
    return _PER_MS[found[2]] / int(found[1])


class Bucket(NamedTuple):
    """When the next call may be made, in ms; what was asked to wait until then has its turns before."""

    next_ms: float = 0.0

    def turn_ms(self, now_ms: float) -> float:
        """When a call asked for now may be made."""
        return max(now_ms, self.next_ms)

    def taken(self, now_ms: float, interval_ms: float) -> Bucket:
        """The bucket once that turn is taken."""
        return Bucket(self.turn_ms(now_ms) + interval_ms)

    def closed(self, until_ms: float) -> Bucket:
        """Nobody calls before `until_ms`: the State said so (429)."""
        return Bucket(max(self.next_ms, until_ms))

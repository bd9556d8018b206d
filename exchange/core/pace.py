"""How long a reader rests before it asks for more, where processes compete for processors: what comes meanwhile goes on together, through
every hop that follows, and a hop costs as much for one record as for several (ADR 0049). Network cards moderate their interrupts so.

Alone, or where a processor is free, nobody rests.
"""

from __future__ import annotations

from typing import NamedTuple

REST_MOST_S = 0.05
REST_S = 0.075
"""For a reader that did nothing but wait for a processor, were it not for the most."""
FREE = 0.1
"""The share of its time that a process waits for a processor where nobody competes for it."""
COMPANY, CROWD = 2, 64
"""Records that a rest has to bring to be worth it; and that make any further company worth nothing."""
RATE_OVER_S, WAITING_OVER_NS = 0.5, 50_000_000
"""How far back is looked: by the clock, and in what the process ran and waited."""


class Pace(NamedTuple):
    """What a reader has seen of late: records a second, and the share of its time in which its process waited for a processor (0 to 1)."""

    per_s: float = 0.0
    waiting: float = 0.0

    def seen(self, records: int, elapsed_s: float, ran_ns: int, waited_ns: int) -> Pace:
        """After so many records, and what the process did meanwhile."""
        per_s, waiting, busy_ns = self.per_s, self.waiting, ran_ns + waited_ns
        if elapsed_s > 0:
            per_s += (records / elapsed_s - per_s) * min(elapsed_s / RATE_OVER_S, 1)
        if busy_ns > 0:
            waiting += (waited_ns / busy_ns - waiting) * min(busy_ns / WAITING_OVER_NS, 1)
        return Pace(per_s, waiting)

    def rest_s(self, records: int) -> float:
        """From one taking, of so many records, to when more are asked for."""
        rest_s = min(REST_S * max(self.waiting - FREE, 0), REST_MOST_S)
        return rest_s if records < CROWD and rest_s * self.per_s >= COMPANY else 0.0

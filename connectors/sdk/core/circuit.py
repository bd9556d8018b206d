"""A circuit breaker, pure: a State API that does not answer is left alone for a while, then tried with one call.

closed → open after `FAILURES_MAX` calls in a row without answer; open → half-open at its time, for one call; half-open → closed if
that one is answered, else open for twice as long, up to `OPEN_MOST_MS`. A call tried that never reports back is tried again after as long.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from connectors.contract import Failure, Reading, Retry

FAILURES_MAX = 10
OPEN_FIRST_MS = 5_000
OPEN_MOST_MS = 300_000

OUTAGES = frozenset(("network", "timeout", "token", "forbidden", "redirect", "provider"))
"""Causes that tell of the way to the State, not of one file."""
OUTAGE_KINDS = frozenset(("000", "001", "002", "004", "006", "008", "009", "011", "020"))
"""The last three digits of the State's code (errors.yml): internal, unavailable, slow, DNS, credentials, TLS, maintenance."""
MAINTENANCE = "020"
TOO_MANY, NETWORK = "00429", "00501"


class Circuit(NamedTuple):
    """`until_ms` is when an open circuit may be tried, and by when a call tried must have reported; `open_ms` how long it opens next."""

    state: Literal["closed", "open", "half_open"] = "closed"
    failures: int = 0
    until_ms: int = 0
    open_ms: int = OPEN_FIRST_MS

    def turn_ms(self, now_ms: int) -> int:
        """When a call may be made: now, or once the circuit may be tried."""
        return now_ms if self.state == "closed" else max(now_ms, self.until_ms)

    def entered(self, now_ms: int) -> Circuit:
        """The circuit once a call is let through, which `turn_ms` must have allowed now."""
        return self if self.state == "closed" else self._replace(state="half_open", until_ms=now_ms + self.open_ms)

    def after(self, answered: bool, now_ms: int) -> Circuit:
        """The circuit once a call has ended."""
        if answered:
            return Circuit()
        failures = self.failures + 1
        if self.state == "closed" and failures < FAILURES_MAX:
            return self._replace(failures=failures)
        if self.state == "open":  # a call let through before it opened
            return self
        return Circuit("open", failures, now_ms + self.open_ms, min(2 * self.open_ms, OPEN_MOST_MS))


def answered(reading: Reading) -> bool:
    """Whether the State was there to answer, whatever it said of the file."""
    if isinstance(reading, Retry):
        return reading.cause == "state" and reading.code[-3:] not in OUTAGE_KINDS and reading.code != NETWORK
    return not (isinstance(reading, Failure) and reading.cause in OUTAGES)


def throttled_s(reading: Reading) -> float:
    """For how long the State wants no call at all (429 and its `Retry-After`); 0 if it says so of this file only, or not."""
    return max(reading.after_s, 1.0) if isinstance(reading, Retry) and reading.code == TOO_MANY else 0.0

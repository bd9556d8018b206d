"""How often somebody may call: a token bucket, whose time is an argument."""

from __future__ import annotations

import math
from typing import NamedTuple


class Rate(NamedTuple):
    """`burst` calls at once, `per_s` a second in the long run."""

    burst: int
    per_s: float


class Bucket(NamedTuple):
    """What is left, as of a time on a monotonic clock; a new one is full."""

    left: float
    at_ms: int


class Allowance(NamedTuple):
    """What an answer says of it (`RateLimit-Limit`, `-Remaining`, `-Reset`): `reset_s` is when all is there again, `retry_s` when one more is,
    0 where this call was allowed."""

    limit: int
    remaining: int
    reset_s: int
    retry_s: int

    @property
    def allowed(self) -> bool:
        return not self.retry_s


def take(bucket: Bucket | None, rate: Rate, now_ms: int) -> tuple[Bucket, Allowance]:
    """One call is asked for: the bucket after it, and what its caller is told."""
    held = Bucket(float(rate.burst), now_ms) if bucket is None else bucket
    left = min(rate.burst, held.left + rate.per_s * max(0, now_ms - held.at_ms) / 1000)
    allowed = left >= 1
    after = Bucket(left - 1 if allowed else left, now_ms)
    reset_s = math.ceil((rate.burst - after.left) / rate.per_s)
    return after, Allowance(rate.burst, int(after.left), reset_s, 0 if allowed else math.ceil((1 - left) / rate.per_s))

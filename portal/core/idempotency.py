"""The same call made twice is one call (IETF httpapi, `Idempotency-Key`, draft 07): what a key that was met says of the call at hand."""

from __future__ import annotations

from typing import Literal, NamedTuple

from exchange.core.errors import Code

KEPT_MS = 24 * 3_600_000
WORK_MS = 60_000
"""A call that has not ended by then was cut short: its maker may make it again, which is safe, for what it does is safe to repeat."""


class Met(NamedTuple):
    """A key of a client: the digest of path and body it came with, when, and whether its answer is there."""

    digest: bytes
    at_ms: int
    answered: bool


def judge(met: Met | None, digest: bytes, now_ms: int) -> Literal["work", "repeat"] | Code:
    """Whether to do the work, to repeat the answer, or why neither."""
    if met is None or now_ms - met.at_ms >= KEPT_MS:
        return "work"
    if met.digest != digest:
        return Code.KEY_REUSED
    if met.answered:
        return "repeat"
    return Code.IN_FLIGHT if now_ms - met.at_ms < WORK_MS else "work"

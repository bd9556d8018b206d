"""Calls at a fixed rate, whatever becomes of them: each latency counts from when the call should have begun, so that a contender that
stalls pays for all who would have come meanwhile (no coordinated omission)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter

from bench.load import WrongCount
from bench.report import Figures, latencies
from bench.watch import Ended, family_cpu_s

Call = Callable[[], Awaitable[None]]
"""One exchange, whole and checked. Raises `Unanswered`, or `WrongCount` for another's answer."""
HALVINGS = 4
"""After them a found maximum is known to 2^(1/16), 4 %."""
SETTLE_S = 60.0


class Unanswered(Exception):
    """A call that nobody answered in time, or that was turned away: too much was asked."""


@dataclass(frozen=True)
class Loop:
    """What was seen of one loop: a latency a call, all calls answered."""

    latencies_ms: tuple[float, ...]
    wall_s: float
    cpu_s: float

    def figures(self) -> Figures:
        count = len(self.latencies_ms)
        return {
            **latencies(self.latencies_ms), "per_s": count / self.wall_s, "per_cpu_s": count / self.cpu_s if self.cpu_s else None
        }  # fmt: skip


async def open_loop(call: Call, per_s: float, count: int) -> Loop:
    """`count` calls, `per_s` a second. Raises what the first failed call raised."""
    before_s, start_s, seen_ms = family_cpu_s(), perf_counter(), list[float]()

    async def one(due_s: float) -> None:
        await call()
        seen_ms.append((perf_counter() - due_s) * 1000)

    try:
        async with asyncio.TaskGroup() as calls:
            for number in range(count):
                due_s = start_s + number / per_s
                await asyncio.sleep(max(due_s - perf_counter(), 0))
                calls.create_task(one(due_s))
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
    return Loop(tuple(seen_ms), perf_counter() - start_s, family_cpu_s() - before_s)


async def measured(call: Call, per_s: float, seconds: float) -> Figures:
    """A loop after a short one that does not count. Raises `WrongCount` where a call stayed without an answer."""
    try:
        await open_loop(call, per_s, max(int(per_s), 1))
        return (await open_loop(call, per_s, max(int(per_s * seconds), 1))).figures()
    except Unanswered as error:
        raise WrongCount(f"unanswered at {per_s:,.0f}/s: {error}") from None


async def most_per_s(call: Call, seconds: float, p99_ms: float, first_per_s: float, last_per_s: float) -> float:
    """The highest rate found, up to `last_per_s`, at which all are answered with a 99th centile of `p99_ms` at most; 0 if there is none
    down to an eighth of `first_per_s`. Doubles, then halves the doubt."""
    held_per_s, failed_per_s = 0.0, 0.0
    per_s = first_per_s
    while not (held_per_s and failed_per_s) and first_per_s / 8 <= per_s <= last_per_s:
        if await _holds(call, per_s, seconds, p99_ms):
            held_per_s, per_s = per_s, per_s * 2
        else:
            failed_per_s, per_s = per_s, per_s / 2
    for _ in range(HALVINGS if held_per_s and failed_per_s else 0):
        per_s = (held_per_s * failed_per_s) ** 0.5
        if await _holds(call, per_s, seconds, p99_ms):
            held_per_s = per_s
        else:
            failed_per_s = per_s
    return held_per_s


async def _holds(call: Call, per_s: float, seconds: float, p99_ms: float) -> bool:
    try:
        loop = await open_loop(call, per_s, max(int(per_s * seconds), 1))
    except Unanswered:
        await _settled(call, p99_ms)
        return False
    return (latencies(loop.latencies_ms)["p99_ms"] or 0.0) <= p99_ms


async def _settled(call: Call, p99_ms: float) -> None:
    """Until nothing of a loop that failed is left in the contender's queues: a call is quick again. Raises `Ended`."""
    until_s = perf_counter() + SETTLE_S
    while (start_s := perf_counter()) < until_s:
        try:
            await call()
        except Unanswered:
            continue
        if (perf_counter() - start_s) * 1000 <= p99_ms:
            return
    raise Ended("a contender that no longer answers")

"""A release worker of the bus in memory that stops wherever the model's worker may: a turnstile in front of its ledger, and a
monotonic clock of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from exchange.agents.release import Release
from exchange.ports import Clock
from exchange.testing import MemoryBus, MemoryRecord
from exchange.tracing import Tracing
from tests.model.state import IDLE, Hand


class OwnClock:
    """`exchange.ports.Clock` of one process: ahead of the bus's by `ahead_ms`; its monotonic time only moves when told."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self.ahead_ms, self.elapsed_ms = clock, 0, 0

    def now_ms(self) -> int:
        return self._clock.now_ms() + self.ahead_ms

    def monotonic_ms(self) -> int:
        return self.elapsed_ms

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)


class Turnstile:
    """`exchange.ports.Ledger` as one release worker sees it; it stops the worker before it asks, when the transaction is
    committed and its results not yet known to the worker, and before it confirms."""

    def __init__(self, ledger: Any) -> None:
        self._ledger, self.point = ledger, ""
        self.results: Sequence[Any] = ()
        self._open = asyncio.Event()

    async def release(self, items: Sequence[Any], confirmed: Sequence[Any], worker: str = "") -> Sequence[Any]:
        await self._stop("ask" if items else "confirm")
        self.results = await self._ledger.release(items, confirmed, worker)
        if items:
            await self._stop("told")
        return self.results

    async def _stop(self, point: str) -> None:
        self.point = point
        self._open.clear()
        await self._open.wait()

    def let_go(self) -> None:
        self.point = ""
        self._open.set()


class Worker:
    """A release worker with one record in hand. `hand` is the model's word for it."""

    def __init__(self, bus: MemoryBus, record: MemoryRecord) -> None:
        self.turnstile, self.clock = Turnstile(bus.ledger), OwnClock(bus.clock)
        self.hand: Hand | tuple[()] = IDLE
        agent = Release(self.turnstile, bus.broker, self.clock, Tracing(), confirm_s=0)  # type: ignore[arg-type]  # release is all it calls
        self._task = asyncio.create_task(agent.handle([record]))

    async def run_to(self, point: str) -> None:
        """On to a point where it stops; `end` is where its record is done."""
        self.turnstile.let_go()
        while not self._task.done() and not self.turnstile.point:
            await asyncio.sleep(0)
        reached = "end" if self._task.done() else self.turnstile.point
        assert reached == point, f"worker at {reached}, not at {point}"
        if self._task.done():
            self._task.result()

    async def die(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

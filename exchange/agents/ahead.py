"""What stands, read before anybody asks for it: it fills the gate's memory, so that the first request under an agreement costs no more than
the next. The ledger gives it half of its time at most; events that come meanwhile count (`Memory.asking`)."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog

from consent.core.facts import REGISTER
from consent.core.glance import ROSTER_MAX
from exchange.core.memory import Memory
from exchange.ports import Clock, Ledger, Unavailable

AGAIN_S = 600.0
"""From one reading to the next, where memory has begun anew."""
LOOK_S = 0.5
KEPT_FREE = 10
"""One place in so many is left to what is learnt as it comes."""
_ID_BYTES = 16


class Ahead:
    """Reads once, and again whenever memory has begun anew, as silence makes it. `first` is set after the first."""

    def __init__(self, ledger: Ledger, memory: Memory, clock: Clock) -> None:
        self._ledger, self._memory, self._clock = ledger, memory, clock
        self._least = memory.room // KEPT_FREE
        self.first = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        while True:
            begun = await self._trusted()
            with suppress(Unavailable):
                if await self._read(begun):
                    self.first.set()
                    await self._clock.sleep(AGAIN_S)
                    while self._memory.begun == begun:
                        await self._clock.sleep(LOOK_S)
                    continue
            await self._clock.sleep(LOOK_S)

    async def _trusted(self) -> int:
        """Once memory hears events: how often it has begun."""
        while not self._memory.trusted(self._clock.now_ms()):
            await self._clock.sleep(LOOK_S)
        return self._memory.begun

    async def _read(self, begun: int) -> bool:
        """All of it, or as much as there is room for; False if memory began anew meanwhile."""
        after, count = b"", 0
        while self._memory.room > self._least:
            with self._memory.asking() as named:
                now_ms, asked_ms = self._clock.now_ms(), self._clock.monotonic_ms()
                page = await self._ledger.roster(after, ROSTER_MAX)
                answered_ms = self._clock.monotonic_ms()
                if self._memory.begun != begun:
                    return False
                if REGISTER in named:
                    continue  # who may ask has changed: this page may say who could before
                ids = [page.ids[at : at + _ID_BYTES] for at in range(0, len(page.ids), _ID_BYTES)]
                self._memory.learn(ids, page.glance, now_ms, named)
            count, after = count + len(ids), page.after
            if not after:
                break
            rested_ms = self._clock.monotonic_ms() - answered_ms
            await self._clock.sleep(max(0, answered_ms - asked_ms - rested_ms) / 1000)
        structlog.get_logger("accord.gate").info("agreements_read_ahead", count=count)
        return self._memory.begun == begun

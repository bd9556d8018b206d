"""How far topics and those who read them have come, sampled every few seconds and kept for ten minutes, in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

from exchange.adapters.progress import Progress
from exchange.ports import Clock, Unavailable
from portal.core.plots import points, rates

EVERY_S, KEPT = 5.0, 120


class Source(Protocol):
    """Where progress is read; raises `Unavailable`."""

    async def progress(self) -> Progress: ...


class Meter:
    """Samples of one bus."""

    def __init__(self, source: Source, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._samples: deque[tuple[int, Progress]] = deque(maxlen=KEPT)

    async def run(self) -> None:
        """For ever."""
        while True:
            with suppress(Unavailable):
                await self.sample()
            await asyncio.sleep(EVERY_S)

    async def sample(self) -> None:
        """One more."""
        self._samples.append((self._clock.now_ms(), await self._source.progress()))

    def topics(self) -> list[dict[str, Any]]:
        """By topic that holds anything: records, records a second now, and the curve."""
        times = [at_ms for at_ms, _ in self._samples]
        found = []
        for topic in sorted(self._samples[-1][1].written) if self._samples else []:
            counts = [progress.written.get(topic, 0) for _, progress in self._samples]
            speed = rates(times, counts)
            if counts[-1]:
                row = {"topic": topic, "records": counts[-1], "per_s": round(speed[-1], 1) if speed else 0.0}
                found.append(row | {"most_per_s": round(max(speed, default=0.0), 1), "points": points(speed)})
        return found

    def groups(self) -> list[dict[str, Any]]:
        """By group and topic that holds anything: records yet to be read now, the most there were, and the curve."""
        found = []
        for group, topic in sorted(self._samples[-1][1].behind) if self._samples else []:
            behind = [progress.behind.get((group, topic), 0) for _, progress in self._samples]
            if self._samples[-1][1].written.get(topic):
                row = {"group": group, "topic": topic, "behind": behind[-1], "most": max(behind)}
                found.append(row | {"points": points([float(each) for each in behind])})
        return found

"""When a reader asks for more (`exchange.core.pace`): by the clock, and by what the system says of this process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import monotonic

from exchange.core.pace import Pace

_STAT = Path("/proc/self/schedstat")


class Pacing:
    """Of one reader, which tells what it takes. Where the system does not tell who waits for a processor (Linux does), nobody rests."""

    def __init__(self) -> None:
        self._pace, self._records, self._taken_s = Pace(), 0, monotonic()
        self._ran_ns, self._waited_ns = processor_ns()

    def took(self, records: int) -> None:
        """So many, just now."""
        now_s, (ran_ns, waited_ns) = monotonic(), processor_ns()
        self._pace = self._pace.seen(records, now_s - self._taken_s, ran_ns - self._ran_ns, waited_ns - self._waited_ns)
        self._records, self._taken_s, self._ran_ns, self._waited_ns = records, now_s, ran_ns, waited_ns

    async def rest(self) -> None:
        """Until it is time to ask."""
        left_s = self._taken_s + self._pace.rest_s(self._records) - monotonic()
        if left_s > 0:
            await asyncio.sleep(left_s)


def processor_ns() -> tuple[int, int]:
    """How long this process's first thread has run, and waited for a processor although it could run (Linux, "Scheduler Statistics")."""
    try:
        ran, waited, _ = _STAT.read_bytes().split()
    except OSError:
        return 0, 0
    return int(ran), int(waited)

"""A contender measured from outside, the same way for all: by what the broker and the system say of its process."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient

from exchange.adapters.kafka import KafkaView
from exchange.clock import SystemClock

TIME_LIMIT_S = 600.0
POLL_S, OUTPUT_POLL_S = 0.01, 0.1

Ends = Mapping[tuple[str, int], int]


class Ended(Exception):
    """The contender ended, or did not get through in time."""


class Figures(NamedTuple):
    """Requests a second of wall time, and a CPU-second of the contender's process (None where the system does not tell)."""

    per_s: float
    per_cpu_s: float | None


class Started(NamedTuple):
    """When the broker gave a contender its partitions, and the CPU time it had used by then."""

    at_ms: int
    cpu_s: float | None


def cpu_s(pid: int) -> float | None:
    """CPU time of a live process, all threads, in s; Linux says."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Sees groups and topics of one broker."""

    def __init__(self, view: KafkaView, admin: AIOKafkaAdminClient) -> None:
        self._view, self._admin, self._clock = view, admin, SystemClock()

    async def ends(self, *topics: str) -> dict[tuple[str, int], int]:
        """How far these topics go."""
        counts = await self._view.topics()
        return await self._view.end_offsets([(topic, p) for topic in topics for p in range(counts[topic])])

    async def started(self, child: subprocess.Popen[bytes], group: str) -> Started:
        """Once the group has its partitions: just before its first fetch."""
        async with asyncio.timeout(TIME_LIMIT_S):
            while await self._state(group) != "Stable":
                _require_alive(child)
                await asyncio.sleep(POLL_S)
        return Started(self._clock.now_ms(), cpu_s(child.pid))

    async def done(self, child: subprocess.Popen[bytes], before: Ends, count: int) -> float | None:
        """Once `count` more records are there; the CPU time used by then."""
        async with asyncio.timeout(TIME_LIMIT_S):
            while sum((await self._view.end_offsets(before)).values()) - sum(before.values()) < count:
                _require_alive(child)
                await asyncio.sleep(OUTPUT_POLL_S)
        return cpu_s(child.pid)

    async def _state(self, group: str) -> str:
        (answer,) = await self._admin.describe_consumer_groups([group])
        return str(answer.groups[0][2])


def _require_alive(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        raise Ended(f"exit code {child.returncode}")


def figures(count: int, started: Started, last_ms: int, cpu_end_s: float | None) -> Figures:
    """From the first fetch to the last output."""
    used_s = None if cpu_end_s is None or started.cpu_s is None else cpu_end_s - started.cpu_s
    return Figures(count * 1000 / (last_ms - started.at_ms), count / used_s if used_s else None)


@asynccontextmanager
async def watching(bootstrap: str) -> AsyncIterator[Watch]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    async with KafkaView(bootstrap) as view:
        await admin.start()
        try:
            yield Watch(view, admin)
        finally:
            await admin.close()

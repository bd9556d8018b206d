"""A contender measured from outside, the same way for all: by what the broker and the system say of its process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bench.report import Figures
from exchange.adapters.kafka import KafkaReader, KafkaView
from exchange.clock import SystemClock
from exchange.embedded.process import Child

TIME_LIMIT_S = 600.0
GROUP_POLL_S, OUTPUT_POLL_S = 0.01, 0.1
TOPIC_LOOKS = 100

Ends = Mapping[tuple[str, int], int]


class Ended(Exception):
    """The contender ended, or did not get through in time."""


class Runner(NamedTuple):
    """A contender's process, which reads as `group`; when it was started, where that matters."""

    child: Child
    group: str
    log: Path
    spawned_ms: int | None = None

    async def pause(self, seconds: float) -> None:
        """Raises `Ended` if it has ended."""
        if self.child.poll() is not None:
            raise Ended(f"{self.log.stem}: exit code {self.child.returncode}: {last_line(self.log)}")
        await asyncio.sleep(seconds)


def last_line(log: Path) -> str:
    """The last word of a process."""
    said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return said[-1] if said else ""


def cpu_s(pid: int) -> float | None:
    """CPU time of a live process, all threads, in s; Linux says."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def family_cpu_s() -> float:
    """CPU time of this process and all that live under it, in s: whoever takes part, broker included. 0 where the system does not tell."""
    parents: Mapping[int, int] = {int(path.name): _parent(path) for path in Path("/proc").glob("[0-9]*")}
    family, found = {os.getpid()}, 0
    while len(family) > found:
        found = len(family)
        family |= {pid for pid, parent in parents.items() if parent in family}
    return sum(cpu_s(pid) or 0.0 for pid in family)


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def most_rss_bytes(pid: int) -> int | None:
    """The most memory a live process has held; Linux says."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), None)


class Watch:
    """Sees groups, topics and processes."""

    def __init__(self, bootstrap: str, view: KafkaView, admin: AIOKafkaAdminClient) -> None:
        self._bootstrap, self._view, self._admin = bootstrap, view, admin

    async def ends(self, *topics: str) -> Ends:
        """How far these topics go, by partition. One that was just made is not at once in what the broker tells."""
        counts = await self._view.topics()
        for _ in range(TOPIC_LOOKS):
            if counts.keys() >= set(topics):
                break
            await asyncio.sleep(OUTPUT_POLL_S)
            counts = await self._view.topics()
        return await self._view.end_offsets([(topic, p) for topic in topics for p in range(counts[topic])])

    async def measure(
        self, contender: Runner, before: Ends, count: int, begun: Callable[[], object] | None = None
    ) -> Figures:
        """From when the broker gives the contender its partitions (just before the first fetch) until it has appended `count` records
        after `before`: records a second of wall time and a CPU-second, most memory so far, how long it took to begin. `begun` is called
        then. Raises `Ended`."""
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                while await self._state(contender.group) != "Stable":
                    await contender.pause(GROUP_POLL_S)
                started_ms, started_cpu_s = SystemClock().now_ms(), cpu_s(contender.child.pid)
                if begun is not None:
                    begun()
                ends = await self._until(contender, before, count, OUTPUT_POLL_S)
                ended_cpu_s, rss_bytes = cpu_s(contender.child.pid), most_rss_bytes(contender.child.pid)
        except TimeoutError:
            raise Ended("too slow") from None
        wall_s = (await self._last_ms(ends) - started_ms) / 1000
        used_s = ended_cpu_s - started_cpu_s if ended_cpu_s and started_cpu_s else None
        found: Figures = {
            "per_s": count / wall_s,
            "per_cpu_s": count / used_s if used_s else None,
            "rss_bytes": rss_bytes,
        }
        if contender.spawned_ms is not None:
            found["start_s"] = (started_ms - contender.spawned_ms) / 1000
        return found

    async def appended(self, contender: Runner, before: Ends, count: int) -> None:
        """Until at least `count` records came after `before`, looking as often as a group's state. Raises `Ended`."""
        try:
            async with asyncio.timeout(TIME_LIMIT_S):
                await self._until(contender, before, count, GROUP_POLL_S)
        except TimeoutError:
            raise Ended("too slow") from None

    async def _until(self, contender: Runner, before: Ends, count: int, pause_s: float) -> Ends:
        while sum((ends := await self._view.end_offsets(before)).values()) < sum(before.values()) + count:
            await contender.pause(pause_s)
        return ends

    async def _state(self, group: str) -> str:
        try:
            (answer,) = await self._admin.describe_consumer_groups([group])
        except KafkaError:
            return ""  # a new broker has no coordinator yet
        return str(answer.groups[0][2])

    async def _last_ms(self, ends: Ends) -> int:
        """When the broker appended the last of the records before `ends`."""
        last_ms = 0
        for topic in {topic for topic, _ in ends}:
            offsets = {p: max(end - 1, 0) for (name, p), end in ends.items() if name == topic}
            async with KafkaReader(self._bootstrap, topic, offsets) as reader:
                last_ms = max([last_ms, *[chunk[-1].timestamp async for chunk in reader.to_end()]])
        return last_ms


@asynccontextmanager
async def watching(bootstrap: str) -> AsyncIterator[Watch]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    async with KafkaView(bootstrap) as view:
        await admin.start()
        try:
            yield Watch(bootstrap, view, admin)
        finally:
            await admin.close()

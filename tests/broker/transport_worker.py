"""What the transport's tests work with; run as a program, a worker process that forwards one topic to another.

    python transport_worker.py BOOTSTRAP NAME TOPIC OUT [POISON]

A record whose key is POISON makes the handler raise. SIGTERM stops it cleanly. Prints "ready" once it runs.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from exchange.adapters.kafka import KafkaOutbox, KafkaReader, create_topics
from exchange.agents.base import Prompt
from exchange.core.topics import TopicSpec
from exchange.faust_runner import FaustRunner
from exchange.ports import Agent, Message, Outbox, Record, Unavailable

DEADLINE_S = 40.0


class Forward(Prompt):
    """Forwards each chunk whole; remembers what it was given."""

    def __init__(
        self, name: str, topics: tuple[str, ...], outbox: Outbox | None, out: str = "", poison: bytes = b""
    ) -> None:
        self.name, self.topics = name, topics
        self._outbox, self._out, self._poison = outbox, out, poison
        self.seen: list[Record] = []
        self.lost: list[set[tuple[str, int]]] = []
        self.ticks = 0

    async def handle(self, chunk: Sequence[Record]) -> None:
        if self._poison and any(record.key == self._poison for record in chunk):
            raise ValueError("the value must not be logged")
        if self._outbox is not None:
            messages = [Message(record.key, record.value or b"", []) for record in chunk]
            await self._outbox.send({(self._out, chunk[0].partition): messages})
        self.seen.extend(chunk)

    def keys(self) -> list[str]:
        return [(record.key or b"").decode() for record in self.seen]

    async def tick(self) -> None:
        self.ticks += 1

    def held(self, topic: str, partition: int) -> int | None:
        return None

    def revoked(self, partitions: set[tuple[str, int]]) -> None:
        self.lost.append(partitions)


class Holder(Forward):
    """Keeps back one offset of partition 0."""

    hold: int | None = None

    def held(self, topic: str, partition: int) -> int | None:
        return self.hold if partition == 0 else None


class Paced(Forward):
    """Lets records wait for company."""

    paced = True


class Together(Forward):
    """Takes several partitions at once, after refusing the first `refusals` chunks."""

    together, refusals, most_partitions = True, 0, 0

    async def handle(self, chunk: Sequence[Record]) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("not yet")
        self.most_partitions = max(self.most_partitions, len({record.partition for record in chunk}))
        await super().handle(chunk)


class Beside(Forward):
    """Takes chunks of several partitions at once, after refusing the first `refusals`; notes what overlaps."""

    at_once, refusals, most_at_work = 3, 0, 0

    def __init__(self, name: str, topics: tuple[str, ...]) -> None:
        super().__init__(name, topics, None)
        self.at_work = list[int]()
        self.wrong = list[str]()

    async def handle(self, chunk: Sequence[Record]) -> None:
        partition = chunk[0].partition
        if partition in self.at_work:
            self.wrong.append("two chunks of a partition at once")
        self.at_work.append(partition)
        try:
            self.most_at_work = max(self.most_at_work, len(self.at_work))
            await asyncio.sleep(0.02)
            if self.refusals:
                self.refusals -= 1
                raise Unavailable("not yet")
            await super().handle(chunk)
        finally:
            self.at_work.remove(partition)

    async def tick(self) -> None:
        await super().tick()
        if self.at_work:
            self.wrong.append("a tick beside a chunk")


class Failing(Forward):
    """Fails as told by `errors`, one per call, before it takes a chunk."""

    errors: list[BaseException]

    async def handle(self, chunk: Sequence[Record]) -> None:
        if self.errors:
            raise self.errors.pop()
        await super().handle(chunk)


class Blocking(Forward):
    """Holds the whole loop for so long at its first chunk."""

    blocks_s = 0.0

    async def handle(self, chunk: Sequence[Record]) -> None:
        blocks_s, self.blocks_s = self.blocks_s, 0.0
        time.sleep(blocks_s)  # noqa: ASYNC251  # what no agent may do
        await super().handle(chunk)


def fresh(name: str) -> str:
    return f"{name}.{uuid.uuid4().hex[:9]}.v1"


async def until(condition: Callable[[], bool], what: str) -> None:
    """Poll; a test that waits says for what."""
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"never happened: {what}")


async def topics(kafka: str, *names: str, partitions: int = 4) -> None:
    await create_topics(kafka, [TopicSpec(name, partitions) for name in names])


async def fill(outbox: KafkaOutbox, topic: str, keys: Sequence[str], partitions: int = 4) -> None:
    """Key i goes to partition i mod `partitions`."""
    batches = {(topic, p): [Message(key.encode(), b"v", []) for key in keys[p::partitions]] for p in range(partitions)}
    await outbox.send({place: messages for place, messages in batches.items() if messages})


async def keys_of(kafka: str, topic: str) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    async with KafkaReader(kafka, topic) as reader:
        async for chunk in reader.to_end():
            found.setdefault(chunk[0].partition, []).extend((r.key or b"").decode() for r in chunk)
    return found


async def committed(kafka: str, name: str) -> dict[int, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(f"accord.{name}")
    finally:
        await admin.close()
    return {tp.partition: offset.offset for tp, offset in found.items()}


@asynccontextmanager
async def running(
    kafka: str, *agents: Agent, bugs: list[BaseException] | None = None, **options: float
) -> AsyncIterator[FaustRunner]:
    """A runner whose bugs fail the test, unless it asks for them."""
    found: list[BaseException] = []
    runner = FaustRunner(agents, kafka, on_bug=lambda _agent, _where, error: found.append(error), **options)  # type: ignore[arg-type]
    await runner.start()
    try:
        yield runner
    finally:
        await runner.stop()
        if bugs is None:
            assert found == []
        else:
            bugs.extend(found)


class Process:
    """One worker process; `wait_ready` returns once it reads."""

    def __init__(self, *argv: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.lines.extend(iter(self._process.stdout.readline, ""))

    async def wait_ready(self) -> None:
        await until(lambda: "ready\n" in self.lines or self._process.poll() is not None, "the worker is ready")

    async def exit_code(self) -> int:
        await until(lambda: self._process.poll() is not None, "the worker ends")
        self._reader.join(DEADLINE_S)
        return self._process.returncode

    def kill(self, signum: signal.Signals = signal.SIGKILL) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, signum)


@contextmanager
def process(*argv: str) -> Iterator[Process]:
    worker = Process(*argv)
    try:
        yield worker
    finally:
        worker.kill()
        worker._process.wait(DEADLINE_S)


def ends(*agents: Forward) -> dict[int, int]:
    """How many different offsets of each partition the agents have seen together."""
    seen = {(r.partition, r.offset) for agent in agents for r in agent.seen}
    return Counter(partition for partition, _ in seen)


async def limited(reader: KafkaReader, count: int) -> AsyncIterator[Sequence[Record]]:
    """Chunks until `count` records have come."""
    async for chunk in reader:
        yield chunk
        count -= len(chunk)
        if count <= 0:
            return


async def main(bootstrap: str, name: str, topic: str, out: str, poison: str = "") -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with KafkaOutbox(bootstrap) as outbox:
        runner = FaustRunner([Forward(name, (topic,), outbox, out, poison.encode())], bootstrap, chunk_records=200)
        await runner.start()
        print("ready", flush=True)
        await stop.wait()
        await runner.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

"""A worker process for the tests: forwards every record of a topic to the same partition of another.

    python transport_worker.py BOOTSTRAP NAME TOPIC OUT [POISON]

A record whose key is POISON makes the handler raise. SIGTERM stops it cleanly. Prints "ready" once it runs.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Sequence

from exchange.adapters.kafka import KafkaOutbox
from exchange.faust_runner import FaustRunner
from exchange.ports import Message, Outbox, Record


class Forward:
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

    async def tick(self) -> None:
        self.ticks += 1

    def held(self, topic: str, partition: int) -> int | None:
        return None

    def revoked(self, partitions: set[tuple[str, int]]) -> None:
        self.lost.append(partitions)


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

"""The gate beside the raw echo of the same records: one machine, one broker, one run."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from statistics import median
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.agreements import agree
from bench.load import Load, WrongCount
from bench.watch import Contender, Ended, Figures, Watch, last_line, watching
from consent.keys import open_keys
from exchange.adapters.kafka import KafkaOutbox, KafkaReader, create_topics
from exchange.agents.relay import Relay
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.core.decision import Ask
from exchange.core.topics import TopicSpec
from exchange.data_sets import PROVIDERS
from exchange.embedded import process
from exchange.embedded.choose import EMBEDDED, open_kafka
from exchange.embedded.jars import KAFKA_VERSION, Progress
from exchange.introduction import introduce, open_wallet, terms
from exchange.local import PARTITIONS, STOP_S, LocalBus
from exchange.places import Places, RoleFailed
from exchange.settings import Settings

ASKS = 10
ECHO, GATE_GROUP = "echo.v1", "accord.gate"
Say = Callable[[str, str], None]
"""What is being done, in French and in English."""


@dataclass(frozen=True)
class Size:
    """How much, and how many times each contender."""

    requests: int = 300_000
    agreements: int = 50_000
    repeat: int = 1


@dataclass(frozen=True)
class Result:
    """Medians; `per_cpu_s` is None where the system does not tell."""

    size: Size
    record_bytes: int
    echo: Figures
    gate: Figures

    def as_json(self) -> dict[str, Any]:
        machine = {"cores": os.cpu_count(), "python": platform.python_version(), "kafka": KAFKA_VERSION}
        return {
            "bench": "gate", "authorisations": self.size.agreements, "requests": self.size.requests, "repeat": self.size.repeat,
            "echo": self.echo.rounded(), "gate": self.gate.rounded(), "ratio": round(self.gate.per_s / self.echo.per_s, 3),
            "record_bytes": self.record_bytes, "machine": machine,
        }  # fmt: skip


async def run(size: Size, say: Say, progress: Progress | None = None) -> Result:
    """The whole bench in a folder of its own; nothing is left. Raises `WrongCount` or `Ended` rather than give a wrong figure."""
    with tempfile.TemporaryDirectory(prefix="accord-bench-") as folder:
        say("préparation du broker et du registre", "preparing broker and ledger")
        try:
            async with _arena(Path(folder), size, progress) as arena:
                return await _measure(arena, size, say)
        except RoleFailed as error:
            raise Ended(f"{error.name}: {last_line(error.log)}") from None


async def _measure(arena: _Arena, size: Size, say: Say) -> Result:
    say("chargement des demandes", "loading the requests")
    size_bytes = await arena.publish()
    echoes, gates = [], []
    for turn in range(size.repeat):
        say(f"écho, puis portier ({turn + 1}/{size.repeat})", f"echo, then gate ({turn + 1}/{size.repeat})")
        echoes.append(await arena.echo(turn))
        gates.append(await arena.gate())
    return Result(size, size_bytes // size.requests, _median(echoes), _median(gates))


def _median(found: list[Figures]) -> Figures:
    cpu = [f.per_cpu_s for f in found if f.per_cpu_s is not None]
    return Figures(median(f.per_s for f in found), median(cpu) if cpu else None)


@dataclass(frozen=True)
class _Arena:
    """A bus with its ledger and load, on which contenders take turns."""

    bus: LocalBus
    watch: Watch
    load: Load
    operator: str

    @property
    def source(self) -> str:
        return topics.requests(self.operator)

    async def publish(self) -> int:
        """The load, and one reading of it all: the first contender shall not pay for a cold broker."""
        async with KafkaOutbox(self.bus.bootstrap) as outbox:
            size_bytes = await self.load.publish(outbox, self.source)
        async with KafkaReader(self.bus.bootstrap, self.source) as reader:
            count = sum([len(chunk) async for chunk in reader.to_end()])
        if count != self.load.count:
            raise WrongCount(f"{count} requests loaded")
        return size_bytes

    async def echo(self, turn: int) -> Figures:
        """One measure of the echo."""
        before = await self.watch.ends(ECHO)
        group, log = f"echo.{turn}", self.bus.places.log("echo")
        argv = [sys.executable, "-m", "bench.echo", self.bus.bootstrap, self.source, ECHO, group]
        child = process.spawn(argv, cwd=Path.cwd(), output=log, death_signal=SIGKILL)
        try:
            return await self.watch.measure(Contender(child, group, log), before, self.load.count)
        finally:
            process.stop(child, patience_s=STOP_S)

    async def gate(self) -> Figures:
        """One measure of the gate, with a memory that knows nothing yet, and the check of every fate."""
        await _rewind(self.bus.bootstrap, self.source)
        before = await self.watch.ends(topics.VERDICTS, topics.DEAD_LETTERS, *map(topics.tasks, PROVIDERS))
        self.bus.spawn("gate", "worker", "--roles", "gate", "--kafka", self.bus.bootstrap)
        contender = Contender(self.bus.children["gate"], GATE_GROUP, self.bus.places.log("gate"))
        try:
            found = await self.watch.measure(contender, before, self.load.count)
        finally:
            self.bus.stop("gate")
        offsets = {
            topic: {partition: end for (name, partition), end in before.items() if name == topic}
            for topic in (topics.VERDICTS, topics.tasks(PROVIDERS[0]))
        }
        readers = [KafkaReader(self.bus.bootstrap, topic, at) for topic, at in offsets.items()]
        async with readers[1] as tasks, readers[0] as verdicts:
            await self.load.check(tasks.to_end(), verdicts.to_end())
        return found


@asynccontextmanager
async def _arena(folder: Path, size: Size, progress: Progress | None) -> AsyncIterator[_Arena]:
    settings, places, now_ms = Settings(data=folder, kafka=EMBEDDED), Places(folder), SystemClock().now_ms()
    recipient, operator = settings.recipient, settings.operator_of(settings.recipient)
    agreed = terms(recipient, now_ms)
    agreements = agree(
        places, open_keys(places.ledger_keys, settings.origin, settings.master()), agreed, size.agreements
    )
    asks = [
        Ask(recipient, agreed.data_set, agreed.purpose, agreed.scopes, (("mois", str(n)),)) for n in range(1, ASKS + 1)
    ]
    bus = LocalBus(settings, places)
    async with AsyncExitStack() as stack:
        bus.bootstrap = stack.enter_context(open_kafka(EMBEDDED, places.broker, progress, train=False))
        stack.push_async_callback(bus.close)
        bus.start_ledger()
        await bus.make_topics()
        await create_topics(
            bus.bootstrap, [TopicSpec(ECHO, PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})]
        )
        await bus.ready("ledger")
        await introduce(bus.ledger, places, open_wallet(places, settings))
        await _relayed(bus, size.agreements)
        watch = await stack.enter_async_context(watching(bus.bootstrap))
        yield _Arena(bus, watch, Load.draw(agreements, asks, size.requests, now_ms), operator)


async def _relayed(bus: LocalBus, agreements: int) -> None:
    """The ledger's events so far count as published long ago: a heartbeat after the last of them."""
    last = agreements
    while events := await bus.ledger.events(last, 10_000):
        last = events[-1].sequence
    async with KafkaOutbox(bus.bootstrap) as outbox:
        await Relay(bus.ledger, outbox, SystemClock(), last).tick()


async def _rewind(bootstrap: str, source: str) -> None:
    """The gate's group, which must be empty, starts again at the beginning."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=GATE_GROUP, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(source, partition) for partition in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.commit(dict.fromkeys(places, 0))
    finally:
        await consumer.stop()

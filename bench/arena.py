"""A broker and a ledger full of agreements, with a load: the place where contenders take turns."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.agreements import Agreement, stock
from bench.load import Load, WrongCount, draw
from bench.report import Figures, Say
from bench.watch import Ended, Ends, Runner, Watch, last_line, watching
from consent.core.facts import Terms
from consent.keys import KeyRing, open_keys
from consent.public_log import FOLDER
from consent.publish import head, published
from exchange.adapters.kafka import KafkaOutbox, KafkaReader, create_topics
from exchange.agents.relay import Relay
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.core.decision import Ask
from exchange.core.topics import TopicSpec
from exchange.data_sets import PROVIDERS
from exchange.embedded import process
from exchange.embedded.choose import EMBEDDED, beside, open_kafka
from exchange.embedded.jars import Progress
from exchange.introduction import introduce, open_wallet, terms
from exchange.local import PARTITIONS, STOP_S, LocalBus
from exchange.places import Places, RoleFailed
from exchange.settings import Settings

ASKS = 10
GATE_GROUP = "accord.gate"
PUBLISHED_POLL_S = 0.5
READ_EVERY_S = 20.0


@dataclass(frozen=True)
class Stock:
    """A data directory whose ledger is full of agreements and belongs to no process yet: those that a request is `drawn` about, by number,
    are as the ledger makes them, the others stand in for the same bytes (`bench.agreements.stock`)."""

    settings: Settings
    places: Places
    keys: KeyRing
    agreed: Terms
    agreements: Mapping[int, Agreement]
    drawn: Sequence[int]
    count: int
    now_ms: int


@dataclass(frozen=True)
class Arena:
    """A bus with its ledger and load. Every measure raises `Ended` or `WrongCount` rather than give a wrong figure."""

    bus: LocalBus
    watch: Watch
    load: Load
    agreed: Terms
    operator: str

    @property
    def source(self) -> str:
        return topics.requests(self.operator)

    async def publish(self) -> int:
        """The load, and one reading of it all: the first contender shall not pay for a cold broker. Its size in bytes."""
        async with KafkaOutbox(self.bus.bootstrap) as outbox:
            size_bytes = await self.load.publish(outbox, self.source)
        await self._read_through()
        return size_bytes

    async def _read_through(self) -> None:
        async with KafkaReader(self.bus.bootstrap, self.source) as reader:
            count = sum([len(chunk) async for chunk in reader.to_end()])
        if count != self.load.count:
            raise WrongCount(f"{count} requests loaded")

    @asynccontextmanager
    async def _at_hand(self) -> AsyncIterator[Callable[[], object]]:
        """The load stays in the system's memory, as what was just written does, until what this gives is called: what nobody has read for a
        minute may have to be fetched from the disk."""
        await self._read_through()
        reading = asyncio.create_task(self._read_on())
        try:
            yield reading.cancel
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading

    async def _read_on(self) -> None:
        while True:
            await asyncio.sleep(READ_EVERY_S)
            await self._read_through()

    async def topic(self, name: str) -> None:
        """A topic whose records bear the broker's clock."""
        await create_topics(
            self.bus.bootstrap, [TopicSpec(name, PARTITIONS, config={"message.timestamp.type": "LogAppendTime"})]
        )

    async def copies(self, module: str, name: str, load: Load, source: str, turn: int) -> Figures:
        """One measure of `python -m MODULE BOOTSTRAP SOURCE SINK GROUP`, which writes each request of `load` again as it is."""
        sink, group, log = f"{name}.v1", f"{name}.{turn}", self.bus.places.log(name)
        before = await self.watch.ends(sink)
        argv = [sys.executable, "-m", module, self.bus.bootstrap, source, sink, group]
        child = process.spawn(argv, cwd=Path.cwd(), output=log, death_signal=SIGKILL)
        try:
            found = await self.watch.measure(Runner(child, group, log), before, load.count)
        finally:
            process.stop(child, patience_s=STOP_S)
        async with self.reader(sink, before) as outputs:
            await load.check_copies(outputs.to_end())
        return found

    async def gate(self, *, read_first: bool = False) -> Figures:
        """One measure of the gate, with a memory that knows nothing yet, or all that stands, which is most of its `start_s`; and the check of
        every fate. What is read first may take minutes; the load is kept at hand meanwhile."""
        await _rewind(self.bus.bootstrap, self.source)
        before = await self.watch.ends(topics.VERDICTS, topics.DEAD_LETTERS, *map(topics.tasks, PROVIDERS))
        async with AsyncExitStack() as stack:
            options, spawned_ms = list[str](), None
            begun: Callable[[], object] | None = None
            if read_first:
                begun = await stack.enter_async_context(self._at_hand())
                options, spawned_ms = ["--read-first"], SystemClock().now_ms()
            self.bus.spawn("gate", "worker", "--roles", "gate", "--kafka", self.bus.bootstrap, *options)
            stack.callback(self.bus.stop, "gate")
            runner = Runner(self.bus.children["gate"], GATE_GROUP, self.bus.places.log("gate"), spawned_ms)
            found = await self.watch.measure(runner, before, self.load.count, begun)
        tasks, verdicts = self.reader(topics.tasks(PROVIDERS[0]), before), self.reader(topics.VERDICTS, before)
        async with tasks, verdicts:
            await self.load.check(tasks.to_end(), verdicts.to_end())
        return found

    def reader(self, topic: str, before: Ends) -> KafkaReader:
        """Of what was appended to `topic` after `before`."""
        offsets = {partition: end for (name, partition), end in before.items() if name == topic}
        return KafkaReader(self.bus.bootstrap, topic, offsets)

    def less(self, count: int) -> Load:
        """The first `count` requests of the load."""
        count = min(count, self.load.count)
        return replace(self.load, count=count, drawn=self.load.drawn[:count])


@asynccontextmanager
async def arena(requests: int, authorisations: int, say: Say, progress: Progress | None) -> AsyncIterator[Arena]:
    """A stock with a bus over it; nothing is left."""
    with stocked(requests, authorisations, say) as stock:
        async with running(stock, progress) as opened:
            yield opened


@contextmanager
def stocked(requests: int, authorisations: int, say: Say) -> Iterator[Stock]:
    """So many agreements, and which of them so many requests are about, in a folder of its own; nothing is left."""
    with tempfile.TemporaryDirectory(prefix="accord-bench-") as folder:
        say(f"registre de {authorisations:,} accords", f"ledger of {authorisations:,} agreements")
        settings, now_ms = Settings(data=Path(folder), kafka=EMBEDDED), SystemClock().now_ms()
        places = Places(Path(folder))
        agreed, drawn = terms(settings.recipient, now_ms, max_uses=1 << 40), draw(requests, authorisations)
        keys = open_keys(places.ledger_keys, settings.origin, settings.master())
        agreements = stock(places, keys, agreed, authorisations, set(drawn))
        yield Stock(settings, places, keys, agreed, agreements, drawn, authorisations, now_ms)


@asynccontextmanager
async def running(stock: Stock, progress: Progress | None) -> AsyncIterator[Arena]:
    """A bus over a stock. Raises `Ended`."""
    try:
        async with AsyncExitStack() as stack:
            yield await _running(stack, stock, progress)
    except RoleFailed as error:
        raise Ended(f"{error.name}: {last_line(error.log)}") from None


async def _running(stack: AsyncExitStack, stock: Stock, progress: Progress | None) -> Arena:
    settings, places, agreed = stock.settings, stock.places, stock.agreed
    bus = LocalBus(settings, places, partitions=PARTITIONS)
    bus.bootstrap = await stack.enter_async_context(beside(open_kafka(EMBEDDED, places.broker, progress, train=False)))
    stack.push_async_callback(bus.close)
    bus.start_ledger()
    await bus.make_topics()
    await bus.ready("ledger")
    await introduce(bus.ledger, places, open_wallet(places, settings))
    await _relayed(bus, stock.count)
    await _published(bus, stock.count)
    watch = await stack.enter_async_context(watching(bus.bootstrap))
    asks = [
        Ask(agreed.recipient, agreed.data_set, agreed.purpose, agreed.scopes, (("mois", str(n)),))
        for n in range(1, ASKS + 1)
    ]
    load = Load.of(stock.agreements, asks, stock.drawn, stock.now_ms)
    return Arena(bus, watch, load, agreed, settings.operator_of(settings.recipient))


async def _relayed(bus: LocalBus, agreements: int) -> None:
    """The ledger's events so far count as published long ago: a heartbeat after the last of them."""
    last = agreements
    while events := await bus.ledger.events(last, 10_000):
        last = events[-1].sequence
    async with KafkaOutbox(bus.bootstrap) as outbox:
        await Relay(bus.ledger, outbox, SystemClock(), last).tick()


async def _published(bus: LocalBus, agreements: int) -> None:
    """The ledger's first business is not its last: the log's files have the leaf of each agreement, which a real one wrote as they came."""
    ledger = Runner(bus.children["ledger"], "", bus.places.log("ledger"))
    while (text := published(bus.places.root / FOLDER)) is None or head(text).size < agreements:
        await ledger.pause(PUBLISHED_POLL_S)


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

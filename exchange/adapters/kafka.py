"""Kafka without Faust: the agents' outbox, a groupless reader, topics. Errors carry a type's name, never a value."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from exchange.adapters import frames
from exchange.adapters.producing import BATCH_BYTES, BODY_BYTES, Producer, Sending
from exchange.core.batches import Bodies, Sections, bodies
from exchange.core.topics import TopicSpec
from exchange.ports import Batches, Message, Record, Unavailable
from exchange.together import each

frames.use()
ADMIN_TIMEOUT_S, REFRESH_S, UNTAKEN_S = 10.0, 2.0, 10.0


class TooLarge(Exception):
    """A message over `BODY_BYTES`. Nothing of its `send` was written."""


def security(context: ssl.SSLContext | None) -> dict[str, Any]:
    """The settings of aiokafka for mutual TLS, or for a broker on the loopback."""
    return {"security_protocol": "SSL", "ssl_context": context} if context else {}


def take_all_first(consumer: Any) -> None:
    """Have a consumer that was started ask for more only once all it got was taken, `UNTAKEN_S` long.

    aiokafka waits for a tenth of a second, then asks without the partitions whose records lie there: what comes to these meanwhile waits until
    that request ends, half a second later, although they were taken at once."""
    consumer._fetcher._prefetch_backoff = UNTAKEN_S


@asynccontextmanager
async def _asking(timeout_s: float = ADMIN_TIMEOUT_S) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(type(error).__name__) from None


async def create_topics(
    bootstrap: str, specs: Iterable[TopicSpec], *, ssl_context: ssl.SSLContext | None = None
) -> list[str]:
    """Make the topics that do not exist yet; returns their names. Raises `Unavailable`."""
    admin = AIOKafkaAdminClient(
        bootstrap_servers=bootstrap, request_timeout_ms=int(ADMIN_TIMEOUT_S * 1000), **security(ssl_context)
    )
    async with _asking():
        try:
            await admin.start()
            asked = [NewTopic(s.name, s.partitions, s.replication, topic_configs=dict(s.config)) for s in specs]
            answer = await admin.create_topics(asked)
        finally:
            await admin.close()
        errors = {topic: for_code(code) for topic, code, *_ in answer.topic_errors}
        for error in errors.values():
            if not issubclass(error, TopicAlreadyExistsError) and error.errno:
                raise error()
    return [topic for topic, error in errors.items() if not error.errno]


class KafkaView:
    """What the broker says: topics and how far they go. Belongs to no group, reads no record. Every call raises `Unavailable`."""

    def __init__(self, bootstrap: str, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            isolation_level="read_committed",
            request_timeout_ms=int(ADMIN_TIMEOUT_S * 1000),
            **security(ssl_context),
        )

    async def __aenter__(self) -> Self:
        async with _asking():
            await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(KafkaError):
            await self._consumer.stop()

    async def topics(self) -> dict[str, int]:
        """Number of partitions of each topic that we may see."""
        async with _asking():
            cluster = await self._consumer._client.fetch_all_metadata()
            return {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in cluster.topics()}

    async def end_offsets(self, places: Iterable[tuple[str, int]]) -> dict[tuple[str, int], int]:
        """The end of each partition for one who reads committed records only."""
        async with _asking():
            asked = [TopicPartition(*place) for place in places]
            ends = await self._consumer.end_offsets(asked)
            return {(tp.topic, tp.partition): end for tp, end in ends.items()}


class KafkaReader:
    """Reads one topic whole, in no group and committing nothing: caches, SDK, tests. `offsets` = first to read, by partition."""

    def __init__(
        self,
        bootstrap: str,
        topic: str,
        offsets: Mapping[int, int] | None = None,
        *,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._topic, self._offsets = topic, dict(offsets or {})
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=500,
            **security(ssl_context),
        )

    async def __aenter__(self) -> Self:
        async with _asking():
            await self._consumer.start()
            take_all_first(self._consumer)
            count = len((await self._consumer._client.fetch_all_metadata()).partitions_for_topic(self._topic) or ())
        self._places = [TopicPartition(self._topic, partition) for partition in range(count)]
        self._consumer.assign(self._places)
        for place in self._places:
            if (offset := self._offsets.get(place.partition)) is not None:
                self._consumer.seek(place, offset)
        return self

    async def __aexit__(self, *_: object) -> None:
        with suppress(KafkaError):
            await self._consumer.stop()

    async def next(self, timeout_ms: int = 500) -> list[Sequence[Record]]:
        """The chunks that are there, one per partition, or none after `timeout_ms`."""
        async with _asking():
            found = await self._consumer.getmany(timeout_ms=timeout_ms)
        return [chunk for chunk in found.values() if chunk]

    async def __aiter__(self) -> AsyncIterator[Sequence[Record]]:
        while True:
            for chunk in await self.next():
                yield chunk

    async def to_end(self) -> AsyncIterator[Sequence[Record]]:
        """The chunks up to where the topic ended when this was called."""
        ends = await self.end_offsets()
        while await self._behind(ends):
            for chunk in await self.next():
                yield chunk

    async def end_offsets(self) -> dict[int, int]:
        """By partition."""
        async with _asking():
            ends = await self._consumer.end_offsets(self._places)
            return {place.partition: end for place, end in ends.items()}

    async def _behind(self, ends: Mapping[int, int]) -> bool:
        async with _asking():
            return any([await self._consumer.position(place) < ends[place.partition] for place in self._places])


class KafkaOutbox:
    """The `Outbox` of agents and SDK: acks=all, idempotent, each partition's messages in order, a batch at a time. Many may send at once:
    those of one partition take turns here, for aiokafka lets those who wait starve and time out; who waits goes along with the next.

    aiokafka never lets go of an idempotent batch: it retries for ever, whatever `request_timeout_ms` says, and would deliver
    long after its caller gave up. So a `send` that runs out of time abandons its whole producer, sockets included. Only bytes
    already in the network may still arrive; hence `Unavailable` means "not known", never "not written".
    """

    def __init__(
        self, bootstrap: str, *, request_timeout_ms: int = 20_000, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._bootstrap, self._timeout_ms, self._security = bootstrap, request_timeout_ms, security(ssl_context)
        self._view = KafkaView(bootstrap, ssl_context=ssl_context)
        self._producer: Producer | None = None
        self._starting = asyncio.Lock()
        self._partitions: dict[str, int] = {}
        self._wanted = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._view.__aenter__()
        self._partitions = await self._view.topics()
        async with _asking():
            await self._fresh_producer()
        self._background(self._refresh())

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._producer is not None:
            with suppress(Unavailable):
                async with _asking(self._timeout_ms / 1000):
                    await self._producer.producer.stop()
        await self._view.__aexit__()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has, as of at most about 2 s ago; 0 if it does not exist."""
        if topic not in self._partitions:
            self._wanted.set()
        return self._partitions.get(topic, 0)

    async def refresh(self) -> None:
        """Ask which topics exist, now. Raises `Unavailable`."""
        self._partitions = await self._view.topics()

    async def send(self, batches: Batches, timeout_ms: int | None = None) -> None:
        """Durable on return. Raises `Unavailable` within the time, `TooLarge` before anything is written."""
        laid = {place: _laid(messages) for place, messages in batches.items() if messages}
        sendings = {place: Sending(messages) for place, messages in laid.items()}
        async with _asking((timeout_ms or self._timeout_ms) / 1000):
            producer = await self._started()
            try:
                await each([producer.send(place, one) for place, one in sendings.items()])
                await each([ack for one in sendings.values() for ack in one.acks])
            except BaseException as error:
                if self._producer is producer and any(one.taken for one in sendings.values()):
                    self._abandon()
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task is not None and not task.cancelling():
                    raise Unavailable("abandoned") from None  # by another sender, whose time was over
                raise

    async def _started(self) -> Producer:
        """The producer, made anew once if the last one was abandoned."""
        async with self._starting:
            return self._producer or await self._fresh_producer()

    async def _fresh_producer(self) -> Producer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            max_request_size=2 * BATCH_BYTES,
            request_timeout_ms=self._timeout_ms,
            **self._security,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = Producer(producer)
        return self._producer

    def _abandon(self) -> None:
        if self._producer is None:
            return
        producer, self._producer = self._producer.producer, None
        producer._sender.sender_task.cancel()  # no public way drops what is queued: stop() would flush it
        for connection in list(producer.client._conns.values()):
            if connection._writer is not None:
                connection._writer.transport.abort()  # close() would still write what is buffered
        queued = producer._message_accumulator
        for batch in [*queued._pending_batches, *(batch for batches in queued._batches.values() for batch in batches)]:
            batch.future.cancel()
        self._background(_buried(producer))

    def _background(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _refresh(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_S):
                    await self._wanted.wait()
            self._wanted.clear()
            with suppress(Unavailable):
                self._partitions = await self._view.topics()
            await asyncio.sleep(REFRESH_S / 10)


def _laid(messages: Sequence[Message]) -> Bodies:
    """Messages laid out. Raises `TooLarge`; batches that are laid out whole are of a size that a broker takes."""
    if isinstance(messages, Sections):
        return messages
    laid = bodies(messages)
    if max(map(len, laid)) > BODY_BYTES:
        raise TooLarge
    return Bodies(laid)


async def _buried(producer: Any) -> None:
    with suppress(Unavailable):
        async with _asking():
            await producer.stop()

"""Faust over Kafka, a chunk at a time: one Faust event is all records just fetched from one partition.

Faust's own per-record path costs 150 to 450 µs and its acknowledgements lose records in known ways (an offset committed past
a running record, past a gap, past a handler that raised). So this transport takes over what must be right, and leaves Faust
the rest (group membership, rebalances, streams, supervision):

- `CommitLog` alone says what may be committed. Topics are declared with `acks=False`, so Faust acknowledges nothing.
- A chunk gets its ticket where it is fetched. Whatever Faust then drops on its way (a rebalance, a cancelled task) stays
  unsettled: it holds the commit back, it cannot be lost.
- A ticket belongs to one assignment of the group. A chunk that outlives its assignment settles nothing.
- Faust talks to Kafka from a thread of its own, so that heartbeats go on whatever an agent does. Ours holds the loop for a part of a
  second at most, and a chunk alone took four wakes of one thread by the other: all is on the app's loop (ADR 0038).
- Transactions that were aborted are not delivered (`read_committed`); their markers are gaps, which a chunk simply spans.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, cast

import aiokafka
import faust
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode.utils.futures import maybe_async
from mode.utils.times import Seconds

from exchange.adapters import fetching
from exchange.adapters.pacing import Pacing
from exchange.core.batches import Fetched
from exchange.core.commit_log import CommitLog, Place

COMMIT_TIMEOUT_S = 5.0
IDLE_S = 0.1
POLL_S = 1.0
ROOM_S = 0.5


class Chunk(NamedTuple):
    """Records just fetched from one partition; never none."""

    ticket: int
    place: Place
    records: Fetched


class Progress(NamedTuple):
    """How far one assigned partition is, in offsets of the next record; None = nothing yet."""

    fetched: int | None
    committed: int | None
    committable: int | None


class ChunkSchema(faust.Schema[Any, Any]):
    """Hands the chunks through untouched: decoding is the agent's."""

    def compile(self, app: Any, **_: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, None, message)

        return decode


@dataclass(frozen=True)
class Tuning:
    """Every limit of a worker, in one place. A handler's own deadline must stay under `max_poll_s`."""

    session_s: float = 6.0
    heartbeat_s: float = 1.0
    rebalance_s: float = 30.0
    max_poll_s: float = 60.0
    request_s: float = 20.0
    commit_s: float = 0.5
    fetch_wait_s: float = 0.5
    metadata_s: float = 2.0
    chunk_records: int = 10_000
    fetch_bytes: int = 1 << 20
    patience_s: float = 0.0
    """How long records wait for company before they are fetched, unless `fetch_bytes` are there."""
    chunks_ahead: int = 2
    """Chunks that wait or are at work, from which on no more are fetched: more would only be memory, and duplicates after a crash."""
    together: bool = False
    """Whether what was fetched at once, of several partitions, is handled at once."""
    paced: bool = False
    """Whether records wait for company where processes compete for processors (`exchange.core.pace`)."""


class Hosted(Protocol):
    """What this transport asks of the Faust app it serves, beyond Faust's own: limits, the lowest offset that may not be
    committed, and to be told of the partitions that are no longer ours."""

    tuning: Tuning
    held: Callable[[str, int], int | None]
    lost: Callable[[set[Place]], None]


def _hosted(app: Any) -> Hosted:
    return cast(Hosted, app)


class _Client(driver.AIOKafkaConsumerThread):
    """What talks to Kafka: fetches, tickets, seeks, commits. On the loop of the app, though Faust's is a thread."""

    assignment_of_log: object = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.chunks = CommitLog()
        self.pacing = Pacing() if _hosted(self.app).tuning.paced else None

    async def start(self) -> None:
        await self._default_start()

    async def on_stop(self) -> None:
        await self._shutdown_thread()

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await maybe_async(fun(*args, **kwargs))

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        app, tuning = self.app, _hosted(self.app).tuning
        return fetching.Consumer(
            pacing=self.pacing,
            bootstrap_servers=driver.server_list(transport.url, transport.default_port),
            group_id=app.conf.id,
            client_id=app.conf.id,
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=tuning.fetch_bytes,
            fetch_max_wait_ms=int((tuning.patience_s or tuning.fetch_wait_s) * 1000),
            fetch_min_bytes=tuning.fetch_bytes if tuning.patience_s else 1,
            max_poll_interval_ms=int(tuning.max_poll_s * 1000),
            request_timeout_ms=int(tuning.request_s * 1000),
            session_timeout_ms=int(tuning.session_s * 1000),
            heartbeat_interval_ms=int(tuning.heartbeat_s * 1000),
            rebalance_timeout_ms=int(tuning.rebalance_s * 1000),
            metadata_max_age_ms=int(tuning.metadata_s * 1000),
            **driver.credentials_to_aiokafka_auth(app.conf.broker_credentials, app.conf.ssl_context),
        )

    def _assignment(self) -> Any:
        subscription = self._ensure_consumer()._subscription.subscription
        return subscription and subscription.assignment

    def touch(self) -> None:
        """Tell aiokafka that we are alive though we do not fetch: else it leaves the group, and never comes back."""
        with self._ensure_consumer()._subscription.fetch_context():
            pass

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        if not self.consumer.flow_active:
            return {}
        if consumer._closed or consumer._fetcher._closed:
            raise ConsumerStoppedError()
        with consumer._subscription.fetch_context():
            if not active_partitions:  # to the fetcher an empty set means every partition
                await asyncio.sleep(IDLE_S)
                return {}
            fetched = await consumer._fetcher.fetched_records(active_partitions, timeout=timeout)
            return self._ticketed(fetched)  # no await in between: these records are of the current assignment

    def _ticketed(self, fetched: Mapping[Any, Sequence[Fetched]]) -> dict[TP, list[Chunk]]:
        if self._assignment() is not self.assignment_of_log:
            self.chunks.clear()
            self.assignment_of_log = self._assignment()
        if self.pacing is not None and fetched:
            self.pacing.took(sum(len(whole) for (whole,) in fetched.values()))
        most = _hosted(self.app).tuning.chunk_records
        return {
            TP(*place): [self._chunk(tuple(place), whole[at : at + most]) for at in range(0, len(whole), most)]
            for place, (whole,) in fetched.items()
        }

    def _chunk(self, place: Place, records: Fetched) -> Chunk:
        return Chunk(self.chunks.hand(place, records.first_offset, records.last_offset + 1), place, records)

    def rewind(self, chunk: Chunk) -> None:
        """Read this chunk again later. Nothing to do once its assignment is over: the next one starts at the commit."""
        if self._assignment() is self.assignment_of_log and self.chunks.live(chunk.ticket):
            self.chunks.rewind(chunk.place, chunk.records.first_offset)
            self._ensure_consumer().seek(aiokafka.TopicPartition(*chunk.place), chunk.records.first_offset)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        """False when it cannot be known to be done: the next round commits again, so no error here ends the worker."""
        if self._assignment() is not self.assignment_of_log:
            return False
        wanted = {aiokafka.TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await self._ensure_consumer().commit(wanted)
        except (KafkaError, IllegalStateError, TimeoutError) as error:
            self.log.warning("commit not done: %s", type(error).__name__)
            return False
        return True

    def fetched(self) -> dict[Place, int | None]:
        """Next offset to hand out, by assigned partition."""
        if (assignment := self._assignment()) is None:
            return {}
        return {(tp.topic, tp.partition): assignment.state_value(tp)._position for tp in assignment.tps}


class _NoReadOffsets(dict[TP, int | None]):
    """Faust drops a record it believes it has read, and after a rebalance it believes wrongly. `CommitLog` knows."""

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass


class Consumer(driver.Consumer):
    """Faust's consumer with its acknowledgements replaced by `CommitLog`."""

    _thread: _Client

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._room = asyncio.Event()
        self._read_offset = _NoReadOffsets()

    def _new_consumer_thread(self) -> _Client:
        return _Client(self, loop=self.loop, thread_loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        """Faust's own begins four tasks for each event, to wait for what cannot be: `getmany` yields where the flow is active only, and the
        queue of a stream has room for more chunks than there ever are."""
        try:
            while not (self.should_stop or fetcher.should_stop):
                async for _, message in self.getmany(POLL_S):
                    await self.callback(message)
                await asyncio.sleep(0)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Any]]:
        """One message per chunk, or one for all of them (`Tuning.together`); its value is a tuple of `Chunk`s. Faust
        calls this in a loop."""
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        if self.should_stop or not await self._has_room():
            return
        fetched = await self._thread.getmany(set(self._get_active_partitions()), timeout)
        generation = self.app.consumer_generation_id
        each = [chunk for chunks in fetched.values() for chunk in chunks]
        together = _hosted(self.app).tuning.together and len(each) > 1
        for chunks in [tuple(each)] if together else [(chunk,) for chunk in each]:
            if self.flow_active and not self.app.rebalancing and generation == self.app.consumer_generation_id:
                yield TP(*chunks[-1].place), self._event(chunks, generation)
            else:
                for chunk in chunks:
                    self._thread.rewind(chunk)

    async def _has_room(self) -> bool:
        self._room.clear()
        if self._thread.chunks.in_flight < _hosted(self.app).tuning.chunks_ahead:
            return True
        self._thread.touch()
        await self.wait(cast(Any, self._room), timeout=cast(Seconds, ROOM_S))
        return False

    def _event(self, chunks: tuple[Chunk, ...], generation: int) -> ConsumerMessage:
        tp, last, value = TP(*chunks[-1].place), chunks[-1].records, cast(Any, chunks)
        at = (tp.topic, tp.partition, last.last_offset, last.last_ms / 1000)
        return ConsumerMessage(*at, 0, None, None, value, None, tp=tp, generation_id=generation)

    def settle(self, chunk: Chunk) -> None:
        """The chunk is handled and its outputs are durable."""
        self._thread.chunks.settle(chunk.ticket)
        self._room.set()

    def live(self, chunk: Chunk) -> bool:
        """Whether the chunk is still ours to handle."""
        return self.flow_active and self._thread.chunks.live(chunk.ticket)

    @property
    def oldest(self) -> int:
        """The ticket of the chunk longest unsettled, 0 if none."""
        return self._thread.chunks.oldest

    def committable(self) -> dict[TP, int]:
        """What may be committed now, by partition."""
        held = _hosted(self.app).held
        log = self._thread.chunks
        found = {TP(*place): log.position(place, held(*place)) for place in log.places()}
        return {tp: offset for tp, offset in found.items() if offset is not None}

    async def force_commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit what is settled and not held; what did not get through is tried again next time."""
        done = self._committed_offset
        offsets = {tp: offset for tp, offset in self.committable().items() if offset > (done[tp] or 0)}
        if not offsets or not await self._thread.commit(offsets):
            return False
        done.update(offsets)
        return True

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what is done while the partitions are ours, then forget the rest."""
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()
        await self.commit()
        self._thread.chunks.clear()
        self._committed_offset.clear()
        self._room.set()
        _hosted(self.app).lost({(tp.topic, tp.partition) for tp in revoked})
        await super().on_partitions_revoked(revoked)

    async def perform_seek(self) -> None:
        """Nothing: aiokafka starts every assignment at its committed offsets."""

    async def verify_all_partitions_active(self) -> None:
        """Nothing: the runner's watchdog compares with the broker's own offsets. Faust's own sleeps once for each partition."""

    def progress(self) -> dict[Place, Progress]:
        """How far each assigned partition is."""
        committable = self.committable()
        return {
            place: Progress(fetched, self._committed_offset[TP(*place)], committable.get(TP(*place)))
            for place, fetched in self._thread.fetched().items()
        }


class Transport(driver.Transport):
    """The `accordkafka://` scheme (entry-point group `faust.transports`)."""

    Consumer = Consumer

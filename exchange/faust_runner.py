"""Hosts agents on Faust: one Faust app, and one consumer group `accord.<name>`, per agent, all in one process and one event loop.

A bug (whatever `handle`, `tick`, `held` or `revoked` raises but `Unavailable`), a crash inside Faust, or a stall ends the
process with `EXIT_BUG`; a supervisor starts it again, and what was not committed comes again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
import traceback
from collections.abc import (
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Sequence,
)
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, cast

import faust
import structlog
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager

from exchange.adapters.kafka import KafkaView
from exchange.core.commit_log import Place
from exchange.core.topics import matches
from exchange.ports import Agent, Unavailable
from exchange.stall import Stalled, StallWatch, lagging
from exchange.transport import Chunk, ChunkSchema, Consumer, Tuning
from exchange.turns import Turns

EXIT_BUG = 70
"""EX_SOFTWARE of sysexits.h: a supervisor restarts us."""
GRACE_S = 20.0
TICK_S = 0.5
RETRY_FIRST_S, RETRY_MOST_S = 0.1, 2.0

OnBug = Callable[[str, str, BaseException], None]
"""(agent, where, error) -> None"""


class Crashed(Exception):
    """Faust gave up."""


def end_process(agent: str, where: str, error: BaseException) -> None:
    """Log the error's type and place in the code, never its text, and end at once: nothing more is committed."""
    frames = traceback.extract_tb(error.__traceback__)
    at = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    structlog.get_logger("accord.runner").error(
        "agent_bug", agent=agent, where=where, error=type(error).__name__, at=at
    )
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_BUG)


def matching(patterns: Iterable[str], names: Iterable[str]) -> set[str]:
    """The topics an agent reads: plain names as they are, and those of `names` that fit a pattern with one `*`."""
    patterns = list(patterns)
    found = {name for name in names if any(matches(pattern, name) for pattern in patterns)}
    return found | {pattern for pattern in patterns if "*" not in pattern}


class _NoTables(TableManager):
    async def on_start(self) -> None:
        """Faust sleeps a second here, for tables that we never have."""
        await self._update_channels()
        await self.recovery.start()


class _NoProducer(BootStrategy):
    enable_kafka_producer = False
    enable_web = False


class ChunkApp(faust.App):
    """A Faust app that reads chunks (`exchange.transport.Hosted`)."""

    BootStrategy = _NoProducer

    def __init__(
        self,
        group: str,
        bootstrap: str,
        *,
        held: Callable[[str, int], int | None],
        lost: Callable[[set[Place]], None],
        tuning: Tuning,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self.held, self.lost, self.tuning = held, lost, tuning
        super().__init__(
            group,
            broker=f"accordkafka://{bootstrap}",
            broker_credentials=faust.SSLCredentials(ssl_context) if ssl_context else None,
            broker_session_timeout=tuning.session_s,
            broker_heartbeat_interval=tuning.heartbeat_s,
            broker_rebalance_timeout=tuning.rebalance_s,
            broker_max_poll_interval=tuning.max_poll_s,
            broker_request_timeout=tuning.request_s,
            broker_commit_interval=tuning.commit_s,
            consumer_auto_offset_reset="earliest",
            store="memory://",
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            stream_wait_empty=False,
            TableManager=_NoTables,
        )
        cast(Any, self.topics)._resubscribe_sleep_lock_seconds = 0.1  # Faust waits 45 s before it reads a new topic

    def _create_directories(self) -> None:
        """Nothing: without tables nothing is kept on disk."""


class _Host:
    """One agent on its own Faust app. `handle` overlaps itself as far as the agent allows, a partition's chunks one after the other; `tick`
    and `revoked` overlap nothing. All take turns, first come first served."""

    def __init__(self, agent: Agent, new_app: Callable[[_Host], ChunkApp], on_bug: OnBug) -> None:
        self.agent, self.on_bug = agent, on_bug
        self.app = new_app(self)
        self.topics: set[str] = set()
        self.retries = 0
        self.closed = False
        self._turns = Turns(agent.at_once)
        self._watch = StallWatch()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def consumer(self) -> Consumer:
        return cast(Consumer, self.app.consumer)

    def bug(self, where: str, error: BaseException) -> None:
        self.closed = True
        self.on_bug(self.agent.name, where, error)

    async def discover(self, names: Iterable[str]) -> None:
        """Read those of the existing topics that the agent wants."""
        with self.total("discover"):
            await self.read(matching(self.agent.topics, names))

    async def read(self, names: set[str]) -> None:
        """Read these topics too; the app starts with the first. A topic that goes away stays subscribed, harmlessly."""
        if not self.topics and names:
            self.topics |= names
            channel = self.app.topic(*sorted(names), schema=ChunkSchema(key_type=bytes, value_type=bytes), acks=False)
            self.app.agent(channel, name=self.agent.name)(self._stream)
            await self.app.start()
        elif names - self.topics or self._unsubscribed():
            self.topics |= names
            await self.consumer.commit()  # at the rebalance that follows it is too late: the old subscription is gone
            for channel in self.app.topics:
                cast(Any, channel).topics = sorted(self.topics)
            cast(Any, self.app.topics)._flag_changes()

    def _unsubscribed(self) -> bool:
        """Faust forgets a change that comes during a rebalance: ask again until it has it."""
        return bool(self.topics) and not self.topics <= cast(Any, self.app.topics)._topic_name_index.keys()

    async def _stream(self, stream: Any) -> None:
        """A chunk waits for the one before it of its partition, and for its turn; what is fetched ahead is bounded by the transport."""
        last: dict[Place | None, asyncio.Task[None]] = {}
        try:
            async for chunks in stream:
                place = None if self.agent.together else chunks[0].place
                last[place] = asyncio.create_task(self._after(last.get(place), chunks))
        finally:
            for task in last.values():
                task.cancel()
            await asyncio.gather(*last.values(), return_exceptions=True)

    async def _after(self, before: asyncio.Task[None] | None, chunks: Sequence[Chunk]) -> None:
        """A cancellation goes on to the chunk before."""
        if before is not None:
            await before
        await self._handle(chunks)

    async def _handle(self, chunks: Sequence[Chunk]) -> None:
        pause_s = RETRY_FIRST_S
        while not await self._handled(chunks):
            self.retries += 1
            structlog.get_logger("accord.runner").warning("chunk_unavailable", agent=self.agent.name, retry_s=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, RETRY_MOST_S)

    async def _handled(self, chunks: Sequence[Chunk]) -> bool:
        """False: try again. A chunk that is no longer ours needs nothing more."""
        async with self._turns.beside():
            ours = [] if self.closed else [chunk for chunk in chunks if self.consumer.live(chunk)]
            if not ours:
                return True
            records = ours[0].records if len(ours) == 1 else [record for chunk in ours for record in chunk.records]
            try:
                with self.total("handle"):
                    await self.agent.handle(records)
                    for chunk in ours:
                        self.consumer.settle(chunk)
            except Unavailable:
                return False
            return True

    @contextmanager
    def total(self, where: str) -> Iterator[None]:
        """Only `Unavailable` and our own cancellation get out; all else is a bug."""
        try:
            yield
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, Unavailable) or _cancelled(error):
                raise
            self.bug(where, error)

    async def tick(self) -> None:
        async with self._turns.alone():
            if not self.closed:
                with self.total("tick"):
                    await self.agent.tick()

    def held(self, topic: str, partition: int) -> int | None:
        found = []
        with self.total("held"):
            found.append(self.agent.held(topic, partition))
        return found[0] if found else 0  # after a bug: commit nothing more

    def lost(self, places: set[Place]) -> None:
        """In its turn: after the chunk at work, before any chunk of the next assignment."""
        if places:
            task = asyncio.create_task(self._revoked(places))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _revoked(self, places: set[Place]) -> None:
        async with self._turns.alone():
            with self.total("revoked"):
                self.agent.revoked(places)

    async def check(self, view: KafkaView, now_s: float, stall_s: float) -> None:
        """Outside Faust's own logic: compare with the broker's offsets. A broker that does not answer proves nothing."""
        if not self.topics or self.closed:
            return
        with self.total("watchdog"):
            if self.app.crashed:
                raise Crashed
            progress = self.consumer.progress()
            ends = await view.end_offsets(progress)
            marks = lagging(progress, ends, self.consumer.oldest, self.retries)
            if self.app.rebalancing:
                marks["rebalance"] = self.app.rebalancing_count
            if self._watch.longest(now_s, marks) >= stall_s:
                raise Stalled

    async def stop(self) -> None:
        """Take no new chunk, let the one at work finish, what time is for once more, commit, leave the group."""
        if not self.topics:
            return
        self.app.flow_control.suspend()
        self.consumer.stop_flow()
        with suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(GRACE_S):
                async with self._turns.alone():
                    pass  # nobody is at work any more
                if self.agent.timed:
                    await self.tick()
        self.closed = True
        await self.consumer.commit()
        await self.app.stop()


class FaustRunner:
    """Runs agents on Kafka until stopped.

    `start` raises `Unavailable` if no broker answers. Topics that fit a pattern are found within about 3 s. `on_bug` is for tests.
    """

    def __init__(
        self,
        agents: Sequence[Agent],
        bootstrap: str,
        *,
        session_s: float = 6.0,
        stall_s: float = 30.0,
        chunk_records: int = 10_000,
        discover_s: float = 2.0,
        ssl_context: ssl.SSLContext | None = None,
        on_bug: OnBug = end_process,
    ) -> None:
        self._bootstrap, self._ssl, self._on_bug = bootstrap, ssl_context, on_bug
        self._discover_s, self._stall_s = discover_s, stall_s
        self._tuning = Tuning(session_s=session_s, heartbeat_s=min(1.0, session_s / 3), chunk_records=chunk_records)
        self._view = KafkaView(bootstrap, ssl_context=ssl_context)
        self._agents = list(agents)
        self._hosts: list[_Host] = []
        self._loops: list[asyncio.Task[None]] = []
        self._stopping = False
        self._stopped = asyncio.Event()

    def _new_app(self, host: _Host) -> ChunkApp:
        return ChunkApp(
            f"accord.{host.agent.name}",
            self._bootstrap,
            held=host.held,
            lost=host.lost,
            tuning=replace(
                self._tuning,
                patience_s=host.agent.patience_s,
                together=host.agent.together,
                paced=host.agent.paced,
                chunks_ahead=host.agent.at_once + 1,
                fetch_bytes=host.agent.fetch_bytes,
            ),
            ssl_context=self._ssl,
        )

    async def start(self) -> None:
        _quieten()
        await self._view.__aenter__()
        self._hosts = [_Host(agent, self._new_app, self._on_bug) for agent in self._agents]
        await self._discover()
        for host in self._hosts:
            if host.agent.timed:
                self._loop(TICK_S, host.tick)
            self._loop(self._stall_s / 15, partial(self._check, host))
        self._loop(self._discover_s, self._discover)

    async def stop(self) -> None:
        """Stop reading, finish the chunks at work, commit. Safe to call twice."""
        self._stopping = True
        loops, self._loops = self._loops, []
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)
        hosts, self._hosts = self._hosts, []
        await asyncio.gather(*(host.stop() for host in hosts))
        await self._view.__aexit__()
        self._stopped.set()

    async def wait(self) -> None:
        """Until `stop`."""
        await self._stopped.wait()

    async def _discover(self) -> None:
        names = await self._view.topics()
        await asyncio.gather(*(host.discover(names) for host in self._hosts))

    async def _check(self, host: _Host) -> None:
        await host.check(self._view, asyncio.get_running_loop().time(), self._stall_s)

    def _loop(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        async def every() -> None:
            while not self._stopping:  # Python 3.11 can lose a cancellation inside `wait_for`
                await asyncio.sleep(seconds)
                with suppress(Unavailable):
                    await work()

        self._loops.append(asyncio.create_task(every()))


def _cancelled(error: BaseException) -> bool:
    """Whether we were asked to stop, rather than an agent's own task."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _quieten() -> None:
    """Faust logs each normal stop of an agent as a crash."""
    log = logging.getLogger("faust.agents.agent")
    if _is_news not in log.filters:
        log.addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "CancelledError" not in record.getMessage()

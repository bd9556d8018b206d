"""The process of a worker, joined from its parts here and nowhere else (the ledger's: `consent.process`; the connectors': `exchange.connector_process`).

It runs until SIGTERM or Ctrl-C, calls `ready` once it works, and ends with exit code 70 on a bug.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from typing import NamedTuple

from consent.client import connect
from exchange import wire
from exchange.adapters.kafka import KafkaOutbox, KafkaReader
from exchange.agents.ahead import Ahead
from exchange.agents.deadline import Deadline
from exchange.agents.gate import Gate, Listener
from exchange.agents.relay import Relay
from exchange.agents.release import Release
from exchange.agents.retries import Retries
from exchange.clock import SystemClock
from exchange.core.memory import Memory
from exchange.core.topics import CONSENT_EVENTS
from exchange.faust_runner import FaustRunner
from exchange.places import Places
from exchange.ports import Agent, Ledger, Unavailable
from exchange.stopping import long_lived, stopping
from exchange.tracing import Tracing, to_file

RELAY_S = 0.25
Ready = Callable[[], None]


def tracing(places: Places, name: str, enabled: bool) -> Tracing:
    return to_file(name, places.traces(name)) if enabled else Tracing()


async def run_worker(
    places: Places,
    bootstrap: str,
    roles: Sequence[str],
    name: str,
    ready: Ready,
    *,
    traced: bool,
    read_first: bool = False,
) -> None:
    """Gate, release, deadlines, journal, or some of them; the gate brings the relay of the ledger's outbox along, and reads what stands ahead:
    while it works, or first."""
    stop, clock, ledger = stopping(), SystemClock(), connect(places.socket)
    spans = tracing(places, name, traced)
    async with AsyncExitStack() as stack:
        memory = Memory(os.urandom(32))
        outboxes = await outboxes_of(stack, bootstrap, len(roles) + ("gate" in roles))
        agents = [_agent(role, places, ledger, outboxes.pop(), memory, spans, name) for role in roles]
        background: list[asyncio.Task[None]] = []
        if "gate" in roles:
            told = await _told(bootstrap)
            relay = Relay(ledger, outboxes.pop(), clock, told.sequence)
            listening = _listen(bootstrap, Listener(memory), told.end)
            ahead = Ahead(ledger, memory, clock)
            background = [asyncio.create_task(one) for one in (_relay(relay), listening, ahead.run())]
            if read_first:
                await _either(ahead.first, stop)
        await host(agents, bootstrap, ready, stop)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)


def _agent(
    role: str, places: Places, ledger: Ledger, outbox: KafkaOutbox, memory: Memory, spans: Tracing, name: str
) -> Agent:
    clock = SystemClock()
    if role == "gate":
        return Gate(ledger, outbox, clock, memory, spans)
    if role == "release":
        return Release(ledger, outbox, clock, spans, name)
    if role == "deadline":
        return Deadline(ledger, outbox, clock)
    if role == "retries":
        return Retries(ledger, outbox, clock)
    from exchange.agents.journal import Journal  # its store's libraries take 14 MB: a gate alone does without
    from exchange.journal.store import JournalStore

    return Journal(outbox, JournalStore(places.journal), clock)


async def outboxes_of(stack: AsyncExitStack, bootstrap: str, count: int) -> list[KafkaOutbox]:
    """So many, started side by side; none of them shares its fate with another."""
    outboxes = [KafkaOutbox(bootstrap) for _ in range(count)]
    for outbox in outboxes:
        stack.push_async_callback(outbox.stop)
    await asyncio.gather(*(outbox.start() for outbox in outboxes))
    return outboxes


async def host(agents: Sequence[Agent], bootstrap: str, ready: Ready, stop: asyncio.Event) -> None:
    long_lived()
    runner = FaustRunner(agents, bootstrap)
    await runner.start()
    ready()
    await stop.wait()
    await runner.stop()


async def _either(*events: asyncio.Event) -> None:
    """Until one of them is set."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for one in waits:
        one.cancel()


async def _relay(relay: Relay) -> None:
    while True:
        with suppress(Unavailable):  # the gate trusts no memory meanwhile
            await relay.tick()
        await asyncio.sleep(RELAY_S)


async def _listen(bootstrap: str, listener: Listener, after: int) -> None:
    """For ever: hear what `consent.events.v1` holds from the offset `after` on, wherever the broker was away.

    `after` is the topic's end as it was before any agent was started, hence before the ledger was asked for anything: memory was empty. A
    change that memory may not know is one made after the ledger gave the view, so it is told after that, so it lies at `after` or later,
    and is heard. What lies before concerns views that are not there: 7 days of it need not be read. Going on after a failure is from the
    first offset not heard, never from a new end. The topic has one partition.
    """
    while True:
        try:
            async with KafkaReader(bootstrap, CONSENT_EVENTS, {0: after}) as reader:
                async for chunk in reader:
                    listener.handle(chunk)
                    after = chunk[-1].offset + 1
        except Unavailable:
            await asyncio.sleep(1)


class _Told(NamedTuple):
    """What `consent.events.v1` holds: the offset of its end, and the outbox's last line known to be there."""

    end: int
    sequence: int


async def _told(bootstrap: str) -> _Told:
    async with KafkaReader(bootstrap, CONSENT_EVENTS) as reader:
        end = (await reader.end_offsets()).get(0, 0)
    if not end:
        return _Told(0, 0)
    async with KafkaReader(bootstrap, CONSENT_EVENTS, {0: end - 1}) as reader:
        async for chunk in reader.to_end():
            return _Told(end, int(wire.read("consent-event", chunk[-1].value)["sequence"]))
    return _Told(end, 0)

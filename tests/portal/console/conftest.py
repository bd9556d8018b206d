"""A console over a bus in memory that has a little to show."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from exchange.adapters.progress import Progress
from exchange.core.topics import requests
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import PURPOSES
from exchange.journal.store import Filter, JournalStore
from exchange.ports import Message
from exchange.sdk import Request
from exchange.testing import MemoryBus
from exchange.tracing import to_file
from portal.console.meter import Meter
from tests.portal.stand import Stand, portal
from tests.world import JEANNE, ScriptedApi

SANDBOX = {"state_api": "http://127.0.0.1:1", "kafka": "127.0.0.1:2"}


class Counted:
    """`portal.console.meter.Source` of a bus in memory."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    async def progress(self) -> Progress:
        written: dict[str, int] = {}
        for (topic, _), log in self._bus.broker.logs.items():
            written[topic] = written.get(topic, 0) + len(log)
        behind: dict[tuple[str, str], int] = {}
        for name, runner in self._bus.runners.items():
            for (topic, partition), at in runner.committed.items():
                left = len(self._bus.broker.logs[topic, partition]) - at
                behind[f"accord.{name}", topic] = behind.get((f"accord.{name}", topic), 0) + left
        return Progress(written, behind)


@dataclass
class Told:
    """A portal, and the two requests and the dead letter of its bus."""

    stand: Stand
    released: Request
    withdrawn: Request


@pytest.fixture
async def told(tmp_path: Path) -> AsyncIterator[Told]:
    tracing = to_file("memory", tmp_path / "traces" / "memory.jsonl")
    bus = MemoryBus(ScriptedApi(), tracing)
    meter = Meter(Counted(bus), bus.clock)
    async with bus, portal(tmp_path, bus, changes={"meter": meter, "url": "http://127.0.0.1:8600"}) as stand:
        await meter.sample()
        agreement = await bus.give(JEANNE)
        ask = {"consent": agreement, "purpose": PURPOSES[0], "parameters": {"annee": "2026", "mois": "3"}}
        released = await bus.sdk.request(QUOTIENT_FAMILIAL.name, **ask)
        await released.answer()
        await bus.withdraw(agreement)
        withdrawn = await bus.sdk.request(QUOTIENT_FAMILIAL.name, **ask)
        await withdrawn.outcome()
        await bus.broker.send({(requests(bus.operator), 0): [Message(b"k" * 16, b"not a request", [("ce_id", b"1")])]})
        for _ in range(2):
            await bus.clock.sleep(2)
            await meter.sample()
        with closing(JournalStore(stand.parts.places.journal)) as kept:
            await kept.add(list(bus.journal.show(Filter())))
        yield Told(stand, released, withdrawn)

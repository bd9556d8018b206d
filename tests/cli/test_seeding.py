"""What a new sandbox is filled with."""

from __future__ import annotations

from collections import Counter

from connectors.sandbox import FAMILIES, load_cases
from consent.core.query import Query
from exchange.cli.seeding import Seed
from exchange.core import topics
from exchange.journal.store import Filter
from exchange.testing import CasesApi, MemoryBus


async def test_sown_once() -> None:
    """Agreements in every state, by every channel, with uses, refusals, an absence, an answer that waits for its person and a dead letter;
    sowing again adds nothing."""
    async with MemoryBus(CasesApi(load_cases(FAMILIES)), more_providers=("cnous",)) as bus:
        seed = Seed(bus.ledger, bus.sdk)
        await seed.appoint("officer-1")
        assert await seed.sow() == 9
        await bus.clock.sleep(2)
        states = Counter(event.state for event in await bus.ledger.events(0, 1000) if event.state)
        assert states["live"] >= 5 and (states["requested"], states["refused"], states["withdrawn"]) == (2, 1, 1)
        ended = Counter(line.code for line in bus.journal.show(Filter()) if line.step == "ended")
        assert ended["released"] >= 5 and ended["refused"] == 2
        live = [event.authorisation for event in await bus.ledger.events(0, 1000) if event.state == "live"]
        assert len(await bus.ledger.previews(live)) == 1
        assert len(bus.broker.records(topics.DEAD_LETTERS)) == 1
        assert (await bus.ledger.query("officer-1", "visite", Query())).total >= 5
        written = {place: len(log) for place, log in bus.broker.logs.items()}
        assert await seed.sow() == 0
        assert written == {place: len(log) for place, log in bus.broker.logs.items()}

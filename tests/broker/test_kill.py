"""`kill -9` of workers during a run of 1,000 requests: none lost, none doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from connectors.sandbox import FAMILIES, load_cases
from exchange import wire
from exchange.adapters.kafka import KafkaReader
from exchange.cli.story import read_case
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.introduction import give
from exchange.local import LocalBus, client, local_bus
from exchange.places import ROLES
from exchange.sdk import Bus, Request
from exchange.settings import Settings

REQUESTS = 1_000
DATA_SET, PURPOSE = "cnaf.quotient-familial.v1", "tarification-cantine"


async def test_worker_killed(tmp_path: Path) -> None:
    """Two workers and a connector share 1,000 requests; each is killed with `kill -9` while they run: every request gets its
    one answer, and the ledger counts exactly as many uses as answers."""
    settings = Settings(data=tmp_path)
    async with (
        local_bus(settings, settings.places(), brief=True) as local,
        client(settings, local.places, local.bootstrap) as bus,
    ):
        local.start_worker("worker-b", ROLES)
        identity, _ = read_case(
            next(c for c in load_cases(FAMILIES) if c.name.startswith("01") and "quotient_familial" in c.operation)
        )
        now_ms = SystemClock().now_ms()
        agreements = [await give(local.ledger, bus.wallet, identity, now_ms, max_uses=REQUESTS) for _ in range(20)]
        asked: list[Request] = []
        killer = asyncio.create_task(_kill_in_turn(local, asked))
        for number in range(REQUESTS):
            scopes = ["cnaf_quotient_familial"]
            asked.append(
                await bus.request(DATA_SET, consent=agreements[number % 20], purpose=PURPOSE, scopes=scopes, ttl_s=240)
            )
        await killer
        answers = [await request.answer(240) for request in asked]
        held = await local.ledger.lookup(agreements)
        told = await _outcomes(local, bus)
    assert {answer.status for answer in answers} == {"found"}
    assert sum(a.uses for a in held if a is not None) == REQUESTS
    assert set(told) == {request.key.request for request in asked}
    assert all(len(fates) == 1 for fates in told.values())


async def _kill_in_turn(local: LocalBus, asked: list[Request]) -> None:
    """One process after the other, each with many requests at work, and started again."""
    for count, name in ((200, "worker"), (450, "release"), (650, "connector-cnaf"), (850, "worker-b")):
        while len(asked) < count:
            await asyncio.sleep(0.01)
        local.kill(name)
        if name == "connector-cnaf":
            local.start_connector("cnaf")
        else:
            local.start_worker(name, ("release",) if name == "release" else ROLES)


async def _outcomes(local: LocalBus, bus: Bus) -> dict[bytes, Counter[tuple[str, str]]]:
    """Every fate ever told of each request; telling the same one again counts as one."""
    told: dict[bytes, Counter[tuple[str, str]]] = {}
    async with KafkaReader(local.bootstrap, topics.outcomes(bus.wallet.operator)) as reader:
        async for chunk in reader.to_end():
            for record in chunk:
                outcome = wire.read_outcome(record)
                told.setdefault(outcome.key.request, Counter())[outcome.code, outcome.reason] += 1
    return told

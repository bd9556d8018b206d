"""A retry that waits survives `kill -9` of all who know of it, on a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from connectors.sandbox import FAMILIES, Incident, Sandbox, load_cases
from exchange import wire
from exchange.adapters.kafka import KafkaReader
from exchange.cli.story import read_case
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.introduction import give
from exchange.local import LocalBus, client, local_bus
from exchange.ports import Record
from exchange.settings import Settings

RETRY_S = 20
LATER = Incident(
    502, json.dumps({"errors": [{"code": "04501", "title": "Plus tard", "meta": {"retry_in": RETRY_S}}]}).encode()
)


async def records(local: LocalBus, topic: str) -> list[Record]:
    async with KafkaReader(local.bootstrap, topic) as reader:
        return [record async for chunk in reader.to_end() for record in chunk]


async def settled(bootstrap: str, wanted: Mapping[str, str]) -> None:
    """Until each of these groups has committed past a record of its topic: it does not come again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        for group, topic in wanted.items():
            async with asyncio.timeout(30):
                while not any(
                    place.topic == topic and at.offset > 0
                    for place, at in (await admin.list_consumer_group_offsets(f"accord.{group}")).items()
                ):
                    await asyncio.sleep(0.2)
    finally:
        await admin.close()


async def test_a_retry_survives_kill_9(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The State asks to come back; connector and worker are killed while the task waits: it waits on; two calls, one outcome, the answer."""
    cases = load_cases(FAMILIES)
    with Sandbox(cases) as state:
        monkeypatch.setenv("ACCORD_STATE_API_URL", state.url)
        settings = Settings(data=tmp_path)
        async with (
            local_bus(settings, settings.places(), brief=True) as local,
            client(settings, local.places, local.bootstrap) as bus,
        ):
            state.control.script(LATER)
            identity, _ = read_case(
                next(case for case in cases if case.name.startswith("01") and "quotient_familial" in case.operation)
            )
            consent = await give(local.ledger, bus.wallet, identity, SystemClock().now_ms())
            request = await bus.request(
                "cnaf.quotient-familial.v1", consent=consent, purpose="tarification-cantine", ttl_s=240
            )
            async with asyncio.timeout(60):
                while not await records(local, topics.retries("cnaf")):
                    await asyncio.sleep(0.2)
            gate, connector = topics.requests(bus.wallet.operator), topics.tasks("cnaf")
            await settled(local.bootstrap, {"gate": gate, "connector.cnaf": connector})
            killed_at = monotonic()
            local.kill("connector-cnaf")
            local.kill("worker")
            local.start_connector("cnaf")
            local.start_worker("worker", ("gate", "deadline", "retries", "journal"))
            answer = await request.answer(150)
            waited_s = monotonic() - killed_at
            read = [wire.read_outcome(record) for record in await records(local, topics.outcomes(bus.wallet.operator))]
            async with asyncio.timeout(20):
                while (health := _health(local))["status"] != "ok":
                    await asyncio.sleep(0.2)
    assert waited_s > RETRY_S / 2
    assert (answer.status, len(state.control.calls)) == ("found", 2)
    assert [outcome.code for outcome in read if outcome.key == request.key] == ["released"]
    assert health["provider"] == "cnaf" and health["last_ok_status"]


def _health(local: LocalBus) -> dict[str, str]:
    found: dict[str, str] = json.loads(local.places.health("cnaf").read_text(encoding="utf-8"))
    return found

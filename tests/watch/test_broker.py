"""A watch on a real broker, its connector a process that is killed. Time is moved by writing, with the connector's own key, the record of
a watch whose request is two hours old."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from connectors.sandbox import FAMILIES, Incident, Sandbox, load_cases
from connectors.sdk.watch import read, secret_of, watch_of, write
from exchange import wire
from exchange.adapters.kafka import KafkaReader
from exchange.cli.story import read_case
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.core.errors import Code
from exchange.introduction import give, open_connector_keys
from exchange.local import LocalBus, client, local_bus
from exchange.outcomes import ConsentWithdrawn
from exchange.ports import Outbox, Record
from exchange.settings import Settings

T = TypeVar("T")
WATCHES = topics.watches("cnaf")
TWO_HOURS_MS = 7_200_000
GONE = Incident(404, json.dumps({"errors": [{"code": "35003", "title": "Dossier inexistant", "meta": {}}]}).encode())


async def records(local: LocalBus, topic: str) -> list[Record]:
    async with KafkaReader(local.bootstrap, topic) as reader:
        return [record async for chunk in reader.to_end() for record in chunk]


async def poll(what: Callable[[], Awaitable[T | None]]) -> T:
    async with asyncio.timeout(60):
        while (found := await what()) is None:
            await asyncio.sleep(0.2)
    return found


async def two_hours_later(local: LocalBus, outbox: Outbox, secret: bytes, record: Record) -> None:
    """The same record, of a request made two hours before: later looks are due."""
    one, _ = read(secret, record)
    task = one.body | {"deadline_ms": (one.watch.deadline_ms - TWO_HOURS_MS).to_bytes(8, "big")}
    asked = wire.read_ask(task["ask"])
    assert asked is not None
    watch = watch_of(one.watch.first, asked, one.watch.deadline_ms - TWO_HOURS_MS)
    assert watch is not None
    look = one.look._replace(number=one.look.number + 1)
    made = write(secret, watch, look, watch.due_ms(1), wire.write("exchange-task", task), b"", [])
    await outbox.send({(WATCHES, record.partition): [made]})


async def test_a_watch_survives_kill_9_and_ends_with_the_agreement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer; the connector killed; a change told once with its receipt; withdrawn: no State call more, one end."""
    cases = load_cases(FAMILIES)
    with Sandbox(cases) as state:
        monkeypatch.setenv("ACCORD_STATE_API_URL", state.url)
        settings = Settings(data=tmp_path)
        async with (
            local_bus(settings, settings.places(), brief=True) as local,
            client(settings, local.places, local.bootstrap) as bus,
        ):
            secret = secret_of(open_connector_keys(local.places.connector("cnaf")).sealing)
            identity, _ = read_case(next(case for case in cases if "quotient_familial" in case.operation))
            consent = await give(local.ledger, bus.wallet, identity, SystemClock().now_ms(), watch_every_ms=3_600_000)
            watch = await bus.watch(
                "cnaf.quotient-familial.v1", consent=consent, purpose="tarification-cantine", every_s=3600
            )
            changes = watch.changes()

            async def last(number: int) -> Record | None:
                found = [
                    record for record in await records(local, WATCHES) if read(secret, record)[0].look.number >= number
                ]
                return found[-1] if found else None

            async with asyncio.timeout(120):
                assert (await anext(changes)).answer.status == "found"
                local.kill("connector-cnaf")
                state.control.script(GONE, GONE)  # the first task may be delivered again: answered, and dropped
                await two_hours_later(local, bus.outbox, secret, await poll(lambda: last(1)))
                local.start_connector("cnaf")
                change = await anext(changes)
                assert (change.answer.status, change.answer.code) == ("not_found", "35003")
                calls = len(state.control.calls)
                after = await poll(lambda: last(3))
                await local.ledger.withdraw(consent, "withdrawn")
                await two_hours_later(local, bus.outbox, secret, after)
                with pytest.raises(ConsentWithdrawn) as ended:
                    await anext(changes)
                assert (ended.value.code, len(state.control.calls)) == (Code.WITHDRAWN, calls)
            await changes.aclose()
            told = [wire.read_outcome(record) for record in await records(local, topics.outcomes(bus.wallet.operator))]
    assert [outcome.code for outcome in told] == ["released", "released", "refused"]
    assert _clear(identity.nom_naissance, [record.value for record in (after,)])


def _clear(name: str, values: list[Any]) -> bool:
    return all(name.encode() not in (value or b"") for value in values)

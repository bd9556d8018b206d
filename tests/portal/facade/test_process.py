"""The façade as it is run: a process of its own beside a bus of processes, the sandbox behind, the State's own cases."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from connectors.core.cases import QUOTIENT_FAMILIAL
from exchange import introduction
from exchange.clock import SystemClock
from exchange.local import client, local_bus
from exchange.settings import Settings
from tests.portal.facade.stand import STATE, cases, get, identity, query, settled


async def test_the_states_cases_through_the_bus(tmp_path: Path) -> None:
    """Each case answers through façade, bus and sandbox as the sandbox answers alone; what was withdrawn no longer does."""
    settings = Settings(data=tmp_path)
    places, clock = settings.places(), SystemClock()
    states = STATE / QUOTIENT_FAMILIAL
    async with (
        local_bus(settings, places, cases=[states] if states.exists() else [], brief=True) as local,
        client(settings, places, local.bootstrap) as sdk,
        httpx.AsyncClient(timeout=60) as http,
    ):
        local.spawn("facade", "facade", "run", "--port", "0", "--kafka", local.bootstrap)
        await local.ready("facade")
        url = (await asyncio.to_thread(places.awaited, places.ready("facade")))["url"]
        token, own = [
            path.read_text(encoding="ascii").strip() for path in (places.token, places.facade_token(settings.recipient))
        ]
        assert places.facade_token(settings.recipient).stat().st_mode & 0o077 == 0
        rows, agreements = [], []
        for case in settled(cases()):
            agreements.append(await introduction.give(local.ledger, sdk.wallet, identity(case), clock.now_ms()))
            direct = await get(http, local.sandbox_url, query(case), token=token)
            told = await get(http, url, query(case), token=own)
            rows.append((case.name, direct.status, told.status, direct.body == told.body))
            await local.ledger.withdraw(agreements[-1], "withdrawn")
            assert (await get(http, url, query(case), token=own)).status == 403
        print("\n".join(f"{name:<60} {sandbox} {facade} {same}" for name, sandbox, facade, same in rows))
        assert [row for row in rows if row[1] != row[2] or not row[3]] == []

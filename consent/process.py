"""The ledger's process, joined from its parts."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Callable

import httpx

from consent.keys import open_keys, read_or_make
from consent.ledger import Ledger
from consent.public_log import FOLDER, WITNESSES, PublicLog
from consent.service import Service
from consent.stores.engine import open_sqlite
from consent.stores.tree import fill
from consent.witness.client import read_places
from exchange.clock import SystemClock
from exchange.locks import owned
from exchange.places import Places
from exchange.sealing import public_bytes
from exchange.stopping import long_lived, pause, stopping
from exchange.trust import Trust

SWEEP_S = 30.0


async def run_ledger(places: Places, origin: str, ready: Callable[[], None]) -> None:
    """The one process that owns the store and the keys; `InUse` if another does, ValueError if its witnesses cannot be read. No core
    dumps: they would hold keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    witnesses, clock = read_places(places.root / WITNESSES), SystemClock()
    with owned(places.store.parent):
        keys, engine = open_keys(places.ledger_keys, origin), open_sqlite(places.store)
        fill(engine)
        ledger = Ledger(engine, keys, clock, lambda p: read_or_make(places.connector(p) / "ledger.mac"))
        Trust(keys.verifier, public_bytes(keys.certificate), public_bytes(keys.registrar)).save(places.trust)
        places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with httpx.AsyncClient() as http:
            public = PublicLog(ledger, places.root / FOLDER, witnesses, clock, http)
            await public.start()
            service = Service(ledger, places.socket)
            await service.start()
            long_lived()
            ready()
            stop = stopping()
            await asyncio.gather(_sweep(ledger, stop), public.run(stop))
            await service.stop()


async def _sweep(ledger: Ledger, stop: asyncio.Event) -> None:
    """Record what time has done, until told to stop."""
    while not stop.is_set():
        await ledger.sweep()
        await pause(stop, SWEEP_S)

"""The ledger's process, joined from its parts."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable
from contextlib import aclosing, suppress

import httpx

from consent.issuers import IssuersFile
from consent.keys import Master, open_keys, read_or_make
from consent.ledger import Ledger
from consent.opening import Beside, here
from consent.public_log import FOLDER, WITNESSES, PublicLog
from consent.receipts import ORGANISATIONS, read_parties
from consent.service import Service
from consent.stores.engine import owned_store
from consent.stores.tree import fill
from consent.sweeps import SWEEP_MAX
from consent.witness.client import read_places
from exchange.clock import SystemClock
from exchange.core.sealing import X25519
from exchange.places import Places
from exchange.ports import Recovering, Unavailable
from exchange.sealing import public_bytes
from exchange.stopping import long_lived, pause, stopping
from exchange.trust import Trust

SWEEP_S = 30.0


async def run_ledger(
    places: Places, origin: str, ready: Callable[[], None], master: Master | None = None, suite: str = X25519
) -> None:
    """The one process that owns the store and the keys; `InUse` if another does, ValueError if its witnesses cannot be read, BadKeyFile
    if `master` does not open the keys. New authorisation keys are of this `suite`. No core dumps: they would hold keys."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    witnesses, clock, opener = read_places(places.root / WITNESSES), SystemClock(), Beside()
    with owned_store(places) as engine:
        keys = open_keys(places.ledger_keys, origin, master, suite, make=not places.trust.exists())
        fill(engine)
        ledger = Ledger(
            engine,
            keys,
            clock,
            lambda p: read_or_make(places.connector(p) / "ledger.mac"),
            IssuersFile(places.issuers),
            opener if (os.cpu_count() or 1) > 1 else here,
        )
        ledger.parties = read_parties(places.root / ORGANISATIONS)
        Trust(keys.verifier, public_bytes(keys.certificate), public_bytes(keys.registrar)).save(places.trust)
        places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with httpx.AsyncClient() as http, aclosing(opener):
            public = PublicLog(ledger, places.root / FOLDER, witnesses, clock, http)
            await public.start()
            service = Service(ledger, places.socket)
            with suppress(Recovering):
                await ledger.rotate()
            await service.start()
            long_lived()
            stop = stopping()
            ready()
            await asyncio.gather(_sweep(ledger, stop), public.run(stop))
            await service.stop()


async def _sweep(ledger: Ledger, stop: asyncio.Event) -> None:
    """Record what time has done, until told to stop; a store that does not answer is asked again."""
    while not stop.is_set():
        try:
            more = await ledger.sweep() >= SWEEP_MAX
            await ledger.rotate()
        except Unavailable:
            more = False
        await pause(stop, 0 if more else SWEEP_S)

"""What the portal's spaces stand on."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Engine

from consent.door import Door
from exchange.bounded import Outside
from exchange.places import Places
from exchange.ports import Clock, Outbox
from exchange.sdk import ReaderFactory
from exchange.settings import Settings
from exchange.trust import Trust
from portal.console.meter import Meter
from portal.core.theme import Theme


@dataclass(frozen=True)
class Parts:
    """One portal. `store` holds what is the portal's own (sessions, clients, webhooks, idempotency keys), never an authority's word;
    `url` is its public address, without a slash at the end; `outbox` is None where the broker is away: people's pages work all the same;
    `outside` asks identity providers; `meter` tells how far topics and groups have come, None where nobody asks; `theme` is the State's
    look where it is asked for and declared."""

    ledger: Door
    outbox: Outbox | None
    reader: ReaderFactory
    trust: Trust
    clock: Clock
    places: Places
    settings: Settings
    store: Engine
    url: str
    outside: Outside = field(default_factory=Outside)
    meter: Meter | None = None
    theme: Theme | None = None

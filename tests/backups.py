"""A store taken back to an earlier moment, as an old backup restored is, whichever store it is; and its public log."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import delete, insert, select

from consent.core.lost import Recovered
from consent.public_log import PublicLog
from consent.stores import tables as t
from consent.witness.client import Place
from tests.world import World

Backup = dict[str, list[dict[str, Any]]]


def backup(world: World) -> Backup:
    """Every row."""
    with world.engine.begin() as connection:
        return {
            table.name: [dict(row._mapping) for row in connection.execute(select(table))]
            for table in t.metadata.sorted_tables
        }


def restore(world: World, saved: Backup) -> None:
    """The rows of then, and nothing else; another process on them."""
    with world.engine.begin() as connection:
        for table in t.metadata.sorted_tables:
            connection.execute(delete(table))
            if saved[table.name]:
                connection.execute(insert(table), saved[table.name])
    world.restart()


def public(world: World, folder: Path, *places: Place, http: httpx.AsyncClient | None = None) -> PublicLog:
    return PublicLog(world.ledger, folder, places, world.clock, http or httpx.AsyncClient())


async def anchored(world: World, folder: Path) -> None:
    """The ledger knows what was published, and has read nothing back yet."""
    await world.ledger.anchor((folder / "checkpoint").read_text())


async def recovered(world: World, folder: Path) -> Recovered:
    """All steps."""
    found = step = await world.ledger.recover(str(folder))
    while step.went_on:
        found = found.then(step := await world.ledger.recover(str(folder)))
    return found

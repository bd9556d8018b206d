"""A ledger on each store, and one on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.postgres import Server, emptied, running
from tests.world import World

STORES = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """One server for the session."""
    with running() as server:
        yield server


@pytest.fixture(params=STORES)
def place(request: pytest.FixtureRequest) -> str | None:
    """A store nobody has used yet: what `open_store` takes."""
    if request.param == "sqlite":
        return None
    return emptied(request.getfixturevalue("postgres"))


@pytest.fixture(params=STORES)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """A store that several may open: a file, or an empty database."""
    if request.param == "sqlite":
        return tmp_path / "ledger.sqlite"
    postgres: Server = request.getfixturevalue("postgres")
    return postgres.store()


@pytest.fixture
async def world(place: str | None) -> AsyncIterator[World]:
    """A ledger in memory or on PostgreSQL: what holds on one store holds on the other."""
    world = await World.open(place)
    yield world
    world.engine.dispose()


@pytest.fixture
async def on_disk(tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path / "ledger.sqlite")
    yield world
    world.engine.dispose()

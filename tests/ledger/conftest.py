"""A ledger in memory and one on disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.world import World


@pytest.fixture
async def world() -> World:
    return await World.open()


@pytest.fixture
async def on_disk(tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path / "ledger.sqlite")
    yield world
    world.engine.dispose()

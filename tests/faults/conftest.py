"""The store that every fault is tried on, made once."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.faults.story import Story


@pytest.fixture(scope="session")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of stores are written there."""
    shared = Path("/dev/shm")
    if not os.access(shared, os.W_OK):
        yield tmp_path_factory.mktemp("faults")
        return
    with TemporaryDirectory(dir=shared) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def told(memory: Path) -> Story:
    (memory / "story").mkdir()
    return asyncio.run(Story.made(memory / "story"))


@pytest.fixture
def story(told: Story) -> Iterator[Story]:
    """As it was made."""
    told.begin()
    yield told
    told.close()

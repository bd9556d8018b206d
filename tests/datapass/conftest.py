"""DataPass, listening."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.datapass.portal import DataPass, listening


@pytest.fixture
async def datapass() -> AsyncIterator[DataPass]:
    async with listening(DataPass()) as one:
        yield one

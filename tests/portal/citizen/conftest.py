"""A person at their browser, beside a collectivity that asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from exchange.testing import MemoryBus
from tests.portal.citizen.person import Person
from tests.portal.identity.signing_in import Provider
from tests.portal.stand import portal
from tests.world import ScriptedApi


@pytest.fixture
async def person(tmp_path: Path) -> AsyncIterator[Person]:
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(MemoryBus(ScriptedApi()))
        provider = Provider(bus, tmp_path)
        provider.believed_by(bus)
        yield Person(await stack.enter_async_context(portal(tmp_path, bus, provider.outside)), provider)

"""A glance at many authorisations says what a reading of each says, on both stores."""

from __future__ import annotations

from consent.core.facts import Authorisation
from tests.unit.glancing import glanced
from tests.world import OPERATOR, RECIPIENT, World, held


async def test_a_glance_says_what_a_reading_says(world: World) -> None:
    """Live, used, withdrawn, erased, merely requested and unknown; asked for twice; with and without a delegation and a habilitation."""
    given, left, gone, used = [await world.give(max_uses=n + 1) for n in range(4)]
    _, answer = await world.answered(given)
    await world.release(answer)
    await world.ledger.withdraw(left, "withdrawn")
    await world.ledger.withdraw(gone, "erased")
    asked = [left, bytes(16), given, gone, used, given]
    for until_ms in (10**9, -1):
        await world.ledger.delegate(RECIPIENT, OPERATOR, world.clock.now_ms() + until_ms)
        found: list[Authorisation | None] = await world.ledger.lookup(asked)
        assert await world.ledger.glance(asked) == glanced(found)
    assert (await held(world, given)).uses == 1


async def test_a_glance_at_nothing_is_nothing(world: World) -> None:
    """No ids: no rows and nothing shared."""
    assert await world.ledger.glance([]) == glanced([])

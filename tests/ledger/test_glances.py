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


async def test_a_roster_has_all_that_stands_once(world: World) -> None:
    """Page by page, whatever their size, also one with nobody of it; what was withdrawn or is used up is left out."""
    given = [await world.give(max_uses=n % 2 + 1) for n in range(5)]
    for gone in given[1:3]:
        await world.ledger.withdraw(gone, "withdrawn")
    _, answer = await world.answered(given[0])
    await world.release(answer)
    for limit in (1, 2, 3, 100):
        seen, after = list[bytes](), b""
        while True:
            page = await world.ledger.roster(after, limit)
            ids = [page.ids[at : at + 16] for at in range(0, len(page.ids), 16)]
            assert page.glance == glanced(await world.ledger.lookup(ids)) and len(ids) <= limit
            seen += ids
            if not (after := page.after):
                break
        assert sorted(seen) == sorted(given[3:])


async def test_a_roster_of_nobody_is_one_empty_page(world: World) -> None:
    """And asks for no other."""
    page = await world.ledger.roster(b"", 10)
    assert (page.ids, page.glance, page.after) == (b"", glanced([]), b"")

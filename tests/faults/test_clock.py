"""A clock that is stepped back."""

from __future__ import annotations

import pytest

from exchange.ports import Unavailable
from tests.world import World, codes, held, log_size

HOUR_MS = 3_600_000


async def test_nothing_is_released_while_the_clock_is_behind() -> None:
    """More than five seconds behind the ledger's last time: no release, and nothing written; once it has caught up, the same answer is
    released."""
    world = await World.open()
    authorisation = await world.give()
    _, answer = await world.answered(authorisation)
    size = await log_size(world)
    world.clock.wall_ms -= HOUR_MS
    for _ in range(2):
        with pytest.raises(Unavailable):
            await world.release(answer)
        world.restart()
    assert (await held(world, authorisation)).uses == 0 and await log_size(world) == size
    world.clock.wall_ms += HOUR_MS - 4_000
    assert codes(await world.release(answer)) == ["released"]


async def test_withdrawals_are_taken_at_the_ledgers_last_time() -> None:
    """Binding and acknowledged as ever, never dated before what happened before; no leaf goes back in time."""
    world = await World.open()
    authorisations = [await world.give() for _ in range(3)]
    last_ms = world.clock.now_ms()
    world.clock.wall_ms -= HOUR_MS
    for authorisation, happening in zip(authorisations, ("withdrawn", "opposed", "erased"), strict=True):
        told = await world.ledger.withdraw(authorisation, happening)
        assert told.at_ms >= last_ms and not await world.ledger.has_key(authorisation)
    times = [entry.at_ms for a in authorisations for entry in (await world.ledger.entries(a))[1:]]
    assert times == sorted(times) and min(times) >= last_ms
    assert await world.ledger.verify() == []


async def test_an_agreement_does_not_live_again_when_the_clock_goes_back() -> None:
    """Expired once is expired: the ledger's time is the latest it has seen."""
    world = await World.open()
    authorisation = await world.give(not_after_ms=world.clock.now_ms() + 1_000)
    asked, _ = await world.answered(authorisation)
    world.clock.advance(2_000)
    assert await world.ledger.sweep() == 1
    world.clock.wall_ms -= HOUR_MS
    assert (await world.attempt(asked)).reason == "authorisation_expired"

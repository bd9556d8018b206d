"""What stands is read ahead: all of it, once, as long as there is room, and again when memory has begun anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from consent.core.facts import REGISTER
from consent.core.glance import Roster
from exchange.agents import ahead
from exchange.agents.ahead import Ahead
from exchange.core.memory import Memory, serving
from exchange.ports import Unavailable
from exchange.testing import VirtualClock
from tests.unit.glancing import glanced
from tests.unit.test_memory import SALT, held

PAGE = 10


class Pages:
    """A ledger whose agreements stand; `before` is called before each page is given."""

    def __init__(self, clock: VirtualClock, count: int, page: int) -> None:
        self.page = page
        ids = [number.to_bytes(16, "big") for number in range(1, count + 1)]
        self.standing = [held(id=id, not_after_ms=clock.now_ms() + 10**9) for id in ids]
        self.asked, self.fail = list[bytes](), 0
        self.before: Any = lambda: None

    async def roster(self, after: bytes, _limit: int) -> Roster:
        self.asked.append(after)
        await asyncio.sleep(0)
        self.before()
        if self.fail:
            self.fail -= 1
            raise Unavailable("ledger")
        at = int.from_bytes(after)
        some = self.standing[at : at + self.page]
        last = at + self.page >= len(self.standing)
        return Roster(b"".join(one.id for one in some), glanced(some), b"" if last else (at + self.page).to_bytes(8))


class Place:
    def __init__(self, count: int = 35, size_max: int = 1_000, page: int = PAGE) -> None:
        self.clock = VirtualClock()
        self.ledger, self.memory = Pages(self.clock, count, page), Memory(SALT, size_max)
        self.ahead = Ahead(self.ledger, self.memory, self.clock)  # type: ignore[arg-type]  # the roster is all it asks for

    def known(self) -> int:
        ids = np.frombuffer(b"".join(one.id for one in self.ledger.standing), "<u8").reshape(-1, 2)
        return int(serving(self.memory.find(ids), self.clock.now_ms() // 1000).sum())

    async def after(self, seconds: float) -> None:
        """So much later, the ledger heard all the time."""
        for _ in range(int(seconds * 2) + 1):
            self.memory.beat(self.clock.now_ms())
            await self.pass_by(500)

    async def pass_by(self, ms: int) -> None:
        self.clock.advance(ms)
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    made = Place()
    run = asyncio.create_task(made.ahead.run())
    yield made
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)


async def test_all_that_stands_is_known_before_it_is_asked_for(place: Place) -> None:
    """Page after page; once is enough."""
    await place.after(5)
    assert place.known() == 35 and place.ahead.first.is_set()
    assert place.ledger.asked == [b"", *((n * PAGE).to_bytes(8) for n in (1, 2, 3))]
    await place.after(2 * ahead.AGAIN_S)
    assert len(place.ledger.asked) == 4


async def test_nothing_is_read_before_events_are_heard(place: Place) -> None:
    """What changes while nobody listens would be remembered as it was."""
    await place.pass_by(60_000)
    assert not place.ledger.asked and not place.ahead.first.is_set()


async def test_what_an_event_names_meanwhile_is_not_learnt(place: Place) -> None:
    """Its page may be older."""
    place.ledger.before = lambda: place.memory.hear([place.ledger.standing[7].id], place.clock.now_ms())
    await place.after(5)
    assert place.known() == 34


async def test_a_ledger_that_does_not_answer_is_asked_again_from_the_beginning(place: Place) -> None:
    """Nothing else hangs on it."""
    place.ledger.fail = 2
    await place.after(5)
    assert place.known() == 35 and place.ahead.first.is_set() and place.ledger.asked[:3] == [b""] * 3


async def test_where_memory_begins_anew_all_is_read_again_but_not_at_once(place: Place) -> None:
    """It heard nothing for a while; many such silences cost one reading."""
    await place.after(5)
    for _ in range(3):
        place.memory.forget()
        await place.after(1)
    assert place.known() == 0 and len(place.ledger.asked) == 4
    await place.after(ahead.AGAIN_S)
    assert place.known() == 35 and len(place.ledger.asked) == 8


async def test_a_reading_in_which_memory_begins_anew_begins_anew(place: Place) -> None:
    """What was read before is lost: it is read again, and only then is the first reading done."""
    times = iter(range(100))
    place.ledger.before = lambda: place.memory.forget() if next(times) == 2 else None
    await place.after(5)
    assert place.known() == 35 and place.ahead.first.is_set() and place.ledger.asked.count(b"") == 2


async def test_a_change_of_who_may_ask_costs_the_page_that_was_asked_for(place: Place) -> None:
    """It may say who could ask before; the others stand. Once all is read, such a change costs nothing."""
    times = iter(range(100))

    def hear() -> None:
        place.memory.hear([REGISTER], place.clock.now_ms())

    place.ledger.before = lambda: hear() if next(times) == 2 else None
    await place.after(5)
    assert place.known() == 35 and place.ahead.first.is_set()
    assert place.ledger.asked == [b"", *((n * PAGE).to_bytes(8) for n in (1, 2, 2, 3))]
    hear()
    await place.after(2 * ahead.AGAIN_S)
    assert len(place.ledger.asked) == 5


async def test_the_ledger_rests_as_long_as_it_worked(place: Place) -> None:
    """What it takes to learn a page is a part of the rest."""
    place.ledger.before = lambda: place.clock.advance(30)
    await place.after(0)
    for asked in (1, 2):
        assert len(place.ledger.asked) == asked
        await place.pass_by(29)
        assert len(place.ledger.asked) == asked
        await place.pass_by(1)


async def test_some_room_is_left_for_what_comes() -> None:
    """A tenth of it."""
    place = Place(count=30_000, size_max=20_000, page=500)
    run = asyncio.create_task(place.ahead.run())
    await place.after(60)
    run.cancel()
    assert 18_000 <= len(place.memory) <= 18_500 and place.ahead.first.is_set()

"""What is asked again and again must not cost more with all there ever was: its statements are found by indexes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from consent.core.facts import State, Submission
from consent.core.rules import Happening
from consent.stores import tables as t
from tests.world import World, held

FEW = {"unsettled", "waiting", "log", "aside", "checkpoint"}
"""Tables that hold what is under way, not what was; of heads, those that are not published yet and two more."""


async def test_what_is_asked_again_and_again_scans_no_table_that_grows(tmp_path: Path) -> None:
    """A sweep, the looks for what nobody confirmed, the relay's: SQLite's own plan of each statement, the driver's too, searches by an index,
    but for the lists of what is under way; what is searched by an index of its own is nothing but what is sought."""
    world = await World.open(tmp_path / "store")
    for _ in range(3):
        await world.give()
    asked, answer = await world.answered(await world.give())
    await world.told(answer)
    submissions, said = [Submission(asked.key, asked.digest)], list[str]()
    with world.engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
    driver.set_trace_callback(said.append)
    await world.ledger.sweep()
    await world.ledger.unconfirmed(submissions)
    await world.ledger.overdue(submissions, 60_000)
    await world.ledger.events(0, 10)
    driver.set_trace_callback(None)
    said = [statement for statement in said if statement.split()[0] in ("SELECT", "DELETE", "UPDATE")]
    plans = [row[3] for statement in said for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}")]
    world.engine.dispose()
    scanned = {plan.split()[1] for plan in plans if plan.startswith("SCAN") and "CONSTANT" not in plan}
    assert len(said) >= 7 and scanned <= FEW, plans
    assert any("SEARCH terminal" in plan for plan in plans)
    assert any("authorisation_by_end" in plan for plan in plans)


@pytest.mark.parametrize("happening", [Happening.WITHDRAWN, Happening.ENDED])
async def test_what_is_settled_is_looked_at_no_more(shared: Path | str, happening: Happening) -> None:
    """A withdrawal that nothing waits for gets its second leaf at the next sweep, and leaves the list."""
    world = await World.open(shared)
    authorisation = await world.give()
    await world.ledger.withdraw(authorisation, happening.value)
    assert unsettled(world) == [authorisation]
    assert await world.ledger.sweep() == 1
    assert unsettled(world) == [] and await world.ledger.sweep() == 0
    world.engine.dispose()


async def test_what_ran_out_is_looked_at_until_its_key_is_gone(shared: Path | str) -> None:
    """An agreement whose validity is over is on the list as long as its key is there."""
    world = await World.open(shared)
    authorisation = await world.give()
    world.clock.advance((await held(world, authorisation)).not_after_ms - world.clock.now_ms())
    assert await world.ledger.sweep() == 1
    assert unsettled(world) == [authorisation] and (await held(world, authorisation)).state == State.EXPIRED
    await world.ledger.sweep()
    assert unsettled(world) == [] and keys(world, authorisation) == 0
    world.engine.dispose()


def unsettled(world: World) -> list[bytes]:
    with world.engine.connect() as connection:
        return [bytes(one) for one in connection.execute(select(t.unsettled.c.authorisation)).scalars()]


def keys(world: World, authorisation: bytes) -> int:
    with world.engine.connect() as connection:
        rows = connection.execute(select(t.release_key.c.epoch).where(t.release_key.c.authorisation == authorisation))
        return len(rows.all())

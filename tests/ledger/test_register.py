"""Who may ask: what ends when a habilitation does."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from consent.core.facts import REGISTER, Habilitation, State
from consent.stores import tables as t
from exchange.core.errors import Code
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import PURPOSES
from tests.world import OPERATOR, RECIPIENT, World

DATA_SET = "cnaf.quotient-familial.v1"


async def test_a_revoked_habilitation_closes_what_rested_on_it(world: World) -> None:
    """Authorisations under a revoked habilitation are invalidated, their keys destroyed, an answer in flight is refused; those for
    another purpose live on, and habilitating again does not revive the closed ones."""
    closed, kept = await world.give(), await world.give(purpose=PURPOSES[1])
    _, answer = await world.answered(closed)
    await world.ledger.habilitate(RECIPIENT, DATA_SET, PURPOSES[0], (), "CRPA L114-8", 2**62)
    outcome = await world.told(answer)
    held = await world.ledger.lookup([closed, kept])
    assert [a.state for a in held if a is not None] == [State.INVALIDATED, State.LIVE]
    assert (outcome.code, outcome.reason) == ("refused", Code.INVALIDATED)
    assert [await world.ledger.has_key(a) for a in (closed, kept)] == [False, True]
    await world.ledger.habilitate(RECIPIENT, DATA_SET, PURPOSES[0], ("cnaf_quotient_familial",), "CRPA L114-8", 2**62)
    assert (await world.ledger.lookup([closed]))[0].state == State.INVALIDATED  # type: ignore[union-attr]  # it is there
    assert [e.kind for e in await world.ledger.entries(closed)][:2] == ["given", "invalidated"]


@pytest.mark.parametrize("right", ["delegation", "habilitation"])
async def test_what_ends_by_its_time_ends_state_calls_too(world: World, right: str) -> None:
    """A millisecond before the end of a delegation, or of a habilitation, the State may be called; at its end no more, whatever the gate
    has let through, and an answer on its way is not handed over."""
    agreement, end_ms = await world.give(), world.clock.now_ms() + 10_000
    await ending(world, right, end_ms)
    world.clock.advance(9_999)
    _, answer = await world.answered(agreement)
    world.clock.advance(1)
    reason = Code.DELEGATION_ABSENT if right == "delegation" else Code.HABILITATION_ABSENT
    assert (await world.attempt(world.ask(agreement))).reason == reason
    assert (await world.told(answer)).reason == reason


@pytest.mark.parametrize("right", ["delegation", "habilitation"])
async def test_the_end_of_a_right_is_told_to_the_gates_once(world: World, right: str) -> None:
    """By the first sweep after it, also by another process; what has not ended, or had before, is not told again."""
    await ending(world, right, world.clock.now_ms() + 10_000)
    await world.ledger.sweep()
    told = [await changes(world)]
    for after_ms in (9_999, 1, 30_000):
        world.clock.advance(after_ms)
        await world.ledger.sweep()
        told.append(await changes(world))
    world.restart()
    await world.ledger.sweep()
    assert [now - told[0] for now in (*told[1:], await changes(world))] == [0, 1, 1, 2]


async def ending(world: World, right: str, end_ms: int) -> None:
    if right == "delegation":
        await world.ledger.delegate(RECIPIENT, OPERATOR, end_ms)
    else:
        scopes = tuple(QUOTIENT_FAMILIAL.scopes)
        await world.ledger.habilitate(RECIPIENT, DATA_SET, PURPOSES[0], scopes, "CRPA L114-8", end_ms)


async def changes(world: World) -> int:
    """How often the gates were told that who may ask has changed."""
    return sum(event.authorisation == REGISTER for event in await world.ledger.events(0, 1_000))


async def test_retired_keys_die_once_nothing_needs_them(world: World) -> None:
    """A used-up authorisation keeps its key while its last answer is unconfirmed, and loses it at the next sweep after."""
    spent = await world.give(max_uses=1)
    _, answer = await world.answered(spent)
    outcome = await world.told(answer)
    await world.ledger.sweep()
    before = await world.ledger.has_key(spent)
    await world.confirm(outcome)
    await world.ledger.sweep()
    assert (before, await world.ledger.has_key(spent)) == (True, False)


async def test_a_settled_withdrawal_has_its_second_leaf(world: World) -> None:
    """Once all a withdrawal named is confirmed, one more leaf says so, once."""
    agreement = await world.give()
    _, answer = await world.answered(agreement)
    await world.told(answer)
    ack = await world.ledger.withdraw(agreement, "withdrawn")
    await world.ledger.sweep()
    unsettled = [e.kind for e in await world.ledger.entries(agreement)]
    cut = await world.told(answer)
    await world.confirm(cut)
    for _ in range(2):
        await world.ledger.sweep()
    with world.engine.begin() as connection:
        query = select(func.count()).where(t.leaf.c.kind == "withdrawal_settled", t.leaf.c.authorisation == agreement)
        leaves = connection.execute(query).scalar()
    assert (len(ack.named), cut.delivery, "withdrawal_settled" in unsettled, leaves) == (1, "cut", False, 1)


async def test_habilitations_are_listed_as_they_stand(world: World) -> None:
    """Each recipient, data set and purpose once, in order, those revoked too."""
    await world.ledger.habilitate(RECIPIENT, DATA_SET, PURPOSES[0], (), "CRPA L114-8", 5)
    found = [h for h in await world.ledger.habilitations() if h.data_set == DATA_SET]
    assert [(h.purpose, bool(h.scopes)) for h in found] == [(PURPOSES[0], False), (PURPOSES[1], True)]
    assert found[0] == Habilitation(RECIPIENT, DATA_SET, PURPOSES[0], (), "CRPA L114-8", 5)

"""Grants, refusals and narrowings: where an authorisation gets its key, and what ends it in time (protocol §3.1, §4)."""

from __future__ import annotations

import os

import msgspec
import pytest

from consent.core.facts import (
    Evidence,
    State,
    Terms,
)
from exchange.core.errors import Code
from exchange.core.identity import canonical
from exchange.introduction import terms as agreement_terms
from exchange.ports import Refused, Unavailable
from tests.world import JEANNE, OPERATOR, PAUL, RECIPIENT, World, codes, held, log_size

QUOTIENT_ONLY = ("cnaf_quotient_familial",)


def terms(world: World, **changes: object) -> Terms:
    return msgspec.structs.replace(agreement_terms(RECIPIENT, world.clock.now_ms()), **changes)


async def test_the_same_grant_again_is_the_same_grant(world: World) -> None:
    """Same id, terms and person: same certificate, no new leaf."""
    a, agreed = os.urandom(16), terms(world)
    first = await world.ledger.grant(a, agreed, canonical(JEANNE), Evidence("online"), OPERATOR)
    size = await log_size(world)
    again = await world.ledger.grant(a, agreed, canonical(JEANNE), Evidence("online"), OPERATOR)
    assert (again.certificate, again.leaf_index) == (first.certificate, first.leaf_index)
    assert await log_size(world) == size


@pytest.mark.parametrize("change", ["person", "terms"])
async def test_another_grant_under_a_known_id_is_a_conflict(world: World, change: str) -> None:
    """An id names one person under one set of terms for ever."""
    a, agreed = os.urandom(16), terms(world)
    await world.ledger.grant(a, agreed, canonical(JEANNE), Evidence("online"), OPERATOR)
    other = (agreed, canonical(PAUL)) if change == "person" else (terms(world, max_uses=2), canonical(JEANNE))
    with pytest.raises(Refused) as refused:
        await world.ledger.grant(a, *other, Evidence("online"), OPERATOR)
    assert refused.value.code == Code.CONFLICT


@pytest.mark.parametrize("happening", ["withdrawn", "opposed", "erased", "invalidated", "ended"])
async def test_a_closed_id_is_never_granted_again(world: World, happening: str) -> None:
    """Grant after withdrawal, even with the same bytes, needs a new id."""
    a, agreed = os.urandom(16), terms(world)
    await world.ledger.grant(a, agreed, canonical(JEANNE), Evidence("online"), OPERATOR)
    await world.ledger.withdraw(a, happening)
    with pytest.raises(Refused) as refused:
        await world.ledger.grant(a, agreed, canonical(JEANNE), Evidence("online"), OPERATOR)
    assert refused.value.code == Code.CONFLICT


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"purpose": "autre"}, Code.HABILITATION_ABSENT),
        ({"data_set": "cnaf.autre.v1"}, Code.HABILITATION_ABSENT),
        ({"scopes": ("cnaf_salaires",)}, Code.HABILITATION_ABSENT),
        ({"scopes": ()}, Code.HABILITATION_ABSENT),
        ({"recipient": "11000000000011"}, Code.HABILITATION_ABSENT),
        ({"max_uses": 0}, Code.NOT_YET_VALID),
        ({"not_after_ms": 0}, Code.NOT_YET_VALID),
    ],
)
async def test_a_grant_outside_the_habilitation_is_refused(
    world: World, changes: dict[str, object], code: Code
) -> None:
    """What the collectivity may not ask, or what is never valid, cannot be agreed to, and leaves nothing."""
    a = os.urandom(16)
    with pytest.raises(Refused) as refused:
        await world.ledger.grant(a, terms(world, **changes), canonical(JEANNE), Evidence("online"), OPERATOR)
    assert refused.value.code == code
    assert await world.ledger.lookup([a]) == [None]


async def test_a_grant_to_an_operator_without_key_is_refused_and_leaves_nothing(world: World) -> None:
    """No recipient key of this operator: no capsule, no grant, no row."""
    a, size = os.urandom(16), await log_size(world)
    with pytest.raises(Refused) as refused:
        await world.ledger.grant(a, terms(world), canonical(JEANNE), Evidence("online"), "130025265")
    assert refused.value.code == Code.DELEGATION_ABSENT
    assert await world.ledger.lookup([a]) == [None]
    assert await log_size(world) == size


async def test_a_refusal_is_a_fact_without_a_key(world: World) -> None:
    """The person said no: no key exists, requests are refused, the id cannot be given afterwards."""
    a = os.urandom(16)
    await world.ledger.refuse(a, terms(world), Evidence("online"))
    assert (await held(world, a)).state is State.REFUSED
    assert not await world.ledger.has_key(a)
    size = await log_size(world)
    await world.ledger.refuse(a, terms(world), Evidence("online"))
    assert await log_size(world) == size
    with pytest.raises(Refused):
        await world.ledger.grant(a, terms(world), canonical(JEANNE), Evidence("online"), OPERATOR)


async def test_narrowing_kills_answers_in_flight(world: World) -> None:
    """New key and certificate: an answer with the old scopes does not open; a new request is answered within the new ones."""
    a = await world.give()
    _, old = await world.answered(a)
    _, told = await world.answered(a)
    await world.told(told)
    grant = await world.ledger.narrow(a, QUOTIENT_ONLY, OPERATOR)
    assert (await world.told(old)).reason == Code.CERTIFICATE_OUTDATED
    again = await world.told(told)
    assert (again.code, again.delivery, again.inner) == ("released", "cut", b"")
    world.wallet.keep(a, grant.capsule)
    asked, answer = await world.answered(a)
    assert asked.certificate.scopes == QUOTIENT_ONLY and asked.certificate.epoch == 2
    assert (await world.told(answer)).delivery == "key"


@pytest.mark.parametrize("scopes", [(), ("cnaf_salaires",), (*QUOTIENT_ONLY, "cnaf_salaires")])
async def test_narrowing_only_narrows(world: World, scopes: tuple[str, ...]) -> None:
    """Nothing, or something never agreed to, is no narrowing."""
    a = await world.give()
    with pytest.raises(Refused) as refused:
        await world.ledger.narrow(a, scopes, OPERATOR)
    assert refused.value.code == Code.SCOPE_EXCEEDED
    assert (await held(world, a)).version == 1


async def test_what_is_closed_or_unknown_is_not_narrowed(world: World) -> None:
    """No key is minted for an authorisation that is withdrawn or was never given."""
    a = await world.give()
    await world.ledger.withdraw(a, "withdrawn")
    for authorisation, code in ((a, Code.WITHDRAWN), (bytes(16), Code.AUTHORISATION_UNKNOWN)):
        with pytest.raises(Refused) as refused:
            await world.ledger.narrow(authorisation, QUOTIENT_ONLY, OPERATOR)
        assert refused.value.code == code
    assert not await world.ledger.has_key(a)


async def test_the_sweep_records_expiry_once(world: World) -> None:
    """Expired: a leaf, an event, the key retired; a second sweep finds nothing."""
    a = await world.give(not_after_ms=world.clock.now_ms() + 1_000)
    world.clock.advance(999)
    assert await world.ledger.sweep() == 0
    world.clock.advance(1)
    assert (await world.ledger.sweep(), await world.ledger.sweep()) == (1, 0)
    assert (await held(world, a)).state is State.EXPIRED
    assert [e.kind for e in await world.ledger.entries(a)] == ["given", "expired"]
    assert (await world.ledger.events(0, 1_000))[-1].state == "expired"


async def test_an_unconfirmed_answer_survives_expiry(world: World) -> None:
    """Expiry retires the key: a release that was not confirmed is told again with its key."""
    a = await world.give(not_after_ms=world.clock.now_ms() + 1_000)
    _, answer = await world.answered(a)
    await world.told(answer)
    world.clock.advance(1_000)
    await world.ledger.sweep()
    assert (await world.told(answer)).delivery == "key"


@pytest.mark.parametrize(("back_ms", "released"), [(5_000, True), (5_001, False)])
async def test_a_clock_that_goes_back_stops_releases(world: World, back_ms: int, released: bool) -> None:
    """More than 5 s back: no release, and withdrawals are still taken, at the last time known."""
    a = await world.give()
    _, answer = await world.answered(a)
    before_ms = world.clock.now_ms()
    world.clock.wall_ms -= back_ms
    if released:
        assert codes(await world.release(answer)) == ["released"]
    else:
        with pytest.raises(Unavailable):
            await world.release(answer)
    ack = await world.ledger.withdraw(a, "withdrawn")
    assert ack.at_ms == before_ms

"""The whole life of an authorisation: asked for, given in part, renewed, bound anew, opposed, ended; on consent or on a legal basis."""

from __future__ import annotations

import os
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from consent.core.facts import Evidence, Representation, State, Terms
from consent.grants import ASSISTED_A_DAY_MAX
from consent.stores import tables as t
from exchange.core.errors import Code
from exchange.core.identity import Identity, canonical
from exchange.introduction import LEGAL_REFERENCE, ONLINE, record
from exchange.introduction import terms as agreement_terms
from exchange.ports import Refused
from tests.world import JEANNE, OPERATOR, PAUL, RECIPIENT, World, held, log_size

COUNTER = Evidence("counter", "agent-7", b"e" * 32)
LEGAL = {"basis": "legal", "legal_reference": LEGAL_REFERENCE, "notice_hash": b"n" * 32, "notice_version": "2026-1"}
CHILD = Identity("MARTIN", prenoms=("Léo",), date_naissance="2016-05-01", sexe_etat_civil="M")


def terms(world: World, **changes: object) -> Terms:
    return agreement_terms(RECIPIENT, world.clock.now_ms(), **changes)


async def record_one(
    world: World, agreed: Terms, who: Identity = JEANNE, evidence: Evidence = ONLINE, a: bytes = b""
) -> bytes:
    a = a or os.urandom(16)
    await record(world.ledger, world.wallet, a, agreed, who, evidence)
    return a


async def kinds(world: World, authorisation: bytes) -> list[str]:
    return [entry.kind for entry in await world.ledger.entries(authorisation)]


def stored(world: World, authorisation: bytes) -> Any:
    with world.engine.begin() as connection:
        return connection.execute(select(t.authorisation).where(t.authorisation.c.id == authorisation)).one()


async def refused(work: Any) -> Code:
    with pytest.raises(Refused) as error:
        await work
    return error.value.code


async def test_what_is_asked_for_has_no_key_until_it_is_given(world: World) -> None:
    """Requested: a fact without person or key; given, it serves, with fewer data if the person says so."""
    a, asked = os.urandom(16), terms(world)
    await world.ledger.request(a, asked, ONLINE, OPERATOR)
    await world.ledger.request(a, asked, ONLINE, OPERATOR)
    assert (await held(world, a)).state is State.REQUESTED and not await world.ledger.has_key(a)
    assert await world.ledger.terms(a) == asked
    await record_one(world, msgspec.structs.replace(asked, scopes=asked.scopes[:1]), a=a)
    assert (await held(world, a)).scopes == asked.scopes[:1]
    _, answer = await world.answered(a)
    assert (await world.told(answer)).delivery == "key"
    assert await kinds(world, a) == ["requested", "given", "released"]
    assert await world.ledger.verify() == []


async def test_more_than_was_asked_is_never_given(world: World) -> None:
    """Another purpose, a longer life or other terms under the id that was asked for: conflict."""
    a, asked = os.urandom(16), terms(world, max_uses=2)
    await world.ledger.request(a, asked, ONLINE, OPERATOR)
    assert await refused(world.ledger.request(a, terms(world, max_uses=3), ONLINE, OPERATOR)) is Code.CONFLICT
    assert await refused(record_one(world, terms(world, max_uses=3), a=a)) is Code.CONFLICT
    assert (await held(world, a)).state is State.REQUESTED


@pytest.mark.parametrize(
    ("happening", "state"), [("withdrawn", State.ENDED), ("opposed", State.REFUSED), ("ended", State.ENDED)]
)
async def test_what_is_asked_for_can_be_closed(world: World, happening: str, state: State) -> None:
    """Closed before it was given: acknowledged, and never given afterwards."""
    a, asked = os.urandom(16), terms(world)
    await world.ledger.request(a, asked, ONLINE, OPERATOR)
    ack = await world.ledger.withdraw(a, happening)
    assert (ack.state, (await held(world, a)).state) == (state, state)
    assert await refused(record_one(world, asked, a=a)) is Code.CONFLICT
    assert await world.ledger.withdraw(a, happening) == ack


async def test_a_request_nobody_answers_ends(world: World) -> None:
    """Past its validity what was asked for is ended, by the sweep and once."""
    a = os.urandom(16)
    await world.ledger.request(a, terms(world, not_after_ms=world.clock.now_ms() + 1_000), ONLINE, OPERATOR)
    world.clock.advance(1_000)
    assert (await world.ledger.sweep(), await world.ledger.sweep()) == (1, 0)
    assert (await held(world, a)).state is State.ENDED


async def test_saying_no_closes_what_is_live(world: World) -> None:
    """A refusal of what was given is an opposition: the key is destroyed at once, and it can be acknowledged."""
    a = await world.give()
    await world.ledger.refuse(a, terms(world), ONLINE)
    assert (await held(world, a)).state is State.OPPOSED and not await world.ledger.has_key(a)
    ack = await world.ledger.withdraw(a, "opposed")
    assert (ack.state, await kinds(world, a)) == (State.OPPOSED, ["given", "refused"])


@pytest.mark.parametrize("before", ["live", "expired", "used_up"])
async def test_a_renewal_gives_time_and_uses(world: World, before: str) -> None:
    """Live, expired or used up: the same person agrees anew; uses made before stay counted; the old key dies."""
    a = await world.give(max_uses=1, not_after_ms=world.clock.now_ms() + 10_000)
    _, first = await world.answered(a)
    if before == "used_up":
        await world.confirm(await world.told(first))
    if before == "expired":
        world.clock.advance(10_000)
        await world.ledger.sweep()
    assert (await held(world, a)).state == before
    grant = await world.ledger.renew(a, terms(world, max_uses=2), ONLINE, OPERATOR)
    world.wallet.keep(a, grant.capsule)
    found = await held(world, a)
    assert (found.state, found.max_uses - found.uses) == (State.LIVE, 2)
    if before == "live":
        assert (await world.told(first)).reason == Code.CERTIFICATE_OUTDATED
    for _ in range(2):
        assert (await world.told((await world.answered(a))[1])).delivery == "key"
    assert (await held(world, a)).state is State.USED_UP
    assert (await held(world, a)).uses == (await kinds(world, a)).count("released")


async def test_a_renewal_adds_no_data_and_revives_nothing_closed(world: World) -> None:
    """Other scopes or purposes, a time already past, an unknown or withdrawn agreement: refused, each with its reason."""
    a, agreed = await world.give(scopes=("cnaf_enfants",)), terms(world)
    renew = world.ledger.renew
    assert await refused(renew(a, agreed, ONLINE, OPERATOR)) is Code.SCOPE_EXCEEDED
    past = terms(world, scopes=("cnaf_enfants",), not_before_ms=0, not_after_ms=world.clock.now_ms())
    assert await refused(renew(a, past, ONLINE, OPERATOR)) is Code.EXPIRED
    assert await refused(renew(bytes(16), agreed, ONLINE, OPERATOR)) is Code.AUTHORISATION_UNKNOWN
    await world.ledger.withdraw(a, "withdrawn")
    assert await refused(renew(a, agreed, ONLINE, OPERATOR)) is Code.WITHDRAWN


async def test_a_corrected_identity_binds_anew(world: World) -> None:
    """Rebound: another commitment and subject reference under the same id; what was sealed for the old certificate does not open."""
    a = await world.give()
    before, (_, old) = stored(world, a), await world.answered(a)
    corrected = Identity("MARTIN", prenoms=("Jeanne", "Marie"), date_naissance="1980-01-02", sexe_etat_civil="F")
    grant = await world.ledger.rebind(a, canonical(corrected), ONLINE, OPERATOR)
    world.wallet.keep(a, grant.capsule)
    after = stored(world, a)
    assert before.commitment != after.commitment and before.subject_ref != after.subject_ref
    assert (await world.told(old)).reason == Code.CERTIFICATE_OUTDATED
    capsule = world.wallet.capsule(a)
    assert capsule is not None and capsule.identity == canonical(corrected)
    assert world.certificate(a).commitment == after.commitment
    assert (await world.told((await world.answered(a))[1])).delivery == "key"


async def test_a_capsule_can_be_had_again(world: World) -> None:
    """The current certificate and identity, sealed afresh to the operator's key; to nobody else, and not once erased."""
    a = await world.give()
    first = world.wallet.capsule(a)
    world.wallet.keep(a, (await world.ledger.capsule(a, OPERATOR)).capsule)
    assert world.wallet.capsule(a) == first
    assert await refused(world.ledger.capsule(a, "130025265")) is Code.DELEGATION_ABSENT
    assert await refused(world.ledger.capsule(bytes(16), OPERATOR)) is Code.AUTHORISATION_UNKNOWN
    await world.ledger.withdraw(a, "erased")
    assert await refused(world.ledger.capsule(a, OPERATOR)) in (Code.ERASED, Code.AUTHORISATION_UNKNOWN)


async def test_a_legal_basis_needs_its_text_and_its_notice(world: World) -> None:
    """The habilitation names the same text, the notice shown is known by hash and version; it then serves like an agreement."""
    assert await refused(record_one(world, terms(world, **LEGAL | {"notice_version": ""}))) is Code.NOTICE_MISSING
    assert (
        await refused(record_one(world, terms(world, **LEGAL | {"legal_reference": "autre"})))
        is Code.HABILITATION_ABSENT
    )
    a = await record_one(world, terms(world, **LEGAL))
    assert world.certificate(a).basis == "legal"
    assert (await world.told((await world.answered(a))[1])).delivery == "key"


async def test_an_opposition_outlives_its_id(world: World) -> None:
    """Who opposed a legal basis is not asked about again under another id; their own agreement still can be recorded."""
    a = await record_one(world, terms(world, **LEGAL))
    await world.ledger.withdraw(a, "opposed", COUNTER)
    assert await refused(record_one(world, terms(world, **LEGAL))) is Code.OPPOSED
    await record_one(world, terms(world, **LEGAL), PAUL)
    await record_one(world, terms(world))


async def test_who_spoke_for_the_person_is_a_reference(world: World) -> None:
    """A parent for a child: kept as a pairwise reference, the same as their own at this recipient; never a name."""
    spoke = msgspec.structs.replace(COUNTER, representation=Representation("parent", canonical(JEANNE)))
    a, own = await record_one(world, terms(world), CHILD, spoke), await world.give(JEANNE)
    row = stored(world, a)
    assert (row.representation, row.representative_ref) == ("parent", stored(world, own).subject_ref)
    assert (row.channel, row.agent, row.operator) == ("counter", "agent-7", OPERATOR)
    assert await refused(record_one(world, terms(world), PAUL, spoke)) is Code.REPRESENTATION_INVALID


async def test_a_level_of_assurance_is_required_and_obtained(world: World) -> None:
    """Less than the terms require is refused; both levels are kept."""
    agreed = terms(world, assurance="eidas2")
    assert await refused(record_one(world, agreed)) is Code.ASSURANCE_TOO_LOW
    row = stored(world, await record_one(world, agreed, evidence=Evidence("online", assurance="eidas3")))
    assert (row.assurance_required, row.assurance) == ("eidas2", "eidas3")


async def test_one_agent_records_so_many_agreements_a_day(world: World) -> None:
    """Past the quota an agent's next record waits until tomorrow; other agents and people's own acts do not."""
    given = await world.give()
    row = dict(stored(world, given)._mapping)
    with world.engine.begin() as connection:
        connection.execute(
            t.authorisation.insert(),
            [row | {"id": os.urandom(16), "channel": "paper", "agent": "agent-7"} for _ in range(ASSISTED_A_DAY_MAX)],
        )
    assert await refused(record_one(world, terms(world), evidence=COUNTER)) is Code.AGENT_QUOTA
    await record_one(world, terms(world), evidence=msgspec.structs.replace(COUNTER, agent="agent-8"))
    await record_one(world, terms(world))
    world.clock.advance(86_400_000)
    await record_one(world, terms(world), evidence=COUNTER)


async def test_the_collectivity_ends_what_has_expired(world: World) -> None:
    """Ended: a fact of its own after expiry too, with an acknowledgement."""
    a = await world.give(not_after_ms=world.clock.now_ms() + 1_000)
    world.clock.advance(1_000)
    await world.ledger.sweep()
    ack = await world.ledger.withdraw(a, "ended")
    assert (ack.state, await kinds(world, a)) == (State.ENDED, ["given", "expired", "ended"])
    size = await log_size(world)
    assert await world.ledger.withdraw(a, "ended") == ack and await log_size(world) == size

"""What a person may see of their own agreements, by their identity or by the code on a receipt, on both stores."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core.citizen import same_person
from consent.core.codes import code_digest, short_code
from consent.core.facts import Evidence, Representation, State, Verdict
from consent.stores import tables as t
from consent.transaction import reading
from exchange.core.errors import Code
from exchange.core.identity import Identity, canonical
from exchange.introduction import introduce_collectivity, record, terms
from exchange.ports import Refused
from exchange.wallet import Wallet
from tests.world import JEANNE, PAUL, RECIPIENT, World

COUNTER = Evidence("counter", "agent-7", b"e" * 32)


async def test_a_person_sees_all_theirs_and_no_other(world: World) -> None:
    """With two collectivities, whatever the state; what is erased is gone; somebody else's is not there."""
    first, second = await world.give(), await world.give()
    await world.give(PAUL)
    other = Wallet.new("21690123100011", "216901231")
    await introduce_collectivity(world.ledger, other, world.clock.now_ms())
    world.clock.advance(1_000)
    elsewhere, agreed = b"e" * 16, terms(other.recipient, world.clock.now_ms())
    await record(world.ledger, other, elsewhere, agreed, JEANNE, Evidence("online"))
    await world.ledger.withdraw(first, "withdrawn")
    seen = {one.id: one for one in await world.ledger.agreements(canonical(JEANNE))}
    assert seen.keys() == {first, second, elsewhere}
    assert (await world.ledger.agreements(canonical(JEANNE)))[0].id == elsewhere
    assert seen[first].state is State.WITHDRAWN and seen[second].state is State.LIVE
    assert seen[first].acknowledged == await world.ledger.withdraw(first, "withdrawn")
    await world.ledger.withdraw(second, "erased")
    assert {one.id for one in await world.ledger.agreements(canonical(JEANNE))} == {first, elsewhere}
    with pytest.raises(Refused, match=Code.AUTHORISATION_UNKNOWN):
        await world.ledger.agreement(second)


async def test_who_spoke_for_another_sees_it_too(world: World) -> None:
    """A parent sees what they gave for their child, and that it was for another."""
    child = Identity("MARTIN", prenoms=("Léo",), date_naissance="2019-05-01", sexe_etat_civil="M")
    evidence = Evidence("online", representation=Representation("parent", canonical(JEANNE)))
    await record(world.ledger, world.wallet, b"c" * 16, terms(RECIPIENT, world.clock.now_ms()), child, evidence)
    (seen,) = await world.ledger.agreements(canonical(JEANNE))
    assert (seen.id, seen.by_another) == (b"c" * 16, "parent")
    assert (await world.ledger.agreements(canonical(child)))[0].id == b"c" * 16


async def test_each_use_is_told(world: World) -> None:
    """When, how it ended, what the State was asked for, and whether the answer arrived."""
    authorisation = await world.give()
    asked, answer = await world.answered(authorisation)
    outcome = await world.told(answer)
    (use,) = await world.ledger.uses(authorisation)
    assert (use.request, use.code, use.scopes, use.delivery) == (
        asked.key.request, "released", asked.attempt.scopes, "unconfirmed",
    )  # fmt: skip
    await world.confirm(outcome)
    refused = world.ask(authorisation)
    verdict = Verdict(refused.key, refused.digest, refused.attempt.deadline_ms, "failed", Code.PROVIDER_UNAVAILABLE)
    world.clock.advance(1_000)
    await world.release(verdict)
    told = await world.ledger.uses(authorisation)
    assert [(one.code, one.delivery, one.scopes == ()) for one in told] == [
        ("failed", "none", True),
        ("released", "key", False),
    ]
    assert await world.ledger.uses(b"\0" * 16) == []


async def test_the_code_of_a_receipt_opens_that_agreement(world: World) -> None:
    """It opens once the receipt was given, however it is typed; the store holds no code, and no other opens anything."""
    authorisation = await world.give()
    code = short_code(world.keys.secrets["pseudonym.key"], authorisation)
    with pytest.raises(Refused, match=Code.AUTHORISATION_UNKNOWN):
        await world.ledger.agreement_of_code(code)
    receipt = json.loads(await world.ledger.receipt(authorisation))
    assert receipt["accord:shortCode"] == code
    await world.ledger.receipt(authorisation)
    for typed in (code, code.lower(), code.replace("-", ""), f" {code.replace('-', ' ')}"):
        assert (await world.ledger.agreement_of_code(typed)).id == authorisation
    with reading(world.engine) as connection:
        (row,) = connection.execute(t.short_code.select()).all()
    assert (row.digest, row.authorisation) == (code_digest(code), authorisation)
    for typed in ("", code[:-1], "0000-0000-0000-0000", code[:-1] + ("0" if code[-1] != "0" else "1")):
        with pytest.raises(Refused, match=Code.AUTHORISATION_UNKNOWN):
            await world.ledger.agreement_of_code(typed)
    await world.ledger.withdraw(authorisation, "erased")
    with pytest.raises(Refused, match=Code.AUTHORISATION_UNKNOWN):
        await world.ledger.agreement_of_code(code)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16))
def test_a_code_is_eighty_bits_one_can_read_aloud(key: bytes, authorisation: bytes) -> None:
    """Sixteen characters without I, L, O or U; typing O for 0 or L for 1 is the same."""
    code = short_code(key, authorisation)
    assert len(code.replace("-", "")) == 16 and not set("ILOU") & set(code)
    assert code_digest(code.replace("0", "o").replace("1", "l")) == code_digest(code)
    assert short_code(key, authorisation) == code != short_code(bytes(31) + b"x", authorisation)


async def test_an_assisted_agreement_is_claimed_by_its_person(world: World) -> None:
    """What an agent wrote without accents is the person's own once they logged in; nobody else can claim it."""
    typed = Identity("LHERONNIERE", prenoms=("ZOE",), date_naissance="1980-01-02", sexe_etat_civil="F")
    known = Identity("L'Héronnière", prenoms=("Zoé", "Anne"), date_naissance="1980-01-02", sexe_etat_civil="F")
    agreed = terms(RECIPIENT, world.clock.now_ms())
    await record(world.ledger, world.wallet, b"a" * 16, agreed, typed, COUNTER)
    assert await world.ledger.agreements(canonical(known)) == []
    with pytest.raises(Refused, match=Code.EVIDENCE_INVALID):
        await world.ledger.claim(b"a" * 16, canonical(PAUL), Evidence("online"))
    await world.ledger.claim(b"a" * 16, canonical(known), Evidence("online"))
    (seen,) = await world.ledger.agreements(canonical(known))
    assert (seen.id, seen.state, seen.channel) == (b"a" * 16, State.LIVE, "counter")
    await world.ledger.withdraw(b"a" * 16, "withdrawn")
    with pytest.raises(Refused, match=Code.AUTHORISATION_UNKNOWN):
        await world.ledger.claim(b"a" * 16, canonical(known), Evidence("online"))


@pytest.mark.parametrize(
    "change",
    [{"nom_naissance": "MARTINE"}, {"prenoms": ("Paul",)}, {"date_naissance": "1980-01-03"}, {"sexe_etat_civil": "M"}],
)
def test_who_differs_in_anything_told_is_somebody_else(change: dict[str, str]) -> None:
    """Letters, not their case or accents; what one side does not tell does not count."""
    assert same_person(JEANNE, dataclasses.replace(JEANNE, nom_naissance="Mártin", sexe_etat_civil=""))
    assert not same_person(JEANNE, dataclasses.replace(JEANNE, **change))

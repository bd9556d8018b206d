"""With issuers configured a grant rests on what they vouch for: protocol §7."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from consent.core.agreement import reference_of
from consent.core.facts import Evidence, Representation, Terms, Tokens
from consent.issuers import DECLARED, Issuers, IssuersFile, read_issuers, write_issuers
from consent.ledger import Ledger
from exchange.core.errors import Code
from exchange.core.identity import Identity, canonical
from exchange.introduction import LEGAL_REFERENCE, record
from exchange.introduction import terms as agreement_terms
from exchange.ports import Refused, Unavailable
from tests.vouching import AGENTS, CITIZENS, CLIENT, OTHER, Login, issuers
from tests.world import JEANNE, PAUL, RECIPIENT, World

ISSUERS = issuers()


@pytest.fixture
def strict(world: World) -> World:
    world.ledger = Ledger(world.engine, world.keys, world.clock, lambda _: world.connector.mac, lambda: ISSUERS)
    return world


def terms(world: World, **changes: object) -> Terms:
    return agreement_terms(RECIPIENT, world.clock.now_ms(), **changes)


async def reason(world: World, login: Login, evidence: Evidence, who: Any = JEANNE) -> Code | None:
    try:
        await record(world.ledger, world.wallet, login.authorisation, login.terms, who, evidence)
    except Refused as refused:
        return refused.code
    return None


async def test_a_login_for_these_terms_is_an_agreement(strict: World) -> None:
    """Signature, audience, level, freshness, nonce and pivot agree: the grant is written, with the key that signed in its leaf."""
    login = Login(strict.clock.now_ms(), terms(strict), os.urandom(16))
    assert await reason(strict, login, login.evidence()) is None
    assert (await strict.ledger.lookup([login.authorisation]))[0] is not None


async def test_an_agents_login_covers_an_assisted_agreement(strict: World) -> None:
    """At the counter the agent's own login, for these terms, is the evidence; the agent named is the one who logged in."""
    login = Login(strict.clock.now_ms(), terms(strict), os.urandom(16), agent=True)
    assert await reason(strict, login, login.evidence()) is None
    for named in ("s-1", "s-2", reference_of(AGENTS, "s-2"), reference_of(CITIZENS, "s-1")):
        other = Login(strict.clock.now_ms(), terms(strict), os.urandom(16), agent=True)
        assert await reason(strict, other, other.evidence(agent=named)) is Code.EVIDENCE_INVALID, named


async def test_without_tokens_nothing_is_granted(strict: World) -> None:
    """Where issuers are configured a declaration is not enough."""
    login = Login(strict.clock.now_ms(), terms(strict), os.urandom(16))
    assert await reason(strict, login, Evidence("online")) is Code.EVIDENCE_MISSING
    assert await reason(strict, login, Evidence("paper", "s-1", b"e" * 32)) is Code.EVIDENCE_MISSING


SPOILT: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://else.test"},
    "an agent's issuer": {"iss": AGENTS},
    "another client": {"aud": "unknown"},
    "another recipient's client": {"aud": "client-of-lyon"},
    "two audiences": {"aud": [CLIENT, "client-of-lyon"]},
    "a login of an hour ago": {"iat": 3_600},
    "a login to come": {"iat": -3_600},
    "an expired token": {"exp": 120},
    "another nonce": {"nonce": "00" * 32},
    "no level": {"acr": None},
    "an unknown level": {"acr": "eidas9"},
}


@pytest.mark.parametrize("spoilt", sorted(SPOILT))
async def test_a_login_that_does_not_cover_the_terms_is_refused(strict: World, spoilt: str) -> None:
    """Each claim counts."""
    login = Login(strict.clock.now_ms(), terms(strict), os.urandom(16))
    change = {k: login.now_s - v if k in ("iat", "exp") else v for k, v in SPOILT[spoilt].items()}
    login.claims |= change
    assert await reason(strict, login, login.evidence()) is Code.EVIDENCE_INVALID
    assert await strict.ledger.lookup([login.authorisation]) == [None]


@pytest.mark.parametrize(
    "change", [{"sub": "s-2"}, {"family_name": "DURAND"}, {"birthdate": "1980-01-03"}, {"aud": "else"}]
)
async def test_a_userinfo_of_somebody_else_is_refused(strict: World, change: dict[str, Any]) -> None:
    """The pivot comes from the same login, and is the agreement's identity."""
    login = Login(strict.clock.now_ms(), terms(strict), os.urandom(16))
    login.userinfo |= change
    assert await reason(strict, login, login.evidence()) is Code.EVIDENCE_INVALID


async def test_a_login_is_of_one_person_for_one_agreement_once(strict: World) -> None:
    """Somebody else's identity, another authorisation, other terms or a second use of the nonce: refused."""
    login = Login(strict.clock.now_ms(), terms(strict), os.urandom(16))
    evidence = login.evidence()
    assert await reason(strict, login, evidence, PAUL) is Code.EVIDENCE_INVALID
    other = Login(strict.clock.now_ms(), terms(strict), os.urandom(16))
    assert await reason(strict, other, evidence) is Code.EVIDENCE_INVALID
    wider = Login(strict.clock.now_ms(), terms(strict, max_uses=99), login.authorisation)
    assert await reason(strict, wider, evidence) is Code.EVIDENCE_INVALID
    assert await reason(strict, login, evidence) is None
    await strict.ledger.withdraw(login.authorisation, "erased")
    assert await reason(strict, login, evidence) is Code.CONFLICT


async def test_a_forged_token_is_refused(strict: World) -> None:
    """Another key under the same name, no signature, another algorithm, rubbish: refused, and nothing is said of why."""
    login = Login(strict.clock.now_ms(), terms(strict), os.urandom(16))
    good = login.evidence().tokens
    assert good is not None
    login.key = OTHER
    forged = [
        login.sign(login.claims),
        good.id_token.rpartition(".")[0] + ".",
        "e30.e30.",
        "",
        "a.b.c",
        "é",
        good.id_token[:-2],
    ]
    for token in forged:
        evidence = Evidence("online", tokens=Tokens(token, good.userinfo, login.random))
        assert await reason(strict, login, evidence) is Code.EVIDENCE_INVALID, token


async def test_a_level_is_what_the_login_reached(strict: World) -> None:
    """Evidence that claims eidas2 on a login of eidas1 is refused."""
    login = Login(strict.clock.now_ms(), terms(strict, assurance="eidas2"), os.urandom(16))
    assert await reason(strict, login, login.evidence(assurance="eidas2")) is Code.EVIDENCE_INVALID
    login.claims["acr"] = "eidas2"
    assert await reason(strict, login, login.evidence(assurance="eidas2")) is None


async def test_a_declaration_counts_only_where_the_file_says_so(world: World) -> None:
    """A sandbox's mark lets grants without tokens be recorded; tokens that are there are verified all the same."""
    marked = msgspec.structs.replace(ISSUERS, declared=True)
    world.ledger = Ledger(world.engine, world.keys, world.clock, lambda _: world.connector.mac, lambda: marked)
    login = Login(world.clock.now_ms(), terms(world), os.urandom(16))
    login.claims["nonce"] = "00" * 32
    assert await reason(world, login, login.evidence()) is Code.EVIDENCE_INVALID
    assert await reason(world, login, Evidence("online")) is None
    world.ledger = Ledger(world.engine, world.keys, world.clock, lambda _: world.connector.mac, Issuers)
    assert (
        await reason(world, Login(world.clock.now_ms(), terms(world), os.urandom(16)), Evidence("online"))
        is Code.EVIDENCE_MISSING
    )


async def test_what_is_agreed_to_anew_is_vouched_for_too(strict: World) -> None:
    """A renewal and a corrected identity need a login for their terms, as the agreement did."""
    login = Login(strict.clock.now_ms(), terms(strict), os.urandom(16))
    assert await reason(strict, login, login.evidence()) is None
    held, operator = await strict.ledger.terms(login.authorisation), strict.wallet.operator
    for evidence, code in ((Evidence("online"), Code.EVIDENCE_MISSING), (login.evidence(), Code.EVIDENCE_INVALID)):
        with pytest.raises(Refused, match=code):
            await strict.ledger.renew(login.authorisation, held, evidence, operator)
        with pytest.raises(Refused, match=code):
            await strict.ledger.rebind(login.authorisation, canonical(JEANNE), evidence, operator)
    again = Login(strict.clock.now_ms(), held, login.authorisation)
    assert await strict.ledger.renew(login.authorisation, held, again.evidence(), operator)


async def test_the_law_needs_no_login(strict: World) -> None:
    """Its text and its notice are the evidence, recorded as the recipient's word: no level is claimed by it, no agent, and an agreement of
    the person's own is none."""
    law = {"basis": "legal", "legal_reference": LEGAL_REFERENCE, "notice_hash": b"n" * 32, "notice_version": "2"}
    login = Login(strict.clock.now_ms(), terms(strict, **law), os.urandom(16))
    assert await reason(strict, login, Evidence("online", assurance="eidas2")) is Code.EVIDENCE_MISSING
    assert await reason(strict, login, Evidence("paper", "s-1", b"e" * 32)) is Code.EVIDENCE_MISSING
    assert await reason(strict, login, Evidence("online")) is None
    with pytest.raises(Refused, match=Code.EVIDENCE_MISSING):
        await strict.ledger.claim(login.authorisation, canonical(JEANNE), Evidence("online"))


LEO = Identity("MARTIN", prenoms=("Léo",), date_naissance="2016-05-01", sexe_etat_civil="M")


async def test_a_parents_login_speaks_for_their_child(strict: World) -> None:
    """Online the parent's own login covers the terms; the child's is not asked for, another parent's does not do, nor an adult's child."""
    parent = Representation("parent", canonical(JEANNE), b"t" * 32)
    login = Login(strict.clock.now_ms(), terms(strict), os.urandom(16))
    assert await reason(strict, login, login.evidence(), LEO) is Code.EVIDENCE_INVALID
    another = Representation("parent", canonical(PAUL), b"t" * 32)
    assert await reason(strict, login, login.evidence(representation=another), LEO) is Code.EVIDENCE_INVALID
    assert await reason(strict, login, login.evidence(representation=parent), PAUL) is Code.REPRESENTATION_INVALID
    mandate = Representation("mandate", canonical(JEANNE), b"t" * 32)
    assert await reason(strict, login, login.evidence(representation=mandate), PAUL) is Code.EVIDENCE_INVALID
    assert await reason(strict, login, login.evidence(representation=parent), LEO) is None
    (seen,) = await strict.ledger.agreements(canonical(JEANNE))
    assert (seen.id, seen.by_another) == (login.authorisation, "parent")
    assert await strict.ledger.agreements(canonical(PAUL)) == []


def test_issuers_are_read_from_a_file(tmp_path: Path) -> None:
    """A JSON object; none where the file is absent; a file that is not one stops the ledger."""
    path = tmp_path / "issuers.json"
    assert read_issuers(path) == Issuers()
    write_issuers(path, ISSUERS)
    assert read_issuers(path) == ISSUERS
    path.write_text(json.dumps({"issuer": 1}))
    with pytest.raises(ValueError):
        read_issuers(path)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    """Keys change while the ledger serves; a file that cannot be read vouches for nobody, until it can."""
    path = tmp_path / "issuers.json"
    issuers = IssuersFile(path)
    assert issuers() == Issuers()
    write_issuers(path, ISSUERS)
    assert issuers() == ISSUERS
    path.write_text("{")
    with pytest.raises(Unavailable):
        issuers()
    write_issuers(path, DECLARED)
    assert issuers() == DECLARED

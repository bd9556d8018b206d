"""What an agreement must hold to be recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core.agreement import ASSURANCES, extends, fits, grant_nonce, minor, objection, terms_bytes
from consent.core.facts import Evidence, Representation, Terms
from consent.core.pivot import matches
from exchange.core.errors import Code
from exchange.core.identity import Identity, canonical
from tests.world import JEANNE, PAUL

NOW_MS = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp() * 1000)
TERMS = Terms("21130055300016", "cnaf", "cnaf.quotient-familial.v1", "cantine", ("a", "b"), NOW_MS, NOW_MS + 1_000)
CHILD = Identity("MARTIN", prenoms=("Léo",), date_naissance="2016-05-01", sexe_etat_civil="M")
MANDATE = Representation("mandate", canonical(PAUL), b"m" * 32)
PARENT = Representation("parent", canonical(JEANNE))


@pytest.mark.parametrize(
    ("terms", "evidence", "code"),
    [
        ({}, {}, None),
        ({"not_after_ms": NOW_MS}, {}, Code.NOT_YET_VALID),
        ({"max_uses": 0}, {}, Code.NOT_YET_VALID),
        ({"data_life_days": -1}, {}, Code.NOT_YET_VALID),
        ({"basis": "legal"}, {}, Code.NOTICE_MISSING),
        ({"basis": "legal", "legal_reference": "CRPA L114-8", "notice_hash": b"n" * 32}, {}, Code.NOTICE_MISSING),
        ({"basis": "legal", "legal_reference": "CRPA L114-8", "notice_hash": b"n" * 32, "notice_version": "2"}, {}, None),
        ({"assurance": "eidas2"}, {}, Code.ASSURANCE_TOO_LOW),
        ({"assurance": "eidas2"}, {"assurance": "eidas3"}, None),
        ({}, {"channel": "phone"}, Code.EVIDENCE_MISSING),
        ({}, {"channel": "paper", "agent": "agent-7"}, Code.EVIDENCE_MISSING),
        ({}, {"channel": "counter", "agent": "agent-7", "evidence_hash": b"e" * 32}, None),
        ({}, {"representation": PARENT}, Code.REPRESENTATION_INVALID),
        ({}, {"representation": MANDATE}, None),
        ({}, {"representation": Representation("mandate", canonical(PAUL))}, Code.REPRESENTATION_INVALID),
        ({}, {"representation": Representation("mandate", b"nobody", b"m" * 32)}, Code.REPRESENTATION_INVALID),
        ({}, {"representation": Representation("mandate", canonical(JEANNE), b"m" * 32)}, Code.REPRESENTATION_INVALID),
    ],
)  # fmt: skip
def test_each_objection(terms: dict[str, object], evidence: dict[str, object], code: Code | None) -> None:
    """What is missing is named; what is complete is recorded. The person is Jeanne, who is of age."""
    told = msgspec.structs.replace(Evidence("online"), **evidence)
    assert objection(msgspec.structs.replace(TERMS, **terms), told, canonical(JEANNE), NOW_MS) is code


def test_a_parent_speaks_for_a_child() -> None:
    """A parent of a minor, and of nobody else."""
    assert objection(TERMS, Evidence("online", representation=PARENT), canonical(CHILD), NOW_MS) is None


@pytest.mark.parametrize(
    ("parent", "child", "channel", "code"),
    [
        ("1980-01-02", "0000-00-00", "online", Code.REPRESENTATION_INVALID),
        ("1980-01-02", "2016-00-00", "online", None),
        ("2010-01-02", "2020-01-01", "online", Code.REPRESENTATION_INVALID),
        ("0000-00-00", "2020-01-01", "online", Code.REPRESENTATION_INVALID),
        ("2010-01-02", "0000-00-00", "counter", None),
    ],
)
def test_nobody_looks_at_a_paper_online(parent: str, child: str, channel: Any, code: Code | None) -> None:
    """There the parent is of age and the child's year of birth is told; an agent at the counter may know better."""
    spoke = Representation("parent", canonical(Identity("MARTIN", date_naissance=parent)))
    told = Evidence(channel, "agent-7", b"e" * 32, representation=spoke)
    assert objection(TERMS, told, canonical(Identity("MARTIN", prenoms=("Léo",), date_naissance=child)), NOW_MS) is code


@pytest.mark.parametrize(
    ("born", "expected"),
    [
        ("2008-11-22", False),
        ("2008-11-23", True),
        ("2008-11-00", True),
        ("2008-00-00", True),
        ("2007-00-00", False),
        ("2008-10-00", False),
        ("0000-00-00", True),
        ("1908-02-29", False),
        ("2008-02-29", False),
    ],
)
def test_who_is_a_minor(born: str, expected: bool) -> None:
    """Under 18 on that day; what is unknown of a birth date is taken as late as it may be."""
    assert minor(Identity("X", date_naissance=born), NOW_MS) is expected


CHANGES = {
    "recipient": "11000000000011", "provider": "dgfip", "data_set": "x", "purpose": "y", "basis": "legal", "legal_reference": "t",
    "notice_hash": b"n", "notice_version": "9",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CHANGES))
def test_nothing_else_than_what_was_asked_is_given(name: str) -> None:
    """Whom, what, why and on which basis are those that were asked."""
    assert not fits(TERMS, msgspec.structs.replace(TERMS, **{name: CHANGES[name]}))


@pytest.mark.parametrize(
    ("change", "less"),
    [
        ({"scopes": ("a",)}, True),
        ({"scopes": ("a", "c")}, False),
        ({"max_uses": 1}, True),
        ({"max_uses": 101}, False),
        ({"not_after_ms": NOW_MS + 1}, True),
        ({"not_after_ms": NOW_MS + 1_001}, False),
        ({"not_before_ms": NOW_MS + 1}, True),
        ({"not_before_ms": NOW_MS - 1}, False),
        ({"data_life_days": 1}, True),
        ({"data_life_days": 366}, False),
        ({"assurance": "eidas2"}, True),
    ],
)
def test_a_person_may_give_less_than_was_asked(change: dict[str, object], less: bool) -> None:
    """Fewer data, less time, fewer uses; never more."""
    assert fits(TERMS, msgspec.structs.replace(TERMS, **change)) is less


def test_a_renewal_adds_time_and_uses_only() -> None:
    """Another notice may be shown; scopes, purpose and recipient stay within the agreement."""
    longer = msgspec.structs.replace(TERMS, not_after_ms=NOW_MS * 2, max_uses=500, notice_version="3", scopes=("b",))
    assert extends(TERMS, longer)
    assert not extends(TERMS, msgspec.structs.replace(longer, scopes=("a", "z")))
    assert not extends(TERMS, msgspec.structs.replace(longer, purpose="autre"))


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=40), st.sampled_from(sorted({**CHANGES, "max_uses": 3})))
def test_a_nonce_covers_every_term(authorisation: bytes, random: bytes, name: str) -> None:
    """Another authorisation, random part or term: another nonce; the order of scopes is none."""
    changed = msgspec.structs.replace(TERMS, **{name: (CHANGES | {"max_uses": 3})[name]})
    nonce = grant_nonce(TERMS, authorisation, random)
    others = {
        grant_nonce(changed, authorisation, random),
        grant_nonce(TERMS, authorisation[::-1] + b"x", random),
        grant_nonce(TERMS, authorisation, random + b"x"),
    }
    assert nonce not in others and len(others) == 3
    assert terms_bytes(TERMS) == terms_bytes(msgspec.structs.replace(TERMS, scopes=("b", "a")))
    assert tuple(sorted(ASSURANCES)) == ASSURANCES


CLAIMS = {
    "family_name": "MARTIN", "given_name": "Jeanne", "birthdate": "1980-01-02", "gender": "female", "birthplace": "", "birthcountry": "99100",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({}, True),
        ({"family_name": "martin"}, True),
        ({"given_name": "Jeanne Marie"}, False),
        ({"birthdate": "1980-01-00"}, False),
        ({"gender": "male"}, False),
        ({"birthplace": "13055"}, False),
        ({"birthcountry": "99134"}, False),
        ({"family_name": None}, False),
        ({"birthdate": ["1980-01-02"]}, False),
    ],
)
def test_a_pivot_is_of_one_person(change: dict[str, object], same: bool) -> None:
    """Every claim of the pivot agrees with the identity, or it is somebody else's."""
    assert matches(JEANNE, CLAIMS | change) is same

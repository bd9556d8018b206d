"""Whether a request may go to the provider: steps (1) to (9), one at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core.facts import Authorisation, State
from consent.core.rules import REFUSAL
from exchange.core.decision import TTL_MAX_MS, TTL_MIN_MS, Ask, DataSet, Decision, instant, standing
from exchange.core.errors import Code

OPERATOR = "211300553"
SCOPES = ("adresse", "enfants", "quotient")
DATA_SETS = {
    name: DataSet(name, "cnaf", frozenset(SCOPES), frozenset({"annee", "mois"})) for name in ("qf.v1", "qf.v2")
}
ASK = Ask("21130055300016", "qf.v1", "cantine", ("quotient",), (("mois", "3"),))
HELD = Authorisation(
    b"a" * 16, 1, State.LIVE, ASK.recipient, "cnaf", "qf.v1", "cantine", ("adresse", "quotient"), 1_000, 2_000, 0, 2,
    b"certificate", b"c" * 32, (OPERATOR,), ("quotient",),
)  # fmt: skip


def said(ask: Ask = ASK, operator: str = OPERATOR, **changes: Any) -> Code | None:
    return standing(ask, operator, msgspec.structs.replace(HELD, **changes), DATA_SETS).reason


def test_all_as_it_should_be_is_allowed() -> None:
    """Nothing wrong: allowed, and a decision with a reason is not."""
    assert said() is None
    assert Decision(None).allowed and not Decision(Code.WITHDRAWN).allowed
    assert instant(HELD, b"c" * 32, TTL_MIN_MS, 1_000).allowed


@pytest.mark.parametrize(
    ("ask", "reason"),
    [
        (ASK._replace(data_set="qf.v9"), Code.DATA_SET_UNKNOWN),
        (ASK._replace(data_set=""), Code.DATA_SET_UNKNOWN),
        (ASK._replace(parameters=(("nomNaissance", "X"),)), Code.PARAMETER_UNKNOWN),
        (ASK._replace(parameters=(("mois", "3"), ("Mois", "3"))), Code.PARAMETER_UNKNOWN),
        (ASK._replace(recipient="21130055300024"), Code.RECIPIENT_MISMATCH),
        (ASK._replace(recipient=""), Code.RECIPIENT_MISMATCH),
        (ASK._replace(data_set="qf.v2"), Code.DATA_SET_MISMATCH),
        (ASK._replace(purpose="bourse"), Code.PURPOSE_MISMATCH),
        (ASK._replace(purpose=""), Code.PURPOSE_MISMATCH),
        (ASK._replace(purpose="*"), Code.PURPOSE_MISMATCH),
        (ASK._replace(rule=b"any"), Code.RULE_MISMATCH),
        (ASK._replace(scopes=()), Code.SCOPE_EXCEEDED),
        (ASK._replace(scopes=("enfants",)), Code.SCOPE_EXCEEDED),
        (ASK._replace(scopes=("quotient", "enfants")), Code.SCOPE_EXCEEDED),
        (ASK._replace(scopes=("*",)), Code.SCOPE_EXCEEDED),
        (ASK._replace(scopes=("quotient", "adresse")), Code.HABILITATION_ABSENT),
        (ASK._replace(parameters=()), None),
    ],
)
def test_one_field_of_the_ask_changed_is_refused(ask: Ask, reason: Code | None) -> None:
    """I2: a release matches one agreement in every field; a consent for one version serves no other."""
    assert said(ask) is reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"operators": ()}, Code.DELEGATION_ABSENT),
        ({"operators": ("130025265",)}, Code.DELEGATION_ABSENT),
        ({"recipient": "21130055300024"}, Code.RECIPIENT_MISMATCH),
        ({"data_set": "qf.v2"}, Code.DATA_SET_MISMATCH),
        ({"purpose": "bourse"}, Code.PURPOSE_MISMATCH),
        ({"rule_hash": b"r" * 32}, Code.RULE_MISMATCH),
        ({"scopes": ()}, Code.SCOPE_EXCEEDED),
        ({"scopes": ("adresse",)}, Code.SCOPE_EXCEEDED),
        ({"habilitated": ()}, Code.HABILITATION_ABSENT),
        ({"habilitated": ("adresse",)}, Code.HABILITATION_ABSENT),
    ],
)
def test_one_field_of_the_agreement_changed_is_refused(changes: dict[str, Any], reason: Code) -> None:
    """The same from the other side."""
    assert said(**changes) is reason


def test_no_authorisation_and_another_operator_are_refused() -> None:
    """Unknown id; an operator nobody delegated."""
    assert standing(ASK, OPERATOR, None, DATA_SETS).reason is Code.AUTHORISATION_UNKNOWN
    assert said(operator="130025265") is Code.DELEGATION_ABSENT


def test_the_first_step_that_says_no_gives_the_reason() -> None:
    """With everything wrong at once, steps speak in their order."""
    wrong = Ask("x", "qf.v9", "y", ("z",), (("w", "1"),))
    steps: list[tuple[Ask, Authorisation | None, Code]] = [
        (wrong, None, Code.DATA_SET_UNKNOWN),
        (wrong := wrong._replace(data_set="qf.v2"), None, Code.PARAMETER_UNKNOWN),
        (wrong := wrong._replace(parameters=()), None, Code.AUTHORISATION_UNKNOWN),
        (wrong, msgspec.structs.replace(HELD, operators=(), habilitated=()), Code.DELEGATION_ABSENT),
        (wrong, HELD, Code.RECIPIENT_MISMATCH),
        (wrong := wrong._replace(recipient=HELD.recipient), HELD, Code.DATA_SET_MISMATCH),
        (wrong := wrong._replace(data_set="qf.v1"), HELD, Code.PURPOSE_MISMATCH),
        (wrong := wrong._replace(purpose="cantine"), HELD, Code.SCOPE_EXCEEDED),
        (wrong._replace(scopes=("adresse",)), HELD, Code.HABILITATION_ABSENT),
    ]
    assert [standing(ask, OPERATOR, held, DATA_SETS).reason for ask, held, _ in steps] == [
        reason for *_, reason in steps
    ]


@pytest.mark.parametrize(
    ("now_ms", "reason"),
    [
        (999, Code.NOT_YET_VALID),
        (1_000, None),
        (1_001, None),
        (1_999, None),
        (2_000, Code.EXPIRED),
        (2_001, Code.EXPIRED),
    ],
)
def test_validity_is_exact_to_the_millisecond(now_ms: int, reason: Code | None) -> None:
    """not_before included, not_after excluded: t-1, t, t+1 ms."""
    assert instant(HELD, b"c" * 32, 60_000, now_ms).reason is reason


@pytest.mark.parametrize(
    ("ttl_ms", "reason"),
    [
        (0, Code.TTL_OUT_OF_BOUNDS),
        (TTL_MIN_MS - 1, Code.TTL_OUT_OF_BOUNDS),
        (TTL_MIN_MS, None),
        (TTL_MAX_MS, None),
        (TTL_MAX_MS + 1, Code.TTL_OUT_OF_BOUNDS),
        ((1 << 32) - 1, Code.TTL_OUT_OF_BOUNDS),
    ],
)
def test_a_request_lives_from_one_second_to_two_days(ttl_ms: int, reason: Code | None) -> None:
    """A ttl out of bounds is refused, neither shortened nor lengthened."""
    assert instant(HELD, b"c" * 32, ttl_ms, 1_500).reason is reason


@pytest.mark.parametrize("state", list(State))
def test_every_state_but_live_has_its_reason(state: State) -> None:
    """A closed, expired or unborn authorisation says which it is, before any talk of certificates."""
    held = msgspec.structs.replace(HELD, state=state)
    expected = REFUSAL.get(state, Code.CERTIFICATE_OUTDATED)
    assert instant(held, b"x" * 32, 60_000, 1_500).reason is expected


def test_an_outdated_certificate_and_spent_uses_are_refused() -> None:
    """A request relies on the certificate in force, and on a use that is left."""
    assert instant(HELD, b"x" * 32, 60_000, 1_500).reason is Code.CERTIFICATE_OUTDATED
    assert instant(msgspec.structs.replace(HELD, uses=2), b"c" * 32, 60_000, 1_500).reason is Code.USED_UP


@given(
    st.lists(st.sampled_from(SCOPES), unique=True),
    st.lists(st.sampled_from(SCOPES), unique=True),
    st.lists(st.sampled_from(SCOPES), unique=True),
)
def test_no_scope_is_allowed_that_was_not_both_agreed_and_habilitated(
    asked: list[str], agreed: list[str], entitled: list[str]
) -> None:
    """Allowed exactly when something is asked and all of it is agreed and habilitated."""
    reason = said(ASK._replace(scopes=tuple(asked)), scopes=tuple(agreed), habilitated=tuple(entitled))
    assert (reason is None) == (bool(asked) and set(asked) <= set(agreed) & set(entitled))

"""What the gate remembers of the ledger: bounded, corrected, forgotten in silence."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core.facts import Authorisation, State
from consent.core.rules import CLOSED
from exchange.core.memory import SILENCE_MAX_MS, Memory, is_closed
from tests.unit.glancing import learn

HELD = Authorisation(
    b"a" * 16, 3, State.LIVE, "21130055300016", "cnaf", "qf.v1", "cantine", ("quotient",), 0, 9_000, 0, 2, b"certificate", b"c" * 32
)  # fmt: skip
OTHER = msgspec.structs.replace(HELD, id=b"b" * 16)
REGISTER = bytes(16)
SALT = bytes(range(32))


def held(**changes: Any) -> Authorisation:
    return msgspec.structs.replace(HELD, **changes)


def listening(now_ms: int = 0) -> Memory:
    """A memory that has heard from the ledger and knows two authorisations."""
    memory = Memory(SALT)
    memory.beat(now_ms)
    learn(memory, [HELD, OTHER])
    return memory


def known(memory: Memory, *ids: bytes) -> list[bool]:
    """Which of these the memory could still allow at some time."""
    rows = memory.find(np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2))
    return [bool(row["terms"]) and bool(row["not_after_s"]) for row in rows]


def both(memory: Memory, now_ms: int) -> list[bool]:
    """Of the two of `listening`, if the memory is trusted."""
    return known(memory, HELD.id, OTHER.id) if memory.trusted(now_ms) else [False, False]


def test_what_was_learnt_is_found_and_nothing_else() -> None:
    """Terms, certificate, validity: of this authorisation, and none of another."""
    memory = listening()
    row, none = memory.find(np.frombuffer(HELD.id + b"z" * 16, "<u8").reshape(-1, 2))
    assert memory.terms[int(row["terms"])].scopes == HELD.scopes
    assert row["certificate"].tobytes() == HELD.certificate_hash[:16]
    assert (row["not_before_s"], row["not_after_s"], row["version"], none["terms"]) == (0, 9, 3, 0)


@pytest.mark.parametrize("age", [-1, 0, 1])
def test_only_a_greater_version_corrects(age: int) -> None:
    """Events may come twice, late or crossed: an older or equal version changes nothing."""
    memory = listening()
    memory.hear([HELD.id], [3 + age], 1)
    assert both(memory, 1) == [age < 1, True]


def test_what_is_learnt_again_counts_again() -> None:
    """A correction is one reading of the ledger."""
    memory = listening()
    memory.hear([HELD.id, OTHER.id], [4, 4], 1)
    learn(memory, [held(version=4)])
    assert both(memory, 1) == [True, False] and len(memory) == 2


def test_an_event_about_the_unknown_changes_nothing() -> None:
    """Another authorisation's event leaves the rest."""
    memory = listening()
    memory.hear([b"x" * 16], [9], 1)
    assert both(memory, 1) == [True, True] and known(memory, b"x" * 16) == [False]


def test_a_change_of_who_may_ask_forgets_everything() -> None:
    """A delegation, habilitation or key has changed: all starts again, and no terms have the number others had."""
    memory = listening()
    before = set(memory.terms)
    memory.hear([b"x" * 16, REGISTER], [1, 0], 1)
    assert both(memory, 1) == [False, False]
    learn(memory, [HELD])
    assert both(memory, 1) == [True, False] and not before & memory.terms.keys()


def test_silence_is_distrust() -> None:
    """5 s without a word: still trusted at 5 000 ms, nothing at 5 001, and what was known does not come back."""
    memory = listening()
    assert both(memory, SILENCE_MAX_MS) == [True, True]
    assert not memory.trusted(SILENCE_MAX_MS + 1)
    memory.beat(SILENCE_MAX_MS + 2)
    assert both(memory, SILENCE_MAX_MS + 2) == [False, False]


def test_a_heartbeat_and_an_event_both_break_the_silence() -> None:
    """Any word counts; an old one does not move the time back."""
    memory = listening()
    memory.beat(4_000)
    memory.hear([b"x" * 16], [1], 6_000)
    memory.beat(1_000)
    assert both(memory, 11_000) == [True, True]
    assert not memory.trusted(11_001)


def test_a_new_memory_trusts_nothing() -> None:
    """Before the first word from the ledger there is nothing to trust, whatever the clock says."""
    memory = Memory(SALT)
    learn(memory, [HELD])
    assert not memory.trusted(1)


def test_memory_is_bounded() -> None:
    """Never more than its size; full, it begins again."""
    memory = Memory(SALT, size_max=20)
    for number in range(100):
        learn(memory, [held(id=number.to_bytes(16, "big"))])
        assert len(memory) <= 20
    assert known(memory, (99).to_bytes(16, "big"), (0).to_bytes(16, "big")) == [True, False]


@pytest.mark.parametrize(
    "changes",
    [{"state": State.EXPIRED}, {"uses": 2}, {"not_before_ms": 8_001}, {"not_after_ms": 0}],
)
def test_what_cannot_serve_is_not_remembered(changes: dict[str, Any]) -> None:
    """Expired, without a use left, without a whole second in which it serves."""
    memory = Memory(SALT)
    learn(memory, [held(**changes)])
    assert len(memory) == 0


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_what_is_closed_is_known_as_that_and_serves_never(state: State) -> None:
    """Also one valid for ever, and also when the table has grown over it."""
    memory = Memory(SALT)
    learn(memory, [held(state=state, not_before_ms=0, not_after_ms=1 << 50)])
    learn(memory, [held(id=number.to_bytes(16, "little")) for number in range(9_000)])
    rows = memory.find(np.frombuffer(HELD.id + bytes(16), "<u8").reshape(-1, 2))
    assert is_closed(rows).tolist() == [True, False]
    assert not rows["not_before_s"][0] < rows["not_after_s"][0]


def test_no_event_makes_closed_of_what_was_live() -> None:
    """Forgotten is not closed, however far its validity reaches."""
    memory = listening()
    learn(memory, [held(id=b"z" * 16, not_before_ms=1 << 50, not_after_ms=1 << 51), held(id=b"y" * 16)])
    memory.hear([b"z" * 16, b"y" * 16], [9, 9], 0)
    assert not is_closed(memory.find(np.frombuffer(b"z" * 16 + b"y" * 16, "<u8").reshape(-1, 2))).any()


def test_seconds_are_within_the_validity() -> None:
    """Rounded so that memory allows nothing a millisecond early or late."""
    memory = Memory(SALT)
    learn(memory, [held(not_before_ms=1_001, not_after_ms=7_999)])
    (row,) = memory.find(np.frombuffer(HELD.id, "<u8").reshape(-1, 2))
    assert (row["not_before_s"], row["not_after_s"]) == (2, 7)


def test_what_authorisations_have_alike_is_there_once() -> None:
    """Two of equal terms share these; another's are its own."""
    memory = listening()
    learn(memory, [held(id=b"z" * 16, purpose="bourse")])
    assert sorted(terms.purpose for terms in memory.terms.values()) == ["bourse", "cantine"]


ids = st.binary(min_size=1, max_size=1).map(lambda byte: byte * 16)
steps = st.lists(st.tuples(st.sampled_from(["learn", "hear"]), st.lists(st.tuples(ids, st.integers(1, 5)), max_size=8)))


@given(steps)
def test_it_remembers_as_a_dictionary_would(told: list[tuple[str, list[tuple[bytes, int]]]]) -> None:
    """Many at once, some twice, learnt and corrected in any order."""
    memory, expected = Memory(SALT), dict[bytes, int]()
    for what, some in told:
        if what == "learn":
            learn(memory, [held(id=one, version=version) for one, version in some])
            expected |= dict(some)
        elif some and not any(one == REGISTER for one, _ in some):
            memory.hear([one for one, _ in some], [version for _, version in some], 0)
            expected = {k: v for k, v in expected.items() if all(v >= version for one, version in some if one == k)}
    everyone = [bytes([n]) * 16 for n in range(256)]
    assert [one for one, there in zip(everyone, known(memory, *everyone), strict=True) if there] == sorted(expected)


def test_a_table_that_grows_loses_nothing() -> None:
    """Ten thousand, learnt at once and then some more."""
    memory = Memory(SALT)
    everyone = [number.to_bytes(16, "little") for number in range(10_000)]
    learn(memory, [held(id=one) for one in everyone[:9_000]])
    learn(memory, [held(id=one) for one in everyone[9_000:]])
    assert all(known(memory, *everyone)) and len(memory) == 10_000

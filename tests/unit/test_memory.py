"""What the gate remembers of the ledger: bounded, corrected, forgotten in silence."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from consent.core.facts import Authorisation, State
from consent.core.rules import CLOSED
from exchange.core.memory import SILENCE_MAX_MS, Memory, closed_states, is_closed, serving
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


def columns(*ids: bytes) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(ids), "<u8").reshape(-1, 2)


def known(memory: Memory, *ids: bytes) -> list[bool]:
    """Which of these the memory would allow at the beginning of time."""
    rows = memory.find(columns(*ids))
    return [bool(row["terms"]) and bool(serves) for row, serves in zip(rows, serving(rows, 0), strict=True)]


def both(memory: Memory, now_ms: int) -> list[bool]:
    """Of the two of `listening`, if the memory is trusted."""
    return known(memory, HELD.id, OTHER.id) if memory.trusted(now_ms) else [False, False]


def test_what_was_learnt_is_found_and_nothing_else() -> None:
    """Terms, certificate, until when: of this authorisation, and none of another."""
    memory = listening()
    rows = memory.find(columns(HELD.id, b"z" * 16))
    assert memory.terms[int(rows["terms"][0])].scopes == HELD.scopes and rows["terms"][1] == 0
    certificates = [HELD.certificate_hash[:16], b"another of these"]
    assert [memory.certified(rows[:1], columns(one)).tolist() for one in certificates] == [[True], [False]]
    assert [serving(rows[:1], now_s).tolist() for now_s in (0, 8, 9)] == [[True], [True], [False]]


def test_an_event_makes_forget_whom_it_names() -> None:
    """Whatever it says: one reading of the ledger is what it costs."""
    memory = listening()
    memory.hear([HELD.id], 1)
    assert both(memory, 1) == [False, True]


def test_what_is_named_while_the_ledger_is_asked_is_not_learnt() -> None:
    """Its answer may be older than the event; what others ask at the same time, and what is asked afterwards, is not touched."""
    memory = listening()
    with memory.asking() as named, memory.asking() as others:
        memory.hear([HELD.id], 1)
        learn(memory, [HELD, held(id=b"c" * 16)], named=named)
        assert known(memory, HELD.id, OTHER.id, b"c" * 16) == [False, True, True] and HELD.id in others
    with memory.asking() as later:
        learn(memory, [HELD], named=later)
    assert both(memory, 1) == [True, True]


def test_nothing_is_learnt_of_an_answer_older_than_who_may_ask() -> None:
    """A change of the register, heard while the ledger is asked."""
    memory = listening()
    with memory.asking() as named:
        memory.hear([REGISTER], 1)
        learn(memory, [HELD], named=named)
        assert both(memory, 1) == [False, False]
        learn(memory, [held(id=b"c" * 16)], named=named)
    assert both(memory, 1) == [False, False] and len(memory) == 2


def test_what_is_learnt_again_counts_again() -> None:
    """A correction is one reading of the ledger."""
    memory = listening()
    memory.hear([HELD.id, OTHER.id], 1)
    learn(memory, [held(version=4)])
    assert both(memory, 1) == [True, False] and len(memory) == 2


def test_an_event_about_the_unknown_changes_nothing() -> None:
    """Another authorisation's event leaves the rest."""
    memory = listening()
    memory.hear([b"x" * 16], 1)
    assert both(memory, 1) == [True, True] and known(memory, b"x" * 16) == [False]


def test_after_a_change_of_who_may_ask_terms_wait_for_the_ledgers_word() -> None:
    """A delegation, habilitation or key has changed: nothing is allowed until the ledger has spoken of one agreement under the same terms;
    then all under them are known again, and no others. Nothing has begun anew: there is nothing to read again."""
    memory = listening()
    learn(memory, [held(id=b"d" * 16, purpose="bourse")])
    before = memory.begun
    memory.hear([b"x" * 16, REGISTER], 1)
    assert both(memory, 1) == [False, False] and not known(memory, b"d" * 16)[0]
    learn(memory, [HELD])
    assert both(memory, 1) == [True, True] and not known(memory, b"d" * 16)[0]
    assert memory.begun == before and len(memory) == 3


def test_who_may_ask_is_what_the_ledger_said_last() -> None:
    """Of all agreements under the same terms, learnt before or after."""
    memory = listening()
    memory.hear([REGISTER], 1)
    learn(memory, [held(operators=("130025265",), habilitated=())])
    rows = memory.find(columns(HELD.id, OTHER.id))
    told = [memory.terms[number] for number in rows["terms"].tolist()]
    assert [(terms.operators, terms.habilitated) for terms in told] == [(("130025265",), ())] * 2


def test_what_is_closed_is_not_known_either_while_terms_wait() -> None:
    """It is asked for like the rest, and closed again once the ledger has spoken."""
    memory = listening()
    learn(memory, [held(id=b"e" * 16, state=State.WITHDRAWN)])
    memory.hear([REGISTER], 1)
    assert not is_closed(memory.find(columns(b"e" * 16))).any()
    learn(memory, [HELD])
    assert is_closed(memory.find(columns(b"e" * 16))).all()


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
    memory.hear([b"x" * 16], 6_000)
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
    memory = Memory(SALT, size_max=96)
    for number in range(1_000):
        learn(memory, [held(id=number.to_bytes(16, "big"))])
        assert len(memory) <= 96
    assert known(memory, (999).to_bytes(16, "big"), (0).to_bytes(16, "big")) == [True, False]


@pytest.mark.parametrize(
    "changes",
    [{"state": State.EXPIRED}, {"uses": 2}, {"not_before_ms": 1}, {"not_after_ms": 999}],
)
def test_what_cannot_serve_is_not_remembered(changes: dict[str, Any]) -> None:
    """Expired, without a use left, not yet begun, without a whole second in which it serves."""
    memory = Memory(SALT)
    learn(memory, [held(**changes)])
    assert len(memory) == 0


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_what_is_closed_is_known_as_that_and_serves_never(state: State) -> None:
    """Also one valid for ever, and also when the table has grown over it."""
    memory = Memory(SALT)
    learn(memory, [held(state=state, not_before_ms=0, not_after_ms=1 << 50)])
    learn(memory, [held(id=number.to_bytes(16, "little")) for number in range(9_000)])
    rows = memory.find(columns(HELD.id, bytes(16)))
    assert is_closed(rows).tolist() == [True, False] and closed_states(rows[:1]) == [state]
    assert not serving(rows[:1], 0).any() and not serving(rows[:1], 1 << 31).any()


def test_no_event_makes_closed_of_what_was_live() -> None:
    """Forgotten is not closed, however far its validity reaches."""
    memory = listening()
    learn(memory, [held(id=b"z" * 16, not_after_ms=1 << 51), held(id=b"y" * 16)])
    rows = [memory.find(columns(b"z" * 16, b"y" * 16))]
    memory.hear([b"z" * 16, b"y" * 16], 0)
    rows.append(memory.find(columns(b"z" * 16, b"y" * 16)))
    assert [is_closed(some).any() for some in rows] == [False, False]


def test_seconds_are_within_the_validity() -> None:
    """Rounded so that memory allows nothing a millisecond early or late."""
    memory = Memory(SALT)
    learn(memory, [held(not_before_ms=1_001, not_after_ms=7_999)], 1_000)
    assert known(memory, HELD.id) == [False]
    learn(memory, [held(not_before_ms=1_001, not_after_ms=7_999)], 1_001)
    rows = memory.find(columns(HELD.id))
    assert [bool(serving(rows, now_s)[0]) for now_s in (6, 7)] == [True, False]


def test_what_authorisations_have_alike_is_there_once() -> None:
    """Two of equal terms share these; another's are its own."""
    memory = listening()
    learn(memory, [held(id=b"z" * 16, purpose="bourse")])
    assert sorted(terms.purpose for terms in memory.terms.values()) == ["bourse", "cantine"]


def test_of_terms_too_many_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what stands under them nor what is closed; what was known before stays known, and nothing begins anew."""
    monkeypatch.setattr("exchange.core.memory.TERMS_MAX", 2)
    memory = listening()
    for number, purpose in enumerate(("bourse", "creche", "loisirs")):
        learn(
            memory,
            [
                held(id=bytes([number]) * 16, purpose=purpose),
                held(id=bytes([9, number]) * 8, purpose=purpose, state=State.ENDED),
            ],
        )
    assert known(memory, bytes(16), bytes([1]) * 16, bytes([2]) * 16) == [True, False, False]
    assert is_closed(memory.find(columns(bytes([9, 0]) * 8, bytes([9, 1]) * 8))).tolist() == [True, False]
    assert both(memory, 1) == [True, True] and len(memory.terms) == 2


ids = st.binary(min_size=1, max_size=1).map(lambda byte: byte * 16)
steps = st.lists(st.tuples(st.sampled_from(["learn", "hear"]), st.lists(st.tuples(ids, st.integers(1, 5)), max_size=8)))


@given(steps)
def test_it_remembers_as_a_dictionary_would(told: list[tuple[str, list[tuple[bytes, int]]]]) -> None:
    """Many at once, some twice, learnt and corrected in any order, while who may ask changes."""
    memory, expected, waits = Memory(SALT), dict[bytes, int](), False
    for what, some in told:
        if what == "learn":
            learn(memory, [held(id=one, version=version) for one, version in some])
            expected |= dict(some)
        elif some:
            memory.hear([one for one, _ in some], 0)
            waits = waits or any(one == REGISTER for one, _ in some)
            expected = {k: v for k, v in expected.items() if all(one != k for one, _ in some)}
        waits = waits and not (what == "learn" and some)
    if waits:
        expected.clear()
    everyone = [bytes([n]) * 16 for n in range(256)]
    assert [one for one, there in zip(everyone, known(memory, *everyone), strict=True) if there] == sorted(expected)


def test_a_table_that_grows_loses_nothing() -> None:
    """Ten thousand, learnt at once and then some more."""
    memory = Memory(SALT)
    everyone = [number.to_bytes(16, "little") for number in range(10_000)]
    learn(memory, [held(id=one) for one in everyone[:9_000]])
    learn(memory, [held(id=one) for one in everyone[9_000:]])
    assert all(known(memory, *everyone)) and len(memory) == 10_000

"""What the gate remembers of the ledger: bounded, corrected, forgotten in silence."""

from __future__ import annotations

from typing import Any

import msgspec

from consent.core.facts import Authorisation, State
from exchange.core.memory import SILENCE_MAX_MS, Memory

HELD = Authorisation(
    b"a" * 16, 3, State.LIVE, "21130055300016", "cnaf", "qf.v1", "cantine", ("quotient",), 0, 9_000, 0, 2, b"certificate", b"c" * 32
)  # fmt: skip
OTHER = msgspec.structs.replace(HELD, id=b"b" * 16)
REGISTER = bytes(16)


def held(**changes: Any) -> Authorisation:
    return msgspec.structs.replace(HELD, **changes)


def listening(now_ms: int = 0) -> Memory:
    """A memory that has heard from the ledger and knows two authorisations."""
    memory = Memory()
    memory.beat(now_ms)
    memory.learn([HELD, OTHER])
    return memory


def test_what_was_learnt_is_remembered_and_returned_alone() -> None:
    """`learn` answers with what is fresh only, so that a refusal never rests on something older."""
    memory = listening()
    assert set(memory.learn([held(version=4)])) == {HELD.id}
    assert set(memory.trusted(0)) == {HELD.id, OTHER.id} and memory.views[HELD.id].held.version == 4


def test_only_a_greater_version_corrects() -> None:
    """Events may come twice, late or crossed: an older or equal version changes nothing."""
    memory = listening()
    memory.hear(HELD.id, 2, 1)
    memory.hear(HELD.id, 3, 1)
    assert HELD.id in memory.trusted(1)
    memory.hear(HELD.id, 4, 1)
    assert set(memory.trusted(1)) == {OTHER.id}


def test_an_event_about_the_unknown_changes_nothing() -> None:
    """Another authorisation's event leaves the rest."""
    memory = listening()
    memory.hear(b"x" * 16, 9, 1)
    assert len(memory.trusted(1)) == 2


def test_a_change_of_who_may_ask_forgets_everything() -> None:
    """A delegation, habilitation or key has changed: all views start again."""
    memory = listening()
    memory.hear(REGISTER, 0, 1)
    assert memory.trusted(1) == {}


def test_silence_is_distrust() -> None:
    """5 s without a word: still trusted at 5 000 ms, nothing at 5 001, and what was known does not come back."""
    memory = listening()
    assert len(memory.trusted(SILENCE_MAX_MS)) == 2
    assert memory.trusted(SILENCE_MAX_MS + 1) == {}
    memory.beat(SILENCE_MAX_MS + 2)
    assert memory.trusted(SILENCE_MAX_MS + 2) == {}


def test_a_heartbeat_and_an_event_both_break_the_silence() -> None:
    """Any word counts; an old one does not move the time back."""
    memory = listening()
    memory.beat(4_000)
    memory.hear(b"x" * 16, 1, 6_000)
    memory.beat(1_000)
    assert len(memory.trusted(11_000)) == 2
    assert memory.trusted(11_001) == {}


def test_a_new_memory_trusts_nothing() -> None:
    """Before the first word from the ledger there is nothing to trust, whatever the clock says."""
    memory = Memory()
    memory.learn([HELD])
    assert memory.trusted(1) == {}


def test_memory_is_bounded_and_the_oldest_leave_first() -> None:
    """Never more than its size; the newest are kept."""
    memory = Memory(size_max=20)
    memory.beat(0)
    for number in range(100):
        memory.learn([held(id=number.to_bytes(16, "big"))])
        assert len(memory.views) <= 20
        assert number.to_bytes(16, "big") in memory.views
    assert (0).to_bytes(16, "big") not in memory.views


def test_a_view_that_cannot_serve_is_not_live() -> None:
    """Closed, or without a use left."""
    memory = Memory()
    fresh = memory.learn([HELD, held(id=b"1" * 16, state=State.WITHDRAWN), held(id=b"2" * 16, uses=2)])
    assert [view.live for view in fresh.values()] == [True, False, False]


def test_what_authorisations_have_alike_is_there_once() -> None:
    """Two of equal terms share these, and what was found within them; another's are its own. What each says stays what the ledger said."""
    said = [HELD, OTHER, held(id=b"z" * 16, purpose="bourse")]
    apart = [msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=Authorisation) for one in said]
    one, other, third = Memory().learn(apart).values()
    assert one.held.scopes is other.held.scopes and one.held.purpose is other.held.purpose
    assert one.asks is other.asks and third.asks is not one.asks
    assert [view.held for view in (one, other, third)] == said


def test_what_the_ledger_says_again_is_the_view_that_was() -> None:
    """The same word again costs nothing; another word makes another view."""
    memory = listening()
    known = memory.views[HELD.id]
    assert memory.learn([held()])[HELD.id] is known
    assert memory.learn([held(uses=1)])[HELD.id] is not known

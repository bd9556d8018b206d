"""The life of an authorisation: the first table of protocol §4, cell by cell."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.core.facts import State
from consent.core.rules import CLOSED, REFUSAL, TABLE, Happening, Keys, replay, step, usable
from exchange.core.errors import Code

H, S, K = Happening, State, Keys
ROW = (
    H.GIVEN,
    H.REFUSED,
    H.OPPOSED,
    H.NARROWED,
    H.WITHDRAWN,
    H.ERASED,
    H.EXPIRED,
    H.USED_UP,
    H.RENEWED,
    H.REBOUND,
    H.REKEYED,
    H.INVALIDATED,
    H.ENDED,
)
HEAD = "given refused opposed narrowed withdrawn erased expired used_up renewed rebound rekeyed invalidated ended"
CLOSED_ROW = "= = = = = erased:destroy_all = = = = = = ="
TIMED_ROW = (
    "= opposed:destroy opposed:destroy = withdrawn:destroy erased:destroy_all = = live:replace = = "
    "invalidated:destroy ended:destroy"
)
PROTOCOL = {
    S.REQUESTED: "live:mint refused:none refused:none = ended:none erased:destroy_all ended:none = = = = ended:none ended:none",
    S.LIVE: "= opposed:destroy opposed:destroy live:replace withdrawn:destroy erased:destroy_all expired:retire used_up:retire "
    "live:replace live:replace live:replace invalidated:destroy ended:destroy",
    S.EXPIRED: TIMED_ROW,
    S.USED_UP: TIMED_ROW,
    S.WITHDRAWN: CLOSED_ROW,
    S.OPPOSED: CLOSED_ROW,
    S.REFUSED: CLOSED_ROW,
    S.INVALIDATED: CLOSED_ROW,
    S.ENDED: CLOSED_ROW,
    S.ERASED: "= = = = = = = = = = = = =",
}
"""state after:what happens to its keys; `=`: nothing changes."""


def test_the_table_has_every_state_and_happening() -> None:
    """Nothing is left out: ten states, thirteen happenings."""
    assert set(PROTOCOL) == set(State) == set(TABLE)
    assert [h.value for h in ROW] == HEAD.split() and set(ROW) == set(Happening)


@pytest.mark.parametrize(
    ("state", "happening", "cell"),
    [(state, h, cell) for state, cells in PROTOCOL.items() for h, cell in zip(ROW, cells.split(), strict=True)],
)
def test_each_cell(state: State, happening: Happening, cell: str) -> None:
    """The state after, and the fate of the keys, are the protocol's."""
    found = step(state, happening)
    assert ("=" if found is None else f"{found.state}:{found.keys}") == cell


def test_whoever_the_person_turns_away_loses_the_key() -> None:
    """Every way out of `live` by a person or an authority destroys the keys at once; time only retires them."""
    for happening in (H.REFUSED, H.OPPOSED, H.WITHDRAWN, H.ERASED, H.INVALIDATED, H.ENDED):
        assert TABLE[S.LIVE][happening].keys in (K.DESTROY, K.DESTROY_ALL)
    for happening in (H.EXPIRED, H.USED_UP):
        assert TABLE[S.LIVE][happening].keys is K.RETIRE


@given(st.lists(st.sampled_from(Happening)), st.sampled_from(sorted(CLOSED)))
def test_nothing_revives_what_is_closed(happenings: list[Happening], state: State) -> None:
    """From a closed state, whatever happens, an authorisation is never live again."""
    assert replay(happenings, state) in {state, S.ERASED}


@given(st.lists(st.sampled_from(Happening)), st.lists(st.sampled_from(Happening)))
def test_a_replay_may_stop_and_go_on(first: list[Happening], rest: list[Happening]) -> None:
    """Replaying a history in two parts gives the state of the whole."""
    assert replay(first + rest) == replay(rest, replay(first))


@given(st.lists(st.sampled_from(Happening)))
def test_a_withdrawal_is_final_wherever_it_comes(happenings: list[Happening]) -> None:
    """After a withdrawal the state is closed, and stays so."""
    assert replay([*happenings, H.WITHDRAWN]) in CLOSED


@pytest.mark.parametrize("state", [s for s in State if s is not S.LIVE])
def test_only_a_live_authorisation_serves(state: State) -> None:
    """Every other state has its own reason, whatever the time and uses."""
    assert usable(state, 0, 100, 0, 10, 50) is REFUSAL[state]
    assert set(REFUSAL) == set(State) - {S.LIVE} and len(set(REFUSAL.values())) == len(REFUSAL)


@pytest.mark.parametrize(
    ("now_ms", "uses", "reason"),
    [
        (99, 0, Code.NOT_YET_VALID),
        (100, 0, None),
        (101, 0, None),
        (199, 0, None),
        (200, 0, Code.EXPIRED),
        (201, 0, Code.EXPIRED),
        (150, 2, None),
        (150, 3, Code.USED_UP),
        (150, 4, Code.USED_UP),
        (200, 3, Code.EXPIRED),
    ],
)
def test_validity_and_uses_are_bounded(now_ms: int, uses: int, reason: Code | None) -> None:
    """not_before ≤ now < not_after and uses < max, to the millisecond and to the unit."""
    assert usable(S.LIVE, 100, 200, uses, 3, now_ms) is reason

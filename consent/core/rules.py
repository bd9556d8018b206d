"""The life of an authorisation, as a table (protocol §4). Nothing changes a state but `step`.

Each cell names the state after the event and what becomes of the keys. An event without a cell changes nothing.
"""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from consent.core.facts import State
from exchange.core.errors import Code


class Happening(StrEnum):
    """What may happen to an authorisation."""

    GIVEN = "given"
    REFUSED = "refused"
    OPPOSED = "opposed"
    NARROWED = "narrowed"
    WITHDRAWN = "withdrawn"
    ERASED = "erased"
    EXPIRED = "expired"
    USED_UP = "used_up"
    RENEWED = "renewed"
    REBOUND = "rebound"
    REKEYED = "rekeyed"
    INVALIDATED = "invalidated"
    ENDED = "ended"


class Keys(StrEnum):
    """What a transition does to the authorisation's keys."""

    NONE = "none"
    MINT = "mint"
    REPLACE = "replace"
    RETIRE = "retire"
    DESTROY = "destroy"
    DESTROY_ALL = "destroy_all"


class Cell(NamedTuple):
    """The state after an event, and what happens to keys; `DESTROY_ALL` takes the content key as well."""

    state: State
    keys: Keys


_H, _S, _K = Happening, State, Keys
_CLOSES = {
    _H.REFUSED: Cell(_S.OPPOSED, _K.DESTROY),
    _H.OPPOSED: Cell(_S.OPPOSED, _K.DESTROY),
    _H.WITHDRAWN: Cell(_S.WITHDRAWN, _K.DESTROY),
    _H.ERASED: Cell(_S.ERASED, _K.DESTROY_ALL),
    _H.INVALIDATED: Cell(_S.INVALIDATED, _K.DESTROY),
    _H.ENDED: Cell(_S.ENDED, _K.DESTROY),
}
_ENDS = {_H.ERASED: Cell(_S.ERASED, _K.DESTROY_ALL)}

TABLE: dict[State, dict[Happening, Cell]] = {
    _S.REQUESTED: {
        _H.GIVEN: Cell(_S.LIVE, _K.MINT),
        _H.REFUSED: Cell(_S.REFUSED, _K.NONE),
        _H.OPPOSED: Cell(_S.REFUSED, _K.NONE),
        _H.WITHDRAWN: Cell(_S.ENDED, _K.NONE),
        _H.ERASED: Cell(_S.ERASED, _K.DESTROY_ALL),
        _H.EXPIRED: Cell(_S.ENDED, _K.NONE),
        _H.ENDED: Cell(_S.ENDED, _K.NONE),
        _H.INVALIDATED: Cell(_S.ENDED, _K.NONE),
    },
    _S.LIVE: {
        **_CLOSES,
        _H.NARROWED: Cell(_S.LIVE, _K.REPLACE),
        _H.RENEWED: Cell(_S.LIVE, _K.REPLACE),
        _H.REBOUND: Cell(_S.LIVE, _K.REPLACE),
        _H.REKEYED: Cell(_S.LIVE, _K.REPLACE),
        _H.EXPIRED: Cell(_S.EXPIRED, _K.RETIRE),
        _H.USED_UP: Cell(_S.USED_UP, _K.RETIRE),
    },
    _S.EXPIRED: {**_CLOSES, _H.RENEWED: Cell(_S.LIVE, _K.REPLACE)},
    _S.USED_UP: {**_CLOSES, _H.RENEWED: Cell(_S.LIVE, _K.REPLACE)},
    _S.WITHDRAWN: _ENDS,
    _S.OPPOSED: _ENDS,
    _S.REFUSED: _ENDS,
    _S.INVALIDATED: _ENDS,
    _S.ENDED: _ENDS,
    _S.ERASED: {},
}

CLOSED = frozenset({_S.WITHDRAWN, _S.OPPOSED, _S.REFUSED, _S.INVALIDATED, _S.ENDED, _S.ERASED})
"""States in which a second withdrawal gets the same acknowledgement."""

REFUSAL: dict[State, Code] = {
    _S.REQUESTED: Code.NOT_YET_GIVEN,
    _S.REFUSED: Code.CONSENT_REFUSED,
    _S.OPPOSED: Code.OPPOSED,
    _S.WITHDRAWN: Code.WITHDRAWN,
    _S.ERASED: Code.ERASED,
    _S.EXPIRED: Code.EXPIRED,
    _S.USED_UP: Code.USED_UP,
    _S.INVALIDATED: Code.INVALIDATED,
    _S.ENDED: Code.ENDED,
}
"""Why a request under an authorisation in this state is refused; LIVE is the one state without a reason."""


def step(state: State, happening: Happening) -> Cell | None:
    """The cell for an event, or None where it changes nothing."""
    return TABLE[state].get(happening)


def replay(happenings: list[Happening], start: State = State.REQUESTED) -> State:
    """The state after all that happened, in order; events without a cell change nothing."""
    state = start
    for happening in happenings:
        cell = step(state, happening)
        state = cell.state if cell else state
    return state


def usable(state: State, not_before_ms: int, not_after_ms: int, uses: int, max_uses: int, now_ms: int) -> Code | None:
    """Why an authorisation cannot serve at `now_ms`, or None: live ∧ not_before ≤ now < not_after ∧ uses < max."""
    if state is not State.LIVE:
        return REFUSAL[state]
    if now_ms < not_before_ms:
        return Code.NOT_YET_VALID
    if now_ms >= not_after_ms:
        return Code.EXPIRED
    return Code.USED_UP if uses >= max_uses else None


@lru_cache(maxsize=1024)
def within(scopes: tuple[str, ...], allowed: tuple[str, ...]) -> bool:
    """Whether all of these scopes are allowed."""
    return set(scopes) <= set(allowed)

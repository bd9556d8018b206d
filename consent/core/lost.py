"""What a leaf read back from the public log does to an authorisation of an older store.

A leaf says what happened, to which authorisation and when; not under which terms, nor with which key: those were lost with the
newer store. So the table of `consent.core.rules` gives the state, and whatever key was made, replaced or used after the backup is
destroyed here: nothing opens that a newer fact may have closed.
"""

from __future__ import annotations

from typing import NamedTuple

from consent.core.facts import State, Value
from consent.core.rules import Happening, Keys, step

REGISTER = frozenset({"habilitation", "delegation", "directory"})
"""Facts about who may ask: nothing in the leaf says about whom."""
OFFICER = "officer"

_TELL_NOTHING = REGISTER | {
    OFFICER,
    "requested",
    "attempted",
    "closed",
    "withdrawal_settled",
    "queried",
    "recovered",
    "vouched",
    "preview_accepted",
    "preview_rejected",
}


class Recovered(Value, frozen=True):
    """What recovery did: leaves read back, how many are still missing; whether who may ask, or the officers, must be entered again;
    agreements invalidated as their terms are lost, and given a new key as the old one may have served; withdrawals put aside, applied."""

    reread: int = 0
    missing: int = 0
    register_lost: bool = False
    officers_lost: bool = False
    invalidated: int = 0
    rekeyed: int = 0
    applied: int = 0

    @property
    def went_on(self) -> bool:
        """Whether another step may have something to do."""
        return bool(self.reread or self.rekeyed)

    def then(self, later: Recovered) -> Recovered:
        """Two steps as one."""
        return Recovered(
            self.reread + later.reread, later.missing, self.register_lost or later.register_lost,
            self.officers_lost or later.officers_lost, self.invalidated + later.invalidated, self.rekeyed + later.rekeyed,
            self.applied + later.applied,
        )  # fmt: skip


class Change(NamedTuple):
    """The state after a leaf; what is destroyed; uses to add; `terms` says whether those held are still the authorisation's."""

    state: State
    moved: bool
    keys: Keys
    uses: int
    terms: bool


def reread(state: State, kind: str) -> Change | None:
    """What the leaf changes, or None. A release destroys the key it may have used: the same answer never opens twice."""
    if kind in _TELL_NOTHING:
        return None
    if kind == "released":
        return Change(state, moved=False, keys=Keys.DESTROY, uses=1, terms=True)
    if kind not in set(Happening):
        return Change(state, moved=False, keys=Keys.DESTROY, uses=0, terms=False)  # a fact newer than this program
    happening = Happening(kind)
    cell = step(state, happening)
    if cell is None:
        return None
    made = cell.keys in (Keys.MINT, Keys.REPLACE)
    return Change(
        cell.state,
        moved=True,
        keys=Keys.DESTROY if made else cell.keys,
        uses=0,
        terms=not made or happening is Happening.REKEYED,
    )

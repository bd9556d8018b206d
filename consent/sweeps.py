"""What time does to authorisations, recorded: expiries, retired keys that nothing needs any more, withdrawals that are settled.

None of it decides anything: the clock in each transaction does. A sweep that never ran would only leave records and keys behind.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, and_, delete, exists, or_, select

from consent import waiting
from consent.core.facts import State
from consent.core.rules import CLOSED, Happening
from consent.stores import tables as t
from consent.transaction import Transaction
from consent.transitions import move

_RETIRED = (State.EXPIRED.value, State.USED_UP.value)
_A, _U = t.authorisation.c, t.unsettled.c
_LISTED = select(_U.authorisation)
SWEEP_MAX = 1_000
"""How much of each kind one sweep takes: its transaction stays short."""


def expire(tx: Transaction) -> int:
    """Authorisations live or asked for whose validity is over get their leaf; how many."""
    rows = tx.connection.execute(select(t.authorisation).where(t.ended(tx.now_ms)).limit(SWEEP_MAX)).all()
    move(tx, rows, Happening.EXPIRED)
    return len(rows)


def destroy_retired(tx: Transaction) -> None:
    """A retired key dies once nothing is unconfirmed, nor opened and not yet received: destroyed earlier, a crash would lose the last
    answer (protocol §4)."""
    c, k = t.terminal.c, t.release_key
    retired = select(_A.id).where(_A.id.in_(_LISTED), _A.state.in_(_RETIRED))
    needed = exists().where(t.releases(k.c.authorisation), c.confirmed_at.is_(None))
    opened = waiting.opened(k.c.authorisation)
    tx.connection.execute(delete(k).where(k.c.authorisation.in_(retired), ~needed, ~opened))


def settle(tx: Transaction) -> int:
    """The second leaf of a withdrawal, once all it named is confirmed: which answers were cut; how many leaves."""
    c = t.terminal.c
    pending = exists().where(t.releases(_A.id), c.confirmed_at.is_(None))
    ids = (
        tx.connection.execute(select(_A.id).where(_A.id.in_(_LISTED), _untold(), ~pending).limit(SWEEP_MAX))
        .scalars()
        .all()
    )
    for identifier in ids:
        cut = [
            request
            for of in (t.releases, t.other_ends)
            for request in tx.connection.execute(
                select(c.request).where(of(identifier), c.with_key.is_(False))
            ).scalars()
        ]
        tx.append("withdrawal_settled", identifier, msgspec.json.encode({"cut": sorted(cut)}))
    return len(ids)


def leave(tx: Transaction) -> None:
    """Nobody looks again at what has nothing left to do: no retired key, no second leaf."""
    key = exists().where(t.release_key.c.authorisation == _A.id)
    more = exists().where(_A.id == _U.authorisation, or_(and_(_A.state.in_(_RETIRED), key), _untold()))
    tx.connection.execute(delete(t.unsettled).where(~more))


def _untold() -> ColumnElement[bool]:
    """A withdrawal was acknowledged, and its second leaf is not in the log."""
    told = exists().where(t.about(_A.id), t.leaf.c.kind == "withdrawal_settled")
    acknowledged = exists().where(t.acknowledgement.c.authorisation == _A.id)
    return and_(_A.state.in_([state.value for state in CLOSED]), acknowledged, ~told)

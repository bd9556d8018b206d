"""What time does to authorisations, recorded: expiries, retired keys that nothing needs any more, withdrawals that are settled.

None of it decides anything: the clock in each transaction does. A sweep that never ran would only leave records and keys behind.
"""

from __future__ import annotations

import msgspec
from sqlalchemy import delete, exists, select

from consent import waiting
from consent.core.facts import State
from consent.core.rules import CLOSED, Happening
from consent.stores import tables as t
from consent.transaction import Transaction
from consent.transitions import move

_RETIRED = (State.EXPIRED.value, State.USED_UP.value)
SWEEP_MAX = 1_000
"""How much of each kind one sweep takes: its transaction stays short."""


def expire(tx: Transaction) -> int:
    """Authorisations live or asked for whose validity is over get their leaf; how many."""
    a = t.authorisation
    rows = tx.connection.execute(
        select(a)
        .where(a.c.state.in_((State.LIVE.value, State.REQUESTED.value)), a.c.not_after <= tx.now_ms)
        .limit(SWEEP_MAX)
    ).all()
    move(tx, rows, Happening.EXPIRED)
    return len(rows)


def destroy_retired(tx: Transaction) -> None:
    """A retired key dies once nothing is unconfirmed, nor opened and not yet received: destroyed earlier, a crash would lose the last
    answer (protocol §4)."""
    c, k = t.terminal.c, t.release_key
    retired = select(t.authorisation.c.id).where(t.authorisation.c.state.in_(_RETIRED))
    needed = exists().where(t.releases(k.c.authorisation), c.confirmed_at.is_(None))
    opened = waiting.opened(k.c.authorisation)
    tx.connection.execute(delete(k).where(k.c.authorisation.in_(retired), ~needed, ~opened))


def settle(tx: Transaction) -> int:
    """The second leaf of a withdrawal, once all it named is confirmed: which answers were cut; how many leaves."""
    a, c, leaf = t.authorisation, t.terminal.c, t.leaf
    told = exists().where(t.about(a.c.id), leaf.c.kind == "withdrawal_settled")
    acknowledged = exists().where(t.acknowledgement.c.authorisation == a.c.id)
    pending = exists().where(t.releases(a.c.id), c.confirmed_at.is_(None))
    closed = [state.value for state in CLOSED]
    ids = (
        tx.connection.execute(
            select(a.c.id).where(a.c.state.in_(closed), acknowledged, ~told, ~pending).limit(SWEEP_MAX)
        )
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

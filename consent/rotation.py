"""Release KEKs by epochs of 24 h (protocol §5, §8 row 9): what a copy of the store opens with a stolen KEK is bounded by a day.

In order: (1) a new KEK is durable; (2) in transactions of their own, keys still alive are wrapped anew under it; (3) when none lies
under another epoch, every other KEK is destroyed. A crash anywhere is resumed at the next call. A key whose KEK is lost is replaced,
its authorisation living on under a new certificate; only the answers in flight to the old one are lost.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, or_, select, update

from consent.changes import rekey
from consent.core.facts import State
from consent.keys import KeyRing
from consent.stores import tables as t
from consent.transaction import Transaction
from exchange import suites

EPOCH_MS = 86_400_000
AT_ONCE = 500

_K = t.release_key.c


def rotate(
    begin: Callable[[], AbstractContextManager[Transaction]],
    keys: KeyRing,
    *,
    now: bool = False,
    at_once: int = AT_ONCE,
) -> Iterator[int]:
    """One step at each turn, durable once told: how many keys it moved, `at_once` at most. A new epoch if the last one is old enough,
    or `now`."""
    with begin() as tx:
        clock_ms = tx.now_ms
        last = tx.connection.execute(select(func.max(_K.kek_epoch))).scalar() or 0
    if now or not keys.epochs or clock_ms - keys.kek_epoch >= EPOCH_MS:
        keys.begin_epoch(max([clock_ms, last + 1, *(epoch + 1 for epoch in keys.epochs)]))
        yield 0
    while moved := _batch(begin, keys.kek_epoch, at_once):
        yield moved
    keys.end_epochs()


def _batch(begin: Callable[[], AbstractContextManager[Transaction]], current: int, at_once: int) -> int:
    """Some keys of other epochs, wrapped anew or replaced; how many."""
    elsewhere = or_(_K.kek_epoch < current, _K.kek_epoch > current)
    with begin() as tx:
        rows = tx.connection.execute(select(t.release_key).where(elsewhere).limit(at_once)).all()
        wrapped, lost = [], []
        for row in rows:
            private = _unwrapped(tx.keys, row)
            if private is None:
                lost.append(row)
            else:
                again = tx.keys.wrap_release(row.authorisation, row.epoch, private, row.suite)
                wrapped.append({"b_authorisation": row.authorisation, "b_epoch": row.epoch, "b_wrapped": again})
        if wrapped:
            tx.connection.execute(
                update(t.release_key)
                .where(_K.authorisation == bindparam("b_authorisation"), _K.epoch == bindparam("b_epoch"))
                .values(wrapped=bindparam("b_wrapped"), kek_epoch=current),
                wrapped,
            )
        _replace(tx, lost)
    return len(rows)


def _replace(tx: Transaction, lost: Sequence[Any]) -> None:
    """Lost keys are deleted; the current one of a live authorisation gets a successor."""
    if not lost:
        return
    a = t.authorisation.c
    query = select(a.id, a.state, a.epoch).where(a.id.in_({row.authorisation for row in lost}))
    current = {(row.id, row.epoch) for row in tx.connection.execute(query) if State(row.state) is State.LIVE}
    for row in lost:
        if (row.authorisation, row.epoch) in current:
            rekey(tx, row.authorisation)
        else:
            tx.connection.execute(
                delete(t.release_key).where(_K.authorisation == row.authorisation, _K.epoch == row.epoch)
            )


def private_keys(
    connection: Connection, keys: KeyRing, certificates: Collection[bytes]
) -> dict[bytes, suites.PrivateKey]:
    """The private keys that still exist, by certificate hash."""
    query = select(t.release_key).where(_K.certificate_hash.in_(bindparam("ids", expanding=True)))
    rows = connection.execute(query, {"ids": list(certificates)})
    opened = {row.certificate_hash: (row.suite, _unwrapped(keys, row)) for row in rows}
    return {name: suites.private_key(suite, raw) for name, (suite, raw) in opened.items() if raw is not None}


def _unwrapped(keys: KeyRing, row: Any) -> bytes | None:
    return keys.unwrap_release(row.authorisation, row.epoch, row.kek_epoch, row.wrapped, row.suite)

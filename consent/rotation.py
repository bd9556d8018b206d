"""Rotation of the keys that wrap keys. Release KEKs live for 24 h (protocol §5, §8 row 9): what a copy of the store opens with a stolen
KEK is bounded by a day. Content KEKs are changed on demand: they are backed up with the store, and an older backup needs its own.

Both in this order: (1) a new KEK is durable; (2) in transactions of their own, keys still alive are wrapped anew under it; (3) when
none lies under another epoch, every other KEK is destroyed. A crash anywhere is resumed at the next call. A release key whose KEK is
lost is replaced, its authorisation living on under a new certificate; only the answers in flight to the old one are lost. So is one
that has served for 30 days (protocol §5), once nothing is in flight to it; what was never asked under keeps its key.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

from sqlalchemy import Connection, delete, exists, func, or_, select

from consent.changes import rekey
from consent.core.facts import State
from consent.keys import KeyRing
from consent.opening import Key
from consent.stores import tables as t
from consent.stores.batch import select_rows, update_rows
from consent.transaction import Transaction
from exchange.suites import whole

EPOCH_MS = 86_400_000
KEY_LIFE_MS = 30 * EPOCH_MS
AT_ONCE = 500

_K, _S = t.release_key.c, t.subject_key.c
_WRAPPED = ("authorisation", "epoch", "certificate_hash", "kek_epoch", "suite", "wrapped")
Begin = Callable[[], AbstractContextManager[Transaction]]


def rotate(begin: Begin, keys: KeyRing, *, now: bool = False, at_once: int = AT_ONCE) -> Iterator[int]:
    """Of release keys. One step at each turn, durable once told: how many keys it moved, `at_once` at most. A new epoch if the last
    one is old enough, or `now`."""
    kek = keys.release
    with begin() as tx:
        clock_ms = tx.now_ms
        last = tx.connection.execute(select(func.max(_K.kek_epoch))).scalar() or 0
    if now or not kek.epochs or clock_ms - kek.newest >= EPOCH_MS:
        kek.begin(max([clock_ms, last + 1, *(epoch + 1 for epoch in kek.epochs)]))
        yield 0
    while moved := _batch(begin, kek.newest, at_once):
        yield moved
    kek.end()


def _batch(begin: Begin, current: int, at_once: int) -> int:
    """Some keys of other epochs, wrapped anew or replaced; how many."""
    elsewhere = or_(_K.kek_epoch < current, _K.kek_epoch > current)
    with begin() as tx:
        rows = tx.connection.execute(select(t.release_key).where(elsewhere).limit(at_once)).all()
        wrapped, lost, served = [], [], _served(tx, rows)
        for row in rows:
            private = _unwrapped(tx.keys, row)
            if private is None or row.authorisation in served:
                lost.append(row)
            else:
                again = tx.keys.wrap_release(row.authorisation, row.epoch, whole(row.suite, private), row.suite)
                key = {"authorisation": row.authorisation, "epoch": row.epoch}
                wrapped.append(key | {"wrapped": again, "kek_epoch": current})
        update_rows(tx.connection, t.release_key, ("authorisation", "epoch"), wrapped)
        _replace(tx, lost)
    return len(rows)


def _served(tx: Transaction, rows: Sequence[Any]) -> set[bytes]:
    """Whose key is old, has served, and is waited for by no request."""
    old = [row.authorisation for row in rows if row.at <= tx.now_ms - KEY_LIFE_MS]
    if not old:
        return set()
    c, n = t.terminal.c, t.attempt.c
    asked = exists().where(n.authorisation == _K.authorisation, n.at >= _K.at)
    waited = exists().where(n.authorisation == _K.authorisation, n.deadline > tx.now_ms)
    unconfirmed = [exists().where(of(_K.authorisation), c.confirmed_at.is_(None)) for of in (t.releases, t.other_ends)]
    served = select(_K.authorisation).where(_K.authorisation.in_(old), asked, ~waited, ~or_(*unconfirmed))
    return set(map(bytes, tx.connection.execute(served).scalars()))


def _replace(tx: Transaction, lost: Sequence[Any]) -> None:
    """Lost or served keys are deleted; the current one of a live authorisation gets a successor."""
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


def rotate_content(begin: Begin, keys: KeyRing, *, now: bool = False, at_once: int = AT_ONCE) -> Iterator[int]:
    """Of persons' keys: `now`, or to end what a crash left half done. Steps as in `rotate`; BadKeyFile, and nothing destroyed, if a
    person's key lies under a KEK that is not there."""
    kek = keys.content
    if now:
        with begin() as tx:
            kek.begin(max(tx.now_ms, kek.newest + 1))
        yield 0
    if len(kek.epochs) == 1:
        return
    place: bytes | None = b""
    while place is not None:
        place, moved = _content_batch(begin, place, at_once)
        yield moved
    with begin() as tx:
        left = select(exists().where(_S.kek_epoch != kek.newest))
        if tx.connection.execute(left).scalar():
            return  # under a KEK that something lies under, nothing is destroyed
    kek.end()


def _content_batch(begin: Begin, after: bytes, at_once: int) -> tuple[bytes | None, int]:
    """Some persons' keys, in the order of their references: where they end, None after the last, and how many were wrapped anew."""
    with begin() as tx:
        page = select(t.subject_key).where(_S.subject > after).order_by(_S.subject).limit(at_once)
        rows, newest = tx.connection.execute(page).all(), tx.keys.content.newest
        wrapped = [
            {"subject": row.subject, "wrapped": tx.keys.wrap_subject_key(row.subject, key), "kek_epoch": newest}
            for row in rows
            if row.kek_epoch != newest
            for key in [tx.keys.unwrap_subject_key(row.subject, row.kek_epoch, row.wrapped)]
        ]
        update_rows(tx.connection, t.subject_key, ("subject",), wrapped)
    return (bytes(rows[-1].subject) if len(rows) == at_once else None), len(wrapped)


def private_keys(connection: Connection, keys: KeyRing, authorisations: Collection[bytes]) -> dict[bytes, Key]:
    """The private keys of these authorisations that still exist, by certificate hash."""
    held = dict[bytes, Key]()
    for of, epoch, name, kek_epoch, suite, wrapped in select_rows(
        connection, t.release_key, "authorisation", authorisations, _WRAPPED
    ):
        raw = keys.unwrap_release(of, epoch, kek_epoch, wrapped, suite)
        if raw is not None:
            held[name] = Key(suite, raw)
    return held


def _unwrapped(keys: KeyRing, row: Any) -> bytes | None:
    return keys.unwrap_release(row.authorisation, row.epoch, row.kek_epoch, row.wrapped, row.suite)

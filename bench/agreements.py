"""Many agreements at once: the rows, leaves and keys that as many calls of the ledger's `grant` and `withdraw` would leave,
written in large transactions before the ledger's process starts.

Of millions, a bench asks about some. Those are *whole*: everything as the ledger makes it, each with keys of its own. The others are
*filler* (`bench.filler`): as long, in the same tables and indexes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from bench.filler import Pattern, fill, pattern
from consent import certificates
from consent.core.facts import State, Terms
from consent.grants import bind, columns, keep
from consent.keys import KeyRing
from consent.rotation import rotate
from consent.stores import tables as t
from consent.stores.batch import insert_rows
from consent.stores.engine import prepare
from consent.transaction import Transaction, transaction
from exchange import suites
from exchange.core.encoding import join
from exchange.core.identity import Identity, canonical, subject_reference
from exchange.places import Places
from exchange.recording import ONLINE
from exchange.sqlite import sqlite_engine

AT_ONCE = 20_000
WITHDRAWN_EVERY = 10
_UNGUARDED = ("cache_size=-262144", "journal_mode=OFF", "synchronous=OFF", "secure_delete=OFF")
"""Whoever is stopped while a stock is made begins again; whoever opens it after that guards it as ever."""
PATTERNS = 2
"""How many of the first are made whole whatever is asked: one withdrawn, one that stands."""
Row = dict[str, Any]


class Agreement(NamedTuple):
    """What a requester knows of an agreement, and whether it still stands."""

    authorisation: bytes
    certificate_hash: bytes
    live: bool


class _Rows(NamedTuple):
    """What one agreement is in the store, beside its leaves; a withdrawn one has no release key."""

    authorisation: Row
    release_key: Row | None

    @property
    def known(self) -> Agreement:
        return Agreement(self.authorisation["id"], self.authorisation["certificate_hash"], self.release_key is not None)


def person(number: int) -> bytes:
    """A person as the SDK would designate one, all fields filled."""
    return canonical(
        Identity(
            f"NOM{number:06}", f"USAGE{number:06}", ("Camille", "Dominique"), "1985-03-14", "F", "99100", "13055", "Marseille", "13"
        )
    )  # fmt: skip


def agree(places: Places, keys: KeyRing, terms: Terms, count: int) -> list[Agreement]:
    """`count` agreements under `terms`, every tenth withdrawn, all whole. The ledger's process must not run yet."""
    return list(stock(places, keys, terms, count, range(count)).values())


def stock(
    places: Places,
    keys: KeyRing,
    terms: Terms,
    count: int,
    whole: Container[int],
    said: Callable[[int], None] = lambda _: None,
) -> dict[int, Agreement]:
    """As `agree`, but only those numbered in `whole`, which it returns, are whole. `said` hears how many there are, now and then."""
    places.store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = sqlite_engine(places.store, more=_UNGUARDED)
    prepare(engine)
    for _ in rotate(lambda: transaction(engine, keys, terms.not_before_ms), keys):
        pass  # today's KEK: else the ledger's first start would wrap every key anew
    made: dict[int, Agreement] = {}
    patterns: dict[bool, Pattern] = {}
    for numbers in _parts(count):
        with transaction(engine, keys, terms.not_before_ms) as tx:
            own = [number for number in numbers if number in whole or not patterns]
            made |= _whole(tx, terms, {number: _id(number, count) for number in own})
            left = [number for number in numbers if number not in made]
            for live, like in patterns.items():
                fill(tx, like, [_id(number, count) for number in left if _stands(number) == live])
        if not patterns:
            with engine.connect() as connection:
                patterns = {one.live: pattern(connection, one.authorisation) for one in made.values()}
        said(numbers.stop)
    engine.dispose()
    return {number: agreement for number, agreement in made.items() if number in whole}


def _parts(count: int) -> Iterator[range]:
    """The first two, after which the others are made; the rest, so many a transaction."""
    yield range(min(PATTERNS, count))
    for first in range(PATTERNS, count, AT_ONCE):
        yield range(first, min(first + AT_ONCE, count))


def _id(number: int, count: int) -> bytes:
    """Evenly spread, as random ones are, but in the order of numbers: each page of an index is then written once."""
    return ((number << 64) // count).to_bytes(8, "big") + os.urandom(8)


def _stands(number: int) -> bool:
    return number % WITHDRAWN_EVERY != 0


def _whole(tx: Transaction, terms: Terms, ids: Mapping[int, bytes]) -> dict[int, Agreement]:
    """As `consent.grants.grant`, and for what does not stand as `consent.withdrawals.close`, but for one query for all content keys."""
    people, pseudonyms = [person(number) for number in ids], tx.keys.secrets["pseudonym.key"]
    subjects = [subject_reference(pseudonyms, terms.recipient, who) for who in people]
    _mint_content_keys(tx, list(zip(ids.values(), subjects, strict=True)))
    rows = [
        _one(tx, terms, id, subject, who, live=_stands(number))
        for (number, id), subject, who in zip(ids.items(), subjects, people, strict=True)
    ]
    insert_rows(tx.connection, t.authorisation, [row.authorisation for row in rows])
    insert_rows(tx.connection, t.release_key, [row.release_key for row in rows if row.release_key])
    return {number: row.known for number, row in zip(ids, rows, strict=True)}


def _one(tx: Transaction, terms: Terms, authorisation: bytes, subject: bytes, who: bytes, *, live: bool) -> _Rows:
    committed, sealed = bind(tx, authorisation, who)[1:]
    leaf = _leaves(tx, authorisation, terms, committed, live=live)
    signed, wrapped = _keys(tx, terms, authorisation, committed, leaf)
    return _rows(tx, terms, authorisation, subject, committed, sealed, signed, wrapped, leaf, live=live)


def _mint_content_keys(tx: Transaction, ids: Sequence[tuple[bytes, bytes]]) -> None:
    """As `Transaction.mint_content_key`, for authorisations and subjects that are all new."""
    keys, newest = tx.keys, tx.keys.content.newest
    outer = {subject: os.urandom(32) for _, subject in ids}
    subjects = [{"subject": s, "kek_epoch": newest, "wrapped": keys.wrap_subject_key(s, o)} for s, o in outer.items()]
    contents = [
        {"authorisation": a, "subject": s, "wrapped": keys.seal(outer[s], os.urandom(32), join(a))} for a, s in ids
    ]
    insert_rows(tx.connection, t.subject_key, subjects)
    insert_rows(tx.connection, t.content_key, contents)
    tx.prefetch_content([authorisation for authorisation, _ in ids])


def _keys(tx: Transaction, terms: Terms, authorisation: bytes, committed: bytes, leaf: int) -> tuple[bytes, bytes]:
    """The certificate of a release key of its own, and that key wrapped."""
    keys = tx.keys
    private, public = suites.generate(keys.suite)
    signed = certificates.issue(
        keys.origin, authorisation, 1, public, terms, committed, leaf, keys.certificate, keys.suite
    )
    return signed, keys.wrap_release(authorisation, 1, private, keys.suite)


def _leaves(tx: Transaction, authorisation: bytes, terms: Terms, committed: bytes, *, live: bool) -> int:
    """Given, and perhaps withdrawn; the index of the first."""
    evidence = keep(tx, authorisation, terms, ONLINE)
    content = msgspec.json.encode({"terms": terms, "evidence": evidence, "commitment": committed})
    leaf = tx.append("given", authorisation, content).index
    tx.emit(authorisation, 1, State.LIVE)
    if not live:
        tx.append("withdrawn", authorisation, b"")
        tx.emit(authorisation, 2, State.WITHDRAWN)
    return leaf


def _rows(
    tx: Transaction, terms: Terms, authorisation: bytes, reference: bytes, committed: bytes, sealed: bytes, signed: bytes, wrapped: bytes,
    leaf: int, *, live: bool,
) -> _Rows:  # fmt: skip
    keys, hashed = tx.keys, certificates.certificate_hash(signed)
    row = columns(tx, terms, ONLINE, terms.recipient[:9]) | {
        "id": authorisation, "version": 1 if live else 2, "state": (State.LIVE if live else State.WITHDRAWN).value, "uses": 0,
        "subject_ref": reference, "commitment": committed, "person": sealed, "epoch": 1, "certificate": signed,
        "certificate_hash": hashed, "grant_leaf": leaf,
    }  # fmt: skip
    release_key = {
        "authorisation": authorisation, "epoch": 1, "certificate_hash": hashed, "kek_epoch": keys.release.newest, "suite": keys.suite,
        "wrapped": wrapped, "at": tx.now_ms,
    }  # fmt: skip
    return _Rows(row, release_key if live else None)

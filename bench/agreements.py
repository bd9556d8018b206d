"""Many agreements at once: the rows, leaves and keys that as many calls of the ledger's `grant` and `withdraw` would leave,
written in large transactions before the ledger's process starts.

Of millions, a bench asks about some. Those are *whole*: everything as the ledger makes it, each with keys of its own. The others are
*filler*: in the same tables and indexes, under ids as random, rows of the same columns and lengths, a leaf in the log, content encrypted
under a content key of its own; only their certificate and person are random bytes in place of a signature and a seal that nobody will open,
and their release keys have no public half anywhere.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Container, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent import certificates
from consent.core.facts import Evidence, State, Terms
from consent.grants import bind, columns, keep
from consent.keys import KeyRing
from consent.rotation import rotate
from consent.stores import tables as t
from consent.stores.batch import insert_rows
from consent.stores.engine import open_sqlite
from consent.transaction import Transaction, transaction
from exchange import suites
from exchange.core.encoding import join
from exchange.core.identity import Identity, canonical, subject_reference
from exchange.places import Places

AT_ONCE = 20_000
WITHDRAWN_EVERY = 10
EVIDENCE = Evidence("online")
_CERTIFICATE_BYTES, _PERSON_BYTES, _PRIVATE_BYTES = 323, 180, 32
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
    engine = open_sqlite(places.store)
    for _ in rotate(lambda: transaction(engine, keys, terms.not_before_ms), keys):
        pass  # today's KEK: else the ledger's first start would wrap every key anew
    made: dict[int, Agreement] = {}
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        with transaction(engine, keys, terms.not_before_ms) as tx:
            rows = list(_some(tx, keys.certificate, terms, numbers, whole))
            insert_rows(tx.connection, t.authorisation, [row.authorisation for row in rows])
            insert_rows(tx.connection, t.release_key, [row.release_key for row in rows if row.release_key])
        made |= {n: row.known for n, row in zip(numbers, rows, strict=True) if n in whole}
        said(numbers.stop)
    engine.dispose()
    return made


def _some(
    tx: Transaction, signing: Ed25519PrivateKey, terms: Terms, numbers: Sequence[int], whole: Container[int]
) -> Iterator[_Rows]:
    """As `consent.grants.grant`, and for what is not live as `consent.withdrawals.close`, but for one query for all content keys."""
    ids = [os.urandom(16) for _ in numbers]
    people = [person(number) if number in whole else b"" for number in numbers]
    pseudonyms = tx.keys.secrets["pseudonym.key"]
    subjects = [subject_reference(pseudonyms, terms.recipient, who) if who else os.urandom(32) for who in people]
    _mint_content_keys(tx, list(zip(ids, subjects, strict=True)))
    for number, authorisation, subject, who in zip(numbers, ids, subjects, people, strict=True):
        live = number % WITHDRAWN_EVERY != 0
        committed, sealed = bind(tx, authorisation, who)[1:] if who else (os.urandom(32), os.urandom(_PERSON_BYTES))
        leaf = _leaves(tx, authorisation, terms, committed, live=live)
        signed, wrapped = (
            _keys(tx, signing, terms, authorisation, committed, leaf) if who else _no_keys(tx, authorisation)
        )
        yield _rows(tx, terms, authorisation, subject, committed, sealed, signed, wrapped, leaf, live=live)


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


def _keys(
    tx: Transaction, signing: Ed25519PrivateKey, terms: Terms, authorisation: bytes, committed: bytes, leaf: int
) -> tuple[bytes, bytes]:
    """The certificate of a release key of its own, and that key wrapped."""
    keys = tx.keys
    private, public = suites.generate(keys.suite)
    signed = certificates.issue(keys.origin, authorisation, 1, public, terms, committed, leaf, signing, keys.suite)
    return signed, keys.wrap_release(authorisation, 1, private, keys.suite)


def _no_keys(tx: Transaction, authorisation: bytes) -> tuple[bytes, bytes]:
    private = os.urandom(_PRIVATE_BYTES)
    return os.urandom(_CERTIFICATE_BYTES), tx.keys.wrap_release(authorisation, 1, private, tx.keys.suite)


def _leaves(tx: Transaction, authorisation: bytes, terms: Terms, committed: bytes, *, live: bool) -> int:
    """Given, and perhaps withdrawn; the index of the first."""
    evidence = keep(tx, authorisation, terms, EVIDENCE)
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
    row = columns(tx, terms, EVIDENCE, terms.recipient[:9]) | {
        "id": authorisation, "version": 1 if live else 2, "state": (State.LIVE if live else State.WITHDRAWN).value, "uses": 0,
        "subject_ref": reference, "commitment": committed, "person": sealed, "epoch": 1, "certificate": signed,
        "certificate_hash": hashed, "grant_leaf": leaf,
    }  # fmt: skip
    release_key = {
        "authorisation": authorisation, "epoch": 1, "certificate_hash": hashed, "kek_epoch": keys.release.newest, "suite": keys.suite,
        "wrapped": wrapped, "at": tx.now_ms,
    }  # fmt: skip
    return _Rows(row, release_key if live else None)

"""Many agreements at once: the rows, leaves and keys that as many calls of the ledger's `grant` and `withdraw` would leave,
written in large transactions before the ledger's process starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import insert

from consent import certificates
from consent.core.facts import Evidence, State, Terms
from consent.grants import bind, columns, keep
from consent.keys import KeyRing
from consent.stores import tables as t
from consent.stores.engine import open_sqlite
from consent.transaction import Transaction, transaction
from exchange import suites
from exchange.core.identity import Identity, canonical, subject_reference
from exchange.places import Places

AT_ONCE = 5_000
WITHDRAWN_EVERY = 10
EVIDENCE = Evidence("online")
Row = dict[str, Any]


class Agreement(NamedTuple):
    """What a requester knows of an agreement, and whether it still stands."""

    authorisation: bytes
    certificate_hash: bytes
    live: bool


def person(number: int) -> bytes:
    """A person as the SDK would designate one, all fields filled."""
    return canonical(
        Identity(
            f"NOM{number:06}", f"USAGE{number:06}", ("Camille", "Dominique"), "1985-03-14", "F", "99100", "13055", "Marseille", "13"
        )
    )  # fmt: skip


def agree(places: Places, keys: KeyRing, terms: Terms, count: int) -> list[Agreement]:
    """`count` agreements under `terms`, every tenth withdrawn. The ledger's process must not run yet."""
    places.store.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = open_sqlite(places.store)
    signing = keys.certificate
    made: list[Agreement] = []
    for first in range(0, count, AT_ONCE):
        with transaction(engine, keys, terms.not_before_ms) as tx:
            made += _some(tx, signing, terms, range(first, min(first + AT_ONCE, count)))
    engine.dispose()
    return made


def _some(tx: Transaction, signing: Ed25519PrivateKey, terms: Terms, numbers: Sequence[int]) -> Iterator[Agreement]:
    rows: list[Row] = []
    release_keys: list[Row] = []
    for number in numbers:
        live = number % WITHDRAWN_EVERY != 0
        row, release_key = _one(tx, signing, terms, person(number), live=live)
        rows.append(row)
        if live:
            release_keys.append(release_key)
        yield Agreement(row["id"], row["certificate_hash"], live)
    tx.connection.execute(insert(t.authorisation), rows)
    tx.connection.execute(insert(t.release_key), release_keys)


def _one(tx: Transaction, signing: Ed25519PrivateKey, terms: Terms, identity: bytes, *, live: bool) -> tuple[Row, Row]:
    """As `consent.grants.grant`, and for what is not live as `consent.withdrawals.close`: leaves, events, row, release key."""
    keys, authorisation = tx.keys, os.urandom(16)
    private, public = suites.generate(keys.suite)
    reference = subject_reference(keys.secrets["pseudonym.key"], terms.recipient, identity)
    tx.mint_content_key(authorisation, reference)
    _, committed, sealed = bind(tx, authorisation, identity)
    evidence = keep(tx, authorisation, terms, EVIDENCE)
    content = msgspec.json.encode({"terms": terms, "evidence": evidence, "commitment": committed})
    leaf = tx.append("given", authorisation, content).index
    tx.emit(authorisation, 1, State.LIVE)
    if not live:
        tx.append("withdrawn", authorisation, b"")
        tx.emit(authorisation, 2, State.WITHDRAWN)
    signed = certificates.issue(keys.origin, authorisation, 1, public, terms, committed, leaf, signing, keys.suite)
    hashed = certificates.certificate_hash(signed)
    row = columns(tx, terms, EVIDENCE, terms.recipient[:9]) | {
        "id": authorisation, "version": 1 if live else 2, "state": (State.LIVE if live else State.WITHDRAWN).value, "uses": 0,
        "subject_ref": reference, "commitment": committed, "person": sealed, "epoch": 1, "certificate": signed,
        "certificate_hash": hashed, "grant_leaf": leaf,
    }  # fmt: skip
    release_key = {
        "authorisation": authorisation, "epoch": 1, "certificate_hash": hashed, "kek_epoch": keys.release.newest, "suite": keys.suite,
        "wrapped": keys.wrap_release(authorisation, 1, private, keys.suite), "at": tx.now_ms,
    }  # fmt: skip
    return row, release_key

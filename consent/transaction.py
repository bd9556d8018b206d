"""One writing transaction on the ledger: the log row is locked first, so that all writers have one order and one clock.

Nothing of a transaction exists before it is committed and durable: leaves get their index from the locked size, and the tree's
frontier moves with them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, Table, bindparam, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from consent.core import merkle, tiles
from consent.core.facts import Authorisation, State
from consent.core.leaves import commit
from consent.keys import KeyRing
from consent.stores import tables as t
from consent.stores.engine import pack_frontier, unpack_frontier
from exchange.core.encoding import digest, join
from exchange.ports import Unavailable
from exchange.schemas import catalogue

CLOCK_BACK_MAX_MS = 5_000
_NO_AUTHORISATION = bytes(16)


class Leaf(msgspec.Struct, frozen=True):
    """A leaf just appended: its place, bytes, hash, and the salt of its commitment."""

    index: int
    data: bytes
    hash: bytes
    salt: bytes


class Transaction:
    """What happens between the lock and the commit. `now_ms` is the ledger's clock, which never goes back."""

    def __init__(self, connection: Connection, keys: KeyRing, clock_ms: int) -> None:
        self.connection, self.keys = connection, keys
        row = connection.execute(
            update(t.log)
            .where(t.log.c.id == 1)
            .values(
                last_time=func.max(t.log.c.last_time, clock_ms)
                if connection.dialect.name == "sqlite"
                else func.greatest(t.log.c.last_time, clock_ms)
            )
            .returning(t.log.c.size, t.log.c.last_time, t.log.c.frontier, t.log.c.sequence)
        ).one()
        self.size, self.now_ms, self.frontier, self.sequence = (
            row.size,
            row.last_time,
            unpack_frontier(row.frontier),
            row.sequence,
        )
        self.clock_went_back = clock_ms < self.now_ms - CLOCK_BACK_MAX_MS
        self._content_keys: dict[bytes, AESGCM | None] = {}
        self._leaves: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []

    def append(self, kind: str, authorisation: bytes, content: bytes, *, request: bytes = b"", code: str = "") -> Leaf:
        """A leaf: salted commitment in the log, salted content encrypted beside it under the authorisation's content key."""
        salt = self.keys.entropy(32)
        data = (
            catalogue()
            .codec("ledger-leaf")
            .encode(
                {
                    "kind": kind,
                    "at_ms": self.now_ms,
                    "locator": self.locator(authorisation),
                    "commitment": commit(salt, content),
                }
            )
        )
        leaf = Leaf(self.size + len(self._leaves), data, merkle.leaf_hash(data), salt)
        self._leaves.append(
            {"idx": leaf.index, "kind": kind, "at": self.now_ms, "authorisation": authorisation, "request": request, "code": code,
             "leaf": data, "hash": leaf.hash, "content": self._seal_content(authorisation, salt, content)}
        )  # fmt: skip
        return leaf

    def emit(self, authorisation: bytes, version: int, state: str) -> None:
        """A line of the outbox, in the same transaction as the change it tells."""
        self.sequence += 1
        self._events.append(
            {
                "sequence": self.sequence,
                "authorisation": authorisation,
                "version": version,
                "state": state,
                "at": self.now_ms,
            }
        )

    def locator(self, authorisation: bytes) -> bytes:
        if not authorisation:
            return bytes(32)
        return digest(b"accord.locator.v1", self.keys.secrets["pseudonym.key"], authorisation)

    def content_cipher(self, authorisation: bytes) -> AESGCM | None:
        """The authorisation's content cipher, made at its first fact; None once erased."""
        if authorisation not in self._content_keys:
            row = self.connection.execute(
                select(t.content_key.c.wrapped).where(t.content_key.c.authorisation == authorisation)
            ).first()
            self._content_keys[authorisation] = (
                AESGCM(self.keys.unwrap_content_key(authorisation, row.wrapped)) if row else None
            )
        return self._content_keys[authorisation]

    def mint_content_key(self, authorisation: bytes) -> AESGCM:
        key = self.keys.entropy(32)
        self.connection.execute(
            insert(t.content_key).values(
                authorisation=authorisation,
                subject=authorisation,
                wrapped=self.keys.wrap_content_key(authorisation, key),
            )
        )
        self._content_keys[authorisation] = AESGCM(key)
        return AESGCM(key)

    def forget_content_key(self, authorisation: bytes) -> None:
        self.connection.execute(t.content_key.delete().where(t.content_key.c.authorisation == authorisation))
        self._content_keys[authorisation] = None

    def _seal_content(self, authorisation: bytes, salt: bytes, content: bytes) -> bytes:
        cipher = self.content_cipher(authorisation) if authorisation else None
        if cipher is None:
            return join(salt, content) if not authorisation else b""
        nonce = self.keys.entropy(12)
        return nonce + cipher.encrypt(nonce, join(salt, content), b"accord.content.v1")

    def finish(self) -> None:
        """Everything appended is written; the log row moves."""
        if self._leaves:
            _insert_plain(self.connection, t.leaf, self._leaves)
            self.frontier, nodes = tiles.append(self.frontier, self.size, [leaf["hash"] for leaf in self._leaves])
            if nodes:
                self.connection.execute(insert(t.node), [node._asdict() for node in nodes])
            self.size += len(self._leaves)
        if self._events:
            self.connection.execute(insert(t.outbox), self._events)
        self.connection.execute(
            update(t.log).values(size=self.size, frontier=pack_frontier(self.frontier), sequence=self.sequence)
        )


def _insert_plain(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Rows of integers, texts and bytes as the driver takes them: half of what a leaf costs went into SQLAlchemy's own conversions."""
    compiled = insert(table).compile(dialect=connection.dialect)
    order = compiled.positiontup  # None where parameters are named
    connection.exec_driver_sql(
        str(compiled), [tuple(map(row.__getitem__, order)) for row in rows] if order else list(rows)
    )


@contextmanager
def transaction(engine: Engine, keys: KeyRing, clock_ms: int) -> Iterator[Transaction]:
    """Committed and durable on exit. An error of the store at any point means *unknown*: `Unavailable`."""
    with reading(engine) as connection:
        tx = Transaction(connection, keys, clock_ms)
        yield tx
        tx.finish()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction without the lock of the log; errors as above."""
    try:
        with engine.begin() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise Unavailable(f"ledger store: {type(error).__name__}") from None


_SEEN = [
    t.authorisation.c[name]
    for name in (
        "id", "version", "state", "recipient", "provider", "data_set", "purpose", "scopes", "not_before", "not_after", "uses", "max_uses",
        "certificate", "certificate_hash",
    )
]  # fmt: skip
"""The columns of an authorisation in the order of `Authorisation`'s fields."""


def read_authorisations(connection: Connection, ids: Sequence[bytes], now_ms: int) -> dict[bytes, Authorisation]:
    """The authorisations of these ids, with the operators delegated and the scopes habilitated at `now_ms`."""
    query = select(*_SEEN).where(t.authorisation.c.id.in_(bindparam("ids", expanding=True)))
    rows: list[tuple[Any, ...]] = [tuple(row) for row in connection.execute(query, {"ids": list(set(ids))})]
    d, h = t.delegation.c, t.habilitation.c
    recipients = sorted({row[3] for row in rows})
    operators: dict[str, list[str]] = {}
    for row in connection.execute(select(t.delegation).where(d.recipient.in_(recipients), d.not_after > now_ms)):
        operators.setdefault(row.recipient, []).append(row.operator)
    entitled = {
        (row.recipient, row.data_set, row.purpose): _scopes(row.scopes)
        for row in connection.execute(select(t.habilitation).where(h.recipient.in_(recipients), h.not_after > now_ms))
    }
    delegated = {recipient: tuple(sorted(found)) for recipient, found in operators.items()}
    return {
        row[0]: Authorisation(
            row[0], row[1], _STATES[row[2]], row[3], row[4], row[5], row[6], _scopes(row[7]), row[8], row[9], row[10], row[11], row[12],
            row[13], delegated.get(row[3], ()), entitled.get((row[3], row[5], row[6]), ()),
        )
        for row in rows
    }  # fmt: skip


_STATES = {state.value: state for state in State}


@lru_cache(maxsize=1024)
def _scopes(text: str) -> tuple[str, ...]:
    return tuple(json.loads(text))

"""One writing transaction on the ledger: the log row is locked first, so that all writers have one order and one clock.

Nothing of a transaction exists before it is committed and durable: leaves get their index from the locked size, and the tree's
frontier moves with them.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Engine, select

from consent.content import CONTENT, ContentKeys, open_salted, seal_salted
from consent.core import merkle, tiles
from consent.core.facts import Authorisation, State
from consent.core.leaves import RELEASED, commit
from consent.keys import KeyRing
from consent.stores import tables as t
from consent.stores.batch import insert_rows, insert_values, read, run, select_rows
from consent.stores.engine import available, durable, pack_frontier, snapshot, unpack_frontier
from consent.stores.tree import tiles_under
from exchange.core.encoding import join, split
from exchange.core.rule import rule_hash
from exchange.schemas import catalogue

CLOCK_BACK_MAX_MS = 5_000
_SALT_BYTES = 32

_LOCK = """UPDATE log SET last_time = CASE WHEN last_time > ? THEN last_time ELSE ? END WHERE id = 1
RETURNING size, last_time, frontier, sequence"""
_MOVE = "UPDATE log SET size = ?, last_time = ?, frontier = ?, sequence = ?"
_LEAF = ("idx", "kind", "at", "authorisation", "request", "code", "leaf", "hash", "content")
assert tuple(t.leaf.c.keys()) == _LEAF


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
        ((size, now_ms, frontier, sequence),) = read(connection, _LOCK, clock_ms, clock_ms)
        self.size, self.now_ms, self.sequence = int(size), int(now_ms), int(sequence)
        self.frontier, self._found = unpack_frontier(frontier), (self.size, self.sequence)
        self.clock_went_back = clock_ms < self.now_ms - CLOCK_BACK_MAX_MS
        self._content = ContentKeys(connection, keys)
        self._locators = join(b"accord.locator.v1", keys.secrets["pseudonym.key"])
        self._leaves: list[tuple[Any, ...]] = []
        self._hashes: list[bytes] = []
        self._heads: dict[tuple[str, int], bytes] = {}
        self._events: list[dict[str, Any]] = []

    def append(self, kind: str, authorisation: bytes, content: bytes, *, request: bytes = b"", code: str = "") -> Leaf:
        """A leaf: salted commitment in the log, salted content beside it, encrypted under the authorisation's content key if it is about
        what a person said."""
        return self.append_all(kind, [(authorisation, content, request)], code)[0]

    def append_all(self, kind: str, told: Sequence[tuple[bytes, bytes, bytes]], code: str = "") -> list[Leaf]:
        """A leaf for each, of its authorisation, its content and its request, in their order."""
        if not told:
            return []
        head, leaves, at_ms, first = self._leaf_head(kind), list[Leaf](), self.now_ms, self.size + len(self._leaves)
        salts = self.keys.entropy(_SALT_BYTES * len(told))
        for place, (authorisation, content, request) in enumerate(told):
            salt = salts[place * _SALT_BYTES : (place + 1) * _SALT_BYTES]
            data = head + self.locator(authorisation) + commit(salt, content)
            leaf = Leaf(first + place, data, merkle.leaf_hash(data), salt)
            kept = self._kept(kind, authorisation, salt, content)
            self._add((leaf.index, kind, at_ms, authorisation, request, code, data, leaf.hash, kept))
            leaves.append(leaf)
        return leaves

    def _add(self, row: tuple[Any, ...]) -> None:
        """Values in the order of `_LEAF`."""
        self._leaves.append(row)
        self._hashes.append(row[7])

    def _leaf_head(self, kind: str) -> bytes:
        """What the leaves of one kind and moment begin with: locator and commitment, 32 bytes each, come last. Encoded once: strictness
        was a third of what a leaf costs."""
        if (kind, self.now_ms) not in self._heads:
            fact = {"kind": kind, "at_ms": self.now_ms, "locator": bytes(32), "commitment": bytes(32)}
            self._heads[kind, self.now_ms] = catalogue().codec("ledger-fact").encode(fact)[:-64]
        return self._heads[kind, self.now_ms]

    def restore(self, data: bytes, kind: str, at_ms: int, authorisation: bytes, kept: bytes = b"") -> int:
        """A leaf read back from the public log, byte for byte, in its old place, which is returned; its content is lost, but for what was
        `kept`. The clock follows it."""
        self.now_ms = max(self.now_ms, at_ms)
        code = RELEASED if kind == RELEASED else ""
        index = self.size + len(self._leaves)
        self._add((index, kind, at_ms, authorisation, b"", code, data, merkle.leaf_hash(data), kept))
        return index

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
        return sha256(self._locators + join(authorisation)).digest()

    def content_cipher(self, authorisation: bytes) -> AESGCM | None:
        """The authorisation's content cipher; None before its first fact, and once erased."""
        return self._content.cipher(authorisation)

    def prefetch_content(self, authorisations: Iterable[bytes]) -> None:
        """Many content ciphers by one query: `append` and `content_cipher` then find them."""
        self._content.prefetch(authorisations)

    def mint_content_key(self, authorisation: bytes, subject: bytes = b"") -> AESGCM:
        """The authorisation's content cipher, made at its first fact; `subject` is whose it is, once that is known."""
        return self._content.mint(authorisation, subject)

    def forget_content_key(self, authorisation: bytes) -> None:
        """What was said about one authorisation becomes unreadable."""
        self._content.forget(authorisation)

    def forget_subject_key(self, subject: bytes) -> None:
        """What was said about one person (a subject reference) becomes unreadable, whatever the authorisation."""
        self._content.forget_subject(subject)

    def _kept(self, kind: str, authorisation: bytes, salt: bytes, content: bytes) -> bytes:
        if _open(kind, authorisation):
            return join(salt, content)
        cipher = self.content_cipher(authorisation)
        return seal_salted(cipher, self.keys.entropy(12), CONTENT, salt, content) if cipher else b""

    def open_content(self, row: Any) -> tuple[bytes, bytes]:
        """The salt and the content a leaf's row commits to; both empty once erased, or lost with a newer store."""
        if not row.content:
            return b"", b""
        if _open(row.kind, row.authorisation):
            salt, content = split(bytes(row.content), 2)
            return salt, content
        cipher = self.content_cipher(row.authorisation)
        try:
            return open_salted(cipher, CONTENT, bytes(row.content)) if cipher else (b"", b"")
        except InvalidTag:
            if row.kind != "queried":
                raise
            return b"", b""  # of a person who was erased and has agreed anew: the file has another key since

    def finish(self) -> None:
        """Everything appended so far is written; the log row moves, if anything was."""
        if self._leaves:
            insert_values(self.connection, t.leaf, self._leaves)
            self.frontier, nodes = tiles.append(self.frontier, self.size, self._hashes)
            insert_rows(self.connection, t.node, [node._asdict() for node in nodes])
            insert_rows(self.connection, t.tile, tiles_under(self.connection, nodes, self.size, self._hashes))
            self.size += len(self._leaves)
        insert_rows(self.connection, t.outbox, self._events)
        self._leaves, self._hashes, self._events = [], [], []
        if self._found != (self.size, self.sequence):
            run(self.connection, _MOVE, self.size, self.now_ms, pack_frontier(self.frontier), self.sequence)
            self._found = self.size, self.sequence


@contextmanager
def transaction(engine: Engine, keys: KeyRing, clock_ms: int) -> Iterator[Transaction]:
    """Committed and durable on exit. An error of the store at any point means *unknown*: `Unavailable`."""
    with available(), durable(engine) as connection:
        tx = Transaction(connection, keys, clock_ms)
        yield tx
        tx.finish()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A snapshot of the store: nothing is written, the lock of the log is not taken; errors as above."""
    with available(), snapshot(engine) as connection:
        yield connection


def _open(kind: str, authorisation: bytes) -> bool:
    """Whether a leaf's content names nobody, and is not encrypted."""
    return not authorisation or kind == RELEASED


def row_of(connection: Connection, authorisation: bytes) -> Any:
    """The row of an authorisation; None if it is unknown."""
    return connection.execute(select(t.authorisation).where(t.authorisation.c.id == authorisation)).first()


_SEEN = (
    "id", "version", "state", "recipient", "provider", "data_set", "purpose", "scopes", "not_before", "not_after", "uses", "max_uses",
    "certificate", "certificate_hash", "rule", "watch_every_ms",
)  # fmt: skip
"""The columns of an authorisation in the order of `Authorisation`'s fields; the last two are its last."""


class Rights(NamedTuple):
    """Who holds a live delegation of a recipient (SIREN by SIRET), those of them that open answers themselves, and the scopes of a live
    habilitation by recipient, data set and purpose."""

    delegated: dict[str, tuple[str, ...]]
    pulling: dict[str, tuple[str, ...]]
    habilitated: dict[tuple[str, str, str], tuple[str, ...]]


def read_rights(connection: Connection, recipients: Collection[str], now_ms: int) -> Rights:
    """Of these recipients, at `now_ms`."""
    operators: dict[str, list[str]] = {}
    pulling: dict[str, tuple[str, ...]] = {}
    for row in select_rows(connection, t.delegation, "recipient", recipients):
        if row.not_after > now_ms:
            operators.setdefault(row.recipient, []).append(row.operator)
            if row.handover == "pull":
                pulling[row.recipient] = (*pulling.get(row.recipient, ()), row.operator)
    habilitated = {
        (row.recipient, row.data_set, row.purpose): read_scopes(row.scopes)
        for row in select_rows(connection, t.habilitation, "recipient", recipients)
        if row.not_after > now_ms
    }
    return Rights({recipient: tuple(sorted(found)) for recipient, found in operators.items()}, pulling, habilitated)


def read_authorisations(connection: Connection, ids: Sequence[bytes], now_ms: int) -> dict[bytes, Authorisation]:
    """The authorisations of these ids, with the operators delegated and the scopes habilitated at `now_ms`."""
    rows = select_rows(connection, t.authorisation, "id", ids, _SEEN)
    delegated, pulling, habilitated = read_rights(connection, {row[3] for row in rows}, now_ms)
    return {
        id: Authorisation(
            id, version, _STATES[state], recipient, provider, data_set, purpose, read_scopes(scopes), not_before, not_after, uses, max_uses,
            certificate, certificate_hash, delegated.get(recipient, ()), habilitated.get((recipient, data_set, purpose), ()), rule_hash(rule),
            watch, pulling.get(recipient, ()),
        )
        for id, version, state, recipient, provider, data_set, purpose, scopes, not_before, not_after, uses, max_uses, certificate,
            certificate_hash, rule, watch in rows
    }  # fmt: skip


_STATES = {state.value: state for state in State}


@lru_cache(maxsize=1024)
def read_scopes(text: str) -> tuple[str, ...]:
    """Scopes as a column holds them."""
    return tuple(json.loads(text))

"""The consent ledger in one process: it owns the store and the keys; everybody else calls it (`consent.client`).

Each method is one transaction, in the order: lock, decide with a pure rule, write, commit durably, answer. A crash before the
commit leaves nothing; after it, asking again gets the same answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, func, select

from consent import (
    changes,
    erasure,
    grants,
    heads,
    officers,
    processing,
    queries,
    reconcile,
    recovery,
    register,
    releases,
    rotation,
    sweeps,
    withdrawals,
)
from consent import dossier as dossiers
from consent.attempts import attempt
from consent.core import merkle, tiles
from consent.core.facts import (
    Acknowledgement,
    Answer,
    Attempt,
    Attempted,
    Authorisation,
    Confirmation,
    DeadLetter,
    DirectoryEntry,
    Dropped,
    Entry,
    Event,
    Evidence,
    Grant,
    Outcome,
    Submission,
    Terms,
    Verdict,
)
from consent.core.lost import Recovered
from consent.core.query import Breach, Erased, Found, Grounds, Officer, Query, Register, Signed
from consent.core.rules import Happening
from consent.keys import KeyRing
from consent.officers import answered
from consent.receipts import Receipts
from consent.stores import tables as t
from consent.stores import tree
from consent.stores.engine import scrub, unpack_frontier
from consent.tokens import Issuer
from consent.transaction import Transaction, read_authorisations, reading, transaction
from exchange.ports import LEASE_MS, Clock, Recovering, Unavailable

_POLL_S = 0.02


class Ledger(Receipts):
    """`exchange.ports.Ledger`, and what only its owner may do: record habilitations, delegations and keys, sweep, verify."""

    def __init__(
        self,
        engine: Engine,
        keys: KeyRing,
        clock: Clock,
        mac: Callable[[str], bytes],
        issuers: tuple[Issuer, ...] = (),
    ) -> None:
        """`mac(provider)` is the secret shared with that provider's connector. With `issuers`, a grant needs their word."""
        self._engine, self._keys, self._clock, self._mac, self._issuers = engine, keys, clock, mac, issuers
        self._recovery = recovery.Recovery(engine, keys)
        self._proving: tuple[tuple[int, bytes], tiles.Tree] | None = None

    @contextmanager
    def _begin(self, *, recovering: bool = False) -> Iterator[Transaction]:
        """`Recovering` unless the log is whole, or the caller knows what it does without."""
        with transaction(self._engine, self._keys, self._clock.now_ms()) as tx:
            if not recovering:
                heads.require_whole(tx.connection)
            yield tx

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """For what a store older than its log must not tell."""
        with reading(self._engine) as connection:
            heads.require_whole(connection)
            yield connection

    async def grant(
        self, authorisation: bytes, terms: Terms, identity: bytes, evidence: Evidence, operator: str
    ) -> Grant:
        with self._begin() as tx:
            return grants.grant(tx, self._issuers, authorisation, terms, identity, evidence, operator)

    async def request(self, authorisation: bytes, terms: Terms, evidence: Evidence, operator: str) -> None:
        with self._begin() as tx:
            grants.request(tx, authorisation, terms, evidence, operator)

    async def terms(self, authorisation: bytes) -> Terms:
        with reading(self._engine) as connection:
            return grants.held_terms(connection, authorisation)

    async def capsule(self, authorisation: bytes, operator: str) -> Grant:
        with self._begin() as tx:
            return grants.capsule(tx, authorisation, operator)

    async def renew(self, authorisation: bytes, terms: Terms, evidence: Evidence, operator: str) -> Grant:
        with self._begin() as tx:
            return changes.renew(tx, authorisation, terms, evidence, operator)

    async def rebind(self, authorisation: bytes, identity: bytes, evidence: Evidence, operator: str) -> Grant:
        with self._begin() as tx:
            return changes.rebind(tx, authorisation, identity, evidence, operator)

    async def refuse(self, authorisation: bytes, terms: Terms, evidence: Evidence) -> None:
        with self._begin() as tx:
            grants.refuse(tx, authorisation, terms, evidence)

    async def narrow(self, authorisation: bytes, scopes: tuple[str, ...], operator: str) -> Grant:
        with self._begin() as tx:
            return changes.narrow(tx, authorisation, scopes, operator)

    async def withdraw(self, authorisation: bytes, happening: str, evidence: Evidence | None = None) -> Acknowledgement:
        if Happening(happening) not in withdrawals.CLOSES:
            raise ValueError("closes nothing")
        with self._begin(recovering=True) as tx:
            closing = recovery.close(tx, authorisation, Happening(happening), evidence)
        scrub(self._engine, required=happening == Happening.ERASED)
        if closing is None:
            raise Recovering(recorded=True)
        if isinstance(closing, Acknowledgement):
            return closing
        await self._leases_over([authorisation])
        with self._begin(recovering=True) as tx:
            return withdrawals.acknowledge(tx, closing)

    async def _leases_over(self, authorisations: Sequence[bytes]) -> None:
        """No key of these can be on its way any more but those that will be named."""
        over_ms = self._clock.monotonic_ms() + LEASE_MS
        while self._clock.monotonic_ms() < over_ms:
            with reading(self._engine) as connection:
                if not any(withdrawals.leases_open(connection, authorisation) for authorisation in authorisations):
                    break
            await self._clock.sleep(_POLL_S)

    async def appoint(self, officer: Officer) -> int:
        with self._begin() as tx:
            return officers.appoint(tx, officer)

    async def query(self, officer: str, reason: str, query: Query, proofs: bool = True) -> Found:
        with self._begin() as tx:
            found = queries.find(tx, officer, reason, query, proofs)
        return answered(found)

    async def basis(self, officer: str, reason: str, request: bytes) -> Grounds:
        with self._begin() as tx:
            grounds = queries.basis(tx, officer, reason, request)
        return answered(grounds)

    async def refer(self, officer: str, reason: str, identity: bytes, recipient: str) -> bytes:
        with self._begin() as tx:
            subject = queries.refer(tx, officer, reason, identity, recipient)
        return answered(subject)

    async def breach(self, officer: str, reason: str, worker: str, from_ms: int, to_ms: int) -> Breach:
        with self._begin() as tx:
            breach = queries.breach(tx, officer, reason, worker, from_ms, to_ms)
        return answered(breach)

    async def dossier(self, officer: str, reason: str, subject: bytes, authorisation: bytes = b"") -> Signed:
        with self._begin() as tx:
            dossier = dossiers.dossier(tx, officer, reason, subject, authorisation)
        return answered(dossier)

    async def processing(self, officer: str, reason: str) -> Register:
        with self._begin() as tx:
            activities = processing.processing(tx, officer, reason)
        return answered(activities)

    async def erase(self, officer: str, reason: str, subject: bytes) -> Erased:
        with self._begin() as tx:
            closing = erasure.close(tx, officer, reason, subject)
        if not isinstance(closing, erasure.Erasing):
            return answered(closing)
        scrub(self._engine, required=True)
        await self._leases_over([one.authorisation for one in closing.closings])
        with self._begin() as tx:
            return erasure.certify(tx, closing)

    async def lookup(self, authorisations: Sequence[bytes]) -> list[Authorisation | None]:
        with self._reading() as connection:
            held = read_authorisations(connection, authorisations, self._clock.now_ms())
        return [held.get(a) for a in authorisations]

    async def attempt(self, attempts: Sequence[Attempt], worker: str = "") -> list[Attempted]:
        with self._begin() as tx:
            return attempt(tx, attempts, worker)

    async def release(
        self, items: Sequence[Answer | Verdict], confirmed: Sequence[Confirmation], worker: str = ""
    ) -> list[Outcome | Dropped | DeadLetter]:
        with reading(self._engine) as connection:
            checked = releases.check(connection, self._keys, self._mac, items)
        with self._begin() as tx:
            if tx.clock_went_back:
                raise Unavailable("ledger clock went back: no release")
            told = releases.release(tx, checked, worker)
            releases.confirm(tx, confirmed)
        results: list[Outcome | Dropped | DeadLetter] = [Dropped()] * len(items)
        for place, result in zip(checked.places, releases.tell(self._keys, tx.now_ms, told), strict=True):
            results[place] = result
        for place, dead in checked.dead.items():
            results[place] = dead
        return results

    async def unconfirmed(self, submissions: Sequence[Submission]) -> list[bool]:
        with self._reading() as connection:
            return releases.unconfirmed(connection, submissions)

    async def overdue(self, age_ms: int) -> int:
        c = t.terminal.c
        query = select(func.count()).where(
            c.code == "released", c.confirmed_at.is_(None), c.at < self._clock.now_ms() - age_ms
        )
        with reading(self._engine) as connection:
            return int(connection.execute(query).scalar() or 0)

    async def events(self, after: int, limit: int) -> list[Event]:
        query = select(t.outbox).where(t.outbox.c.sequence > after).order_by(t.outbox.c.sequence).limit(limit)
        with self._reading() as connection:
            return [Event(r.sequence, r.authorisation, r.version, r.state, r.at) for r in connection.execute(query)]

    async def directory(self) -> list[DirectoryEntry]:
        with self._reading() as connection:
            return register.directory(connection)

    async def entries(self, authorisation: bytes) -> list[Entry]:
        query = select(t.leaf).where(t.leaf.c.authorisation == authorisation).order_by(t.leaf.c.idx)
        c = t.terminal.c
        fates = select(c.leaf_index, c.request, c.code, c.reason, c.at).where(
            c.authorisation == authorisation, c.code != "released"
        )
        with reading(self._engine) as connection:
            own = [Entry(r.idx, r.kind, r.at, authorisation, r.request, r.code) for r in connection.execute(query)]
            others = [
                Entry(r.leaf_index, r.code, r.at, authorisation, r.request, r.reason) for r in connection.execute(fates)
            ]
        return sorted(own + others, key=lambda e: (e.index, e.request))

    async def checkpoint(self) -> str:
        """With the cosignatures it has; `Unavailable` if the log does not follow from the last head signed."""
        return self._head().note

    def _head(self) -> heads.Head:
        with reading(self._engine) as connection:
            signed = heads.current(connection)
        if signed is None:
            with self._begin(recovering=True) as tx:
                signed = heads.sign(tx)
        return signed

    async def proof(self, index: int) -> tuple[bytes, list[bytes], str]:
        """In the tree of the last cosigned head if the leaf is in it, else of one signed now."""
        with reading(self._engine) as connection:
            head = heads.last(connection, cosigned=True)
        if head is None or index >= head.size:
            head = self._head()
        if not 0 <= index < head.size:
            raise ValueError("no such leaf")
        try:
            with reading(self._engine) as connection:
                leaf = bytes(connection.execute(select(t.leaf.c.leaf).where(t.leaf.c.idx == index)).scalar_one())
            path = self._tree_of(head).inclusion(index)
            merkle.verify_inclusion(merkle.leaf_hash(leaf), index, head.size, path, head.root)
        except ValueError:
            raise Unavailable("ledger log: a leaf does not lead to its head") from None
        return leaf, path, head.note

    def _tree_of(self, head: heads.Head) -> tiles.Tree:
        """The tree of the head that proofs were last asked for: they have most of it in common."""
        if self._proving is None or self._proving[0] != (head.size, head.root):
            self._proving = (head.size, head.root), tiles.Tree(head.size, self.source().hashes)
        return self._proving[1]

    async def signed(self) -> list[heads.Head]:
        """The heads signed and not forgotten, smallest first."""
        with reading(self._engine) as connection:
            return [head for head in heads.held(connection) if head.root]

    async def anchor(self, text: str) -> None:
        """A checkpoint of ours that others hold: only what follows from it will be signed. BadNote if it is not ours."""
        head = heads.read(text, self._keys.verifier)
        with self._begin(recovering=True) as tx:
            heads.anchor(tx, head)

    async def witnessed(self, size: int) -> None:
        """A witness has seen that size: if the log is behind, the ledger is recovering until its leaves are back."""
        with self._begin(recovering=True) as tx:
            if size > tx.size:
                heads.remember(tx.connection, heads.Head(size, b"", ""))

    async def cosigned(self, head: heads.Head, lines: Sequence[str]) -> None:
        """Keep verified cosignatures of a head of ours."""
        with self._begin(recovering=True) as tx:
            heads.cosign(tx.connection, head, lines)

    async def published(self, size: int) -> None:
        """Forget the heads that nobody needs any more once that of `size` is published."""
        with self._begin(recovering=True) as tx:
            heads.forget(tx.connection, size)

    async def missing(self) -> int:
        with reading(self._engine) as connection:
            return heads.missing(connection)

    async def recover(self, folder: str) -> Recovered:
        """One step (`consent.recovery`); keys destroyed by it have left the store's files on return."""
        if not await self.missing():
            await self.rotate()
        found = self._recovery.step(Path(folder), self._clock.now_ms())
        if found.reread or found.applied:
            scrub(self._engine, required=True)
        return found

    def source(self) -> tree.Store:
        """The log's hashes and entries, for `consent.publish`."""
        return tree.Store(self._engine)

    async def habilitate(
        self,
        recipient: str,
        data_set: str,
        purpose: str,
        scopes: tuple[str, ...],
        legal_reference: str,
        not_after_ms: int,
    ) -> None:
        with self._begin() as tx:
            register.habilitate(tx, recipient, data_set, purpose, scopes, legal_reference, not_after_ms)

    async def delegate(self, recipient: str, operator: str, not_after_ms: int) -> None:
        with self._begin() as tx:
            register.delegate(tx, recipient, operator, not_after_ms)

    async def enter(self, entry: DirectoryEntry) -> DirectoryEntry:
        """A public key, countersigned."""
        with self._begin() as tx:
            return register.enter(tx, entry)

    async def sweep(self) -> int:
        """Record what time has done (`consent.sweeps`); how many leaves."""
        with self._begin() as tx:
            sweeps.destroy_retired(tx)
            return sweeps.expire(tx) + sweeps.settle(tx)

    async def rotate(self, now: bool = False) -> int:
        """Release KEKs of another day (`consent.rotation`); how many keys moved. Others are served between its transactions."""
        moved = 0
        for some in rotation.rotate(self._begin, self._keys, now=now):
            moved += some
            await asyncio.sleep(0)
        return moved

    async def verify(self) -> list[str]:
        """Recomputes the log from its leaves, and the states from the log; the list of what does not hold is empty when all does."""
        with reading(self._engine) as connection:
            log = connection.execute(select(t.log)).one()
            rows = connection.execute(select(t.leaf.c.idx, t.leaf.c.leaf, t.leaf.c.hash).order_by(t.leaf.c.idx)).all()
            nodes = {tiles.Node(*row) for row in connection.execute(select(t.node))}
            disagreements = list(reconcile.problems(connection))
        problems = [f"leaf {row.idx}: hash" for row in rows if merkle.leaf_hash(row.leaf) != row.hash]
        if [row.idx for row in rows] != list(range(log.size)):
            problems.append("indexes are not contiguous")
            return problems
        frontier, expected = tiles.append((), 0, [row.hash for row in rows])
        if frontier != unpack_frontier(log.frontier):
            problems.append("root does not follow from the leaves")
        elif nodes != set(expected):
            problems.append("nodes do not follow from the leaves")
        return problems + disagreements

    async def has_key(self, authorisation: bytes) -> bool:
        """Whether any private key of this authorisation still exists."""
        query = select(func.count()).where(t.release_key.c.authorisation == authorisation)
        with reading(self._engine) as connection:
            return bool(connection.execute(query).scalar())

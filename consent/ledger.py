"""The consent ledger in one process: it owns the store and the keys; everybody else calls it (`consent.client`).

Each method is one transaction, in the order: lock, decide with a pure rule, write, commit durably, answer. A crash before the
commit leaves nothing; after it, asking again gets the same answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from sqlalchemy import Engine, func, select

from consent import (
    changes,
    citizens,
    desk,
    grants,
    heads,
    intake,
    recovery,
    register,
    releases,
    rotation,
    sweeps,
    waiting,
    withdrawals,
)
from consent.attempts import attempt
from consent.citizens import Citizens
from consent.core.facts import (
    Acknowledgement,
    Answer,
    Attempt,
    Attempted,
    Authorisation,
    Confirmation,
    DeadLetter,
    Delegation,
    DirectoryEntry,
    Dropped,
    Entry,
    Event,
    Evidence,
    Grant,
    Habilitation,
    Handover,
    Outcome,
    Submission,
    Tally,
    Terms,
    Verdict,
    Waiting,
)
from consent.core.glance import ROSTER_MAX, Glance, Roster
from consent.core.lost import Recovered
from consent.core.rules import Happening
from consent.glances import glance, roster
from consent.issuers import DECLARED, Issuers
from consent.keys import KeyRing
from consent.office import Office
from consent.opening import Opener, here
from consent.receipts import Receipts
from consent.sightings import of_authorisation
from consent.stores import tables as t
from consent.stores.engine import scrub
from consent.transaction import read_authorisations, reading
from exchange import rules
from exchange.core.errors import Code
from exchange.ports import Clock, Recovering, Refused, Unavailable


class Ledger(Receipts, Office, Citizens):
    """`exchange.ports.Ledger`, and what only its owner may do; the log, receipts, what officers and what people ask are its bases."""

    def __init__(
        self,
        engine: Engine,
        keys: KeyRing,
        clock: Clock,
        mac: Callable[[str], bytes],
        issuers: Callable[[], Issuers] = lambda: DECLARED,
        opener: Opener = here,
    ) -> None:
        """`mac(provider)` is the secret shared with that provider's connector. A grant needs the word of `issuers`."""
        super().__init__(engine, keys, clock)
        self._mac, self.issuers, self._opener = mac, issuers, opener
        self._recovery = recovery.Recovery(engine, keys)
        self._swept_ms = 0

    async def grant(
        self, authorisation: bytes, terms: Terms, identity: bytes, evidence: Evidence, operator: str
    ) -> Grant:
        with self._begin() as tx:
            return grants.grant(tx, self.issuers(), authorisation, terms, identity, evidence, operator)

    async def grant_sealed(
        self, authorisation: bytes, terms: Terms, sealed: bytes, evidence: Evidence, operator: str
    ) -> Grant:
        identity, whole = intake.opened(self._keys, authorisation, terms, sealed, evidence, operator)
        return await self.grant(authorisation, terms, identity, whole, operator)

    async def intake(self) -> DirectoryEntry:
        return intake.entry(self._keys, self._clock.now_ms())

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
            return changes.renew(tx, self.issuers(), authorisation, terms, evidence, operator)

    async def rebind(self, authorisation: bytes, identity: bytes, evidence: Evidence, operator: str) -> Grant:
        with self._begin() as tx:
            return changes.rebind(tx, self.issuers(), authorisation, identity, evidence, operator)

    async def claim(self, authorisation: bytes, identity: bytes, evidence: Evidence) -> None:
        with self._begin() as tx:
            citizens.claim(tx, self.issuers(), authorisation, identity, evidence)

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

    async def consult(self, authorisation: bytes, agent: str, recipient: str) -> None:
        with self._begin() as tx:
            desk.consult(tx, authorisation, agent, recipient)

    async def tally(self, agent: str) -> Tally:
        with self._reading() as connection:
            recorded = grants.assisted(connection, agent, self._clock.now_ms())
        return Tally(recorded, grants.ASSISTED_A_DAY_MAX)

    async def lookup(self, authorisations: Sequence[bytes]) -> list[Authorisation | None]:
        with self._reading() as connection:
            held = read_authorisations(connection, authorisations, self._clock.now_ms())
        return [held.get(a) for a in authorisations]

    async def glance(self, authorisations: Sequence[bytes]) -> Glance:
        with self._reading() as connection:
            return glance(connection, authorisations, self._clock.now_ms())

    async def roster(self, after: bytes, limit: int) -> Roster:
        with self._reading() as connection:
            return roster(connection, after, min(limit, ROSTER_MAX), self._clock.now_ms())

    async def attempt(self, attempts: Sequence[Attempt], worker: str = "") -> list[Attempted]:
        with self._begin() as tx:
            return attempt(tx, attempts, worker)

    async def release(
        self, items: Sequence[Answer | Verdict], confirmed: Sequence[Confirmation], worker: str = ""
    ) -> list[Outcome | Waiting | Dropped | DeadLetter]:
        return await self._release(items, confirmed, worker)

    async def _release(
        self, items: Sequence[Answer | Verdict], confirmed: Sequence[Confirmation], worker: str, *, pulled: bool = False
    ) -> list[Outcome | Waiting | Dropped | DeadLetter]:
        answers: list[releases.Met] = []
        if items:
            with reading(self._engine) as connection:
                answers = releases.met(connection, self._keys, self._mac, items)
        checked = releases.check(items, answers, await self._opener([one.closed for one in answers]))
        with self._begin() as tx:
            if tx.clock_went_back:
                raise Unavailable("ledger clock went back: no release")
            releases.confirm(tx, confirmed)  # first: what is met again with its own confirmation is dropped
            told = releases.release(tx, checked, worker, pulled=pulled)
        results: list[Outcome | Waiting | Dropped | DeadLetter] = [Dropped()] * len(items)
        for place, result in zip(checked.places, releases.tell(self._keys, tx.now_ms, told), strict=True):
            results[place] = result
        for place, dead in checked.dead.items():
            results[place] = dead
        return results

    async def open(self, submission: Submission, worker: str = "") -> Outcome:
        with self._reading() as connection:
            items = waiting.answers(connection, [submission])
        for result in await self._release(items, [], worker, pulled=True):
            if isinstance(result, Outcome):
                return result
            if isinstance(result, Waiting):
                raise Refused(Code.PREVIEW_PENDING)
        raise Refused(Code.NOTHING_WAITS)

    async def received(self, submissions: Sequence[Submission]) -> None:
        with self._begin() as tx:
            waiting.received(tx, submissions)

    async def over(self, worker: str = "") -> list[Outcome | Waiting]:
        with self._reading() as connection:
            if not waiting.anything(connection):
                return []
            over = bool(waiting.over(connection, self._clock.now_ms()))
            through = waiting.through(connection)
        told = [*(await self._release(through, [], worker))] if through else []
        if over:
            with self._begin() as tx:
                told += releases.over(tx, self._mac, worker)
        return [one for one in told if isinstance(one, Outcome | Waiting)]

    async def announced(self, submissions: Sequence[Submission]) -> None:
        with self._begin() as tx:
            waiting.passed_on(tx, submissions)

    async def unconfirmed(self, submissions: Sequence[Submission]) -> list[bool]:
        with self._reading() as connection:
            return releases.unconfirmed(connection, submissions)

    async def overdue(self, submissions: Sequence[Submission], age_ms: int) -> list[bool]:
        with self._reading() as connection:
            return releases.overdue(connection, submissions, self._clock.now_ms() - age_ms)

    async def events(self, after: int, limit: int) -> list[Event]:
        query = select(t.outbox).where(t.outbox.c.sequence > after).order_by(t.outbox.c.sequence).limit(limit)
        with self._reading() as connection:
            return [Event(r.sequence, r.authorisation, r.version, r.state, r.at) for r in connection.execute(query)]

    async def directory(self) -> list[DirectoryEntry]:
        with self._reading() as connection:
            return register.directory(connection)

    async def entries(self, authorisation: bytes) -> list[Entry]:
        c = t.terminal.c
        fates = select(c.leaf_index, c.request, c.code, c.reason, c.at).where(t.other_ends(authorisation))
        with reading(self._engine) as connection:
            leaves = of_authorisation(connection, authorisation)
            own = [Entry(r.idx, r.kind, r.at, authorisation, r.request, r.code) for r in leaves]
            others = [
                Entry(r.leaf_index, r.code, r.at, authorisation, r.request, r.reason) for r in connection.execute(fates)
            ]
        return sorted(own + others, key=lambda e: (e.index, e.request))

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

    async def habilitations(self) -> list[Habilitation]:
        with self._reading() as connection:
            return register.habilitations(connection)

    async def delegate(self, recipient: str, operator: str, not_after_ms: int, handover: Handover = "push") -> None:
        with self._begin() as tx:
            register.delegate(tx, recipient, operator, not_after_ms, handover)

    async def delegations(self) -> list[Delegation]:
        with self._reading() as connection:
            return register.delegations(connection)

    async def enter(self, entry: DirectoryEntry) -> DirectoryEntry:
        """A public key, countersigned."""
        with self._begin() as tx:
            return register.enter(tx, entry)

    async def sign_rule(self, document: str) -> bytes:
        """No leaf: whoever agrees to a rule has it in the leaf of their agreement."""
        try:
            return rules.sign(document, self._keys.origin, self._keys.registrar)
        except rules.BadRule:
            raise Refused(Code.RULE_INVALID) from None

    async def sweep(self) -> int:
        """Record what time has done (`consent.sweeps`), and say so where it has ended who may ask; how many leaves."""
        with self._begin() as tx:
            waiting.forget(tx)
            sweeps.destroy_retired(tx)
            register.lapse(tx, self._swept_ms)
            done = sweeps.expire(tx) + sweeps.settle(tx)
            tx.finish()  # leaves among the rows, for what is looked up
            sweeps.leave(tx)
        self._swept_ms = tx.now_ms
        return done

    async def rotate(self, now: bool = False, content: bool = False) -> int:
        """Release KEKs of another day, or `now`; the content KEK if asked (`consent.rotation`). How many keys moved. Others are served
        between its transactions."""
        moved = 0
        release = rotation.rotate(self._begin, self._keys, now=now)
        for some in chain(release, rotation.rotate_content(self._begin, self._keys, now=content)):
            moved += some
            await asyncio.sleep(0)
        return moved

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

    async def has_key(self, authorisation: bytes) -> bool:
        """Whether any private key of this authorisation still exists."""
        query = select(func.count()).where(t.release_key.c.authorisation == authorisation)
        with reading(self._engine) as connection:
            return bool(connection.execute(query).scalar())

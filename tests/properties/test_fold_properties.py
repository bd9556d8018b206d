"""The ledger under any history: grants, requests, deliveries in any order and number, crashes, restarts, withdrawals.

Checked after every step, on the outcomes as a collectivity would see them and on the log (protocol §2): I1a order, I1b closed,
I1c named, I3 one outcome, I6 append-only, and uses = `released` leaves.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule
from sqlalchemy import select

from consent.core import merkle, note
from consent.core.facts import Acknowledgement, Answer, Outcome, State, Verdict
from consent.stores import tables as t
from exchange.core.errors import Code
from exchange.ports import Refused
from exchange.receipt import verify_release
from tests.world import OPERATOR, Asked, World, confirmation

VERDICTS = ("refused", "failed", "cancelled", "expired")
SCOPES = ("cnaf_adresse", "cnaf_allocataires", "cnaf_enfants", "cnaf_quotient_familial")


class Sent(NamedTuple):
    """Something on a topic: it may be delivered any number of times, in any order."""

    asked: Asked
    item: Answer | Verdict


class Exchange(RuleBasedStateMachine):
    """One ledger, its topics as growing sets, and what everybody was told."""

    authorisations, sent = Bundle("authorisations"), Bundle("sent")

    @initialize()
    def open(self) -> None:
        self.runner = asyncio.Runner()
        self.world = self.run(World.open())
        self.told: dict[Any, list[Outcome]] = {}
        self.acknowledged: dict[bytes, list[Acknowledgement]] = {}
        self.with_key: set[Any] = set()
        self.checkpoints: list[note.Checkpoint] = []

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        if hasattr(self, "runner"):
            assert self.run(self.world.ledger.verify()) == []
            self.world.engine.dispose()
            self.runner.close()

    @rule(target=authorisations, uses=st.integers(1, 3), life_ms=st.sampled_from([5_000, 10**9]))
    def grant(self, uses: int, life_ms: int) -> bytes:
        return self.run(self.world.give(max_uses=uses, not_after_ms=self.world.clock.now_ms() + life_ms))  # type: ignore[no-any-return]

    @rule(
        target=sent,
        authorisation=authorisations,
        request=st.integers(1, 4),
        month=st.sampled_from("34"),
        ttl_ms=st.sampled_from([1_000, 60_000]),
        answers=st.integers(1, 2),
    )
    def request(self, authorisation: bytes, request: int, month: str, ttl_ms: int, answers: int) -> Any:
        """A few request ids under two asks, so that retries and conflicts are common; one or two sealed answers."""
        asked = self.world.ask(authorisation, request=request.to_bytes(16, "big"), month=month, ttl_ms=ttl_ms)
        if self.run(self.world.attempt(asked)).reason:
            return multiple()
        return multiple(*(Sent(asked, self.world.answer(asked)) for _ in range(answers)))

    @rule(target=sent, to=sent, code=st.sampled_from(VERDICTS))
    def propose(self, to: Sent, code: str) -> Sent:
        """A verdict of the gate, a connector or the deadline agent about a request already made."""
        deadline_ms = to.asked.attempt.deadline_ms
        return Sent(to.asked, Verdict(to.asked.key, to.asked.digest, deadline_ms, code, Code.PROVIDER_ERROR))  # type: ignore[arg-type]

    @rule(chunk=st.lists(sent, min_size=1, max_size=6), confirms=st.sampled_from(["now", "later", "never"]))
    def deliver(self, chunk: list[Sent], confirms: str) -> None:
        """A chunk, duplicates and all; its outcomes are sent, then confirmed, or the worker crashes before that."""
        results = self.run(self.world.release(*(one.item for one in chunk)))
        outcomes = [r for r in results if isinstance(r, Outcome)]
        for outcome in outcomes:
            assert outcome.delivery != "key" or outcome.key.authorisation not in self.acknowledged, (
                "I1b: handed over after"
            )
            if outcome.code == "released":
                verify_release(outcome, outcome.digest, self.world.keys.verifier)
            if confirms != "never":
                self.told.setdefault(outcome.key, []).append(outcome)
        if confirms == "now":
            self.run(self.world.confirm(*outcomes))
            first = {(o.key, o.digest): o for o in reversed(outcomes)}.values()
            self.with_key |= {o.key for o in first if confirmation(o).with_key and o.code == "released"}

    @rule(authorisation=authorisations, happening=st.sampled_from(["withdrawn", "opposed", "erased"]))
    def withdraw(self, authorisation: bytes, happening: str) -> None:
        ack = self.run(self.world.ledger.withdraw(authorisation, happening))
        note.verify(ack.note, self.world.keys.verifier)
        earlier = self.acknowledged.setdefault(authorisation, [])
        for other in earlier:
            assert other.state != ack.state or other == ack, "the same acknowledgement"
        if not earlier:
            entries = self.run(self.world.ledger.entries(authorisation))
            released = {e.request for e in entries if e.kind == "released"}
            confirmed = {key.request for key in self.with_key if key.authorisation == authorisation}
            assert set(ack.named) == released - confirmed, "I1c: named"
        earlier.append(ack)

    @rule(authorisation=authorisations, scopes=st.sets(st.sampled_from(SCOPES), min_size=1))
    def narrow(self, authorisation: bytes, scopes: set[str]) -> None:
        try:
            grant = self.run(self.world.ledger.narrow(authorisation, tuple(sorted(scopes)), OPERATOR))
        except Refused:
            return
        self.world.wallet.keep(authorisation, grant.capsule)

    @rule(ms=st.sampled_from([1, 999, 5_000]))
    def wait(self, ms: int) -> None:
        self.world.clock.advance(ms)

    @rule()
    def sweep(self) -> None:
        self.run(self.world.ledger.sweep())

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @invariant()
    def one_outcome(self) -> None:
        """I3: whatever a collectivity was told of a request says the same, but for conflicts of other submissions."""
        for outcomes in getattr(self, "told", {}).values():
            fates = {(o.digest, o.code, o.reason, o.leaf_index) for o in outcomes if o.code != "conflict"}
            assert len(fates) <= 1, fates
            conflicts = {o.digest for o in outcomes if o.code == "conflict"}
            assert conflicts.isdisjoint(digest for digest, *_ in fates)

    @invariant()
    def nothing_released_after_a_withdrawal(self) -> None:
        """I1a, and uses: read from the log alone."""
        for authorisation in getattr(self, "acknowledged", {}):
            kinds = [
                e.kind for e in self.run(self.world.ledger.entries(authorisation)) if e.kind in {*State, "released"}
            ]
            closed = next(i for i, kind in enumerate(kinds) if kind in ("withdrawn", "opposed", "erased"))
            assert "released" not in kinds[closed:], kinds
            assert not self.run(self.world.ledger.has_key(authorisation))

    @invariant()
    def uses_are_released_leaves(self) -> None:
        if not hasattr(self, "world"):
            return
        with self.world.engine.begin() as connection:
            leaves = (
                connection.execute(select(t.leaf.c.authorisation).where(t.leaf.c.kind == "released")).scalars().all()
            )
            for row in connection.execute(
                select(t.authorisation.c.id, t.authorisation.c.uses, t.authorisation.c.max_uses)
            ):
                assert row.uses == leaves.count(row.id) <= row.max_uses

    @invariant()
    def the_log_only_grows(self) -> None:
        """I6: this checkpoint is consistent with every one before; no index is given twice."""
        if not hasattr(self, "world"):
            return
        head = note.parse_checkpoint(note.verify(self.run(self.world.ledger.checkpoint()), self.world.keys.verifier))
        with self.world.engine.begin() as connection:
            hashes = connection.execute(select(t.leaf.c.hash).order_by(t.leaf.c.idx)).scalars().all()
        for old in self.checkpoints[-2:]:
            path = merkle.consistency_path(hashes, old.size)
            merkle.verify_consistency(old.size, head.size, path, old.root, head.root)
        self.checkpoints.append(head)


TestExchange = Exchange.TestCase
TestExchange.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestExchange.__doc__ = "No history breaks I1a, I1b, I1c, I3, I6, nor the count of uses."

"""The ledger under any history: grants, requests, deliveries in any order and number, crashes, restarts, withdrawals.

Checked after every step, on the outcomes as a collectivity would see them and on the log (protocol §2): I1a order, I1b closed,
I1c named, I3 one outcome, I6 append-only, and uses = `released` leaves.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from consent.core import merkle, note
from consent.core.facts import (
    Acknowledgement,
    Answer,
    Confirmation,
    DeadLetter,
    Dropped,
    Outcome,
    State,
    Submission,
    Verdict,
    Waiting,
)
from consent.stores import tables as t
from exchange.core.errors import Code
from exchange.introduction import ONLINE
from exchange.ports import Refused
from exchange.receipt import verify_release
from tests.world import OPERATOR, RECIPIENT, Asked, World, confirmation

CLOSERS = ("withdrawn", "opposed", "erased")
VERDICTS = ("refused", "failed", "cancelled", "expired")
PICK = st.integers(0, 11)
SCOPES = ("cnaf_adresse", "cnaf_allocataires", "cnaf_enfants", "cnaf_quotient_familial")


class Sent(NamedTuple):
    """Something on a topic: it may be delivered any number of times, in any order."""

    asked: Asked
    item: Answer | Verdict


class Exchange(RuleBasedStateMachine):
    """One ledger, its topics as growing sets, and what everybody was told."""

    data_set, scopes = "cnaf.quotient-familial.v1", SCOPES

    @initialize()
    def open(self) -> None:
        """A ledger with two agreements, and requests on their way: no rule has to wait for another."""
        self.runner = asyncio.Runner()
        self.world = self.run(World.open())
        self.told: dict[Any, list[Outcome]] = {}
        self.acknowledged: dict[bytes, list[Acknowledgement]] = {}
        self.first: dict[Any, bytes] = {}
        self.confirmed: dict[Any, bool | None] = {}
        self.checkpoints: list[note.Checkpoint] = []
        self.sent: list[Sent] = []
        self.authorisations: list[bytes] = []
        self.grant(3, 10**9)
        self.grant(1, 10**9)
        self.request(0, [(1, "3"), (2, "3"), (1, "4")], 60_000)

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @precondition(lambda self: len(self.authorisations) < 4)
    @rule(uses=st.integers(1, 3), life_ms=st.sampled_from([5_000, 10**9]))
    def grant(self, uses: int, life_ms: int) -> None:
        until_ms = self.world.clock.now_ms() + life_ms
        given = self.run(self.world.give(data_set=self.data_set, max_uses=uses, not_after_ms=until_ms))
        self.authorisations.append(given)

    @rule(
        which=PICK,
        asks=st.lists(st.tuples(st.integers(1, 3), st.sampled_from("334")), min_size=1, max_size=4),
        ttl_ms=st.sampled_from([1_000, 60_000, 60_000]),
    )
    def request(self, which: int, asks: list[tuple[int, str]], ttl_ms: int) -> None:
        """A few request ids under two asks, so that retries and conflicts are common; each is attempted and answered."""
        authorisation = self.authorisations[which % len(self.authorisations)]
        for request, month in asks:
            asked = self.world.ask(authorisation, request=request.to_bytes(16, "big"), month=month, ttl_ms=ttl_ms)
            if not self.run(self.world.attempt(asked)).reason:
                self.sent.append(Sent(asked, self.world.answer(asked)))

    @rule(which=PICK, code=st.sampled_from(VERDICTS))
    def propose(self, which: int, code: str) -> None:
        """A verdict of the gate, a connector or the deadline agent about a request already made."""
        asked = self.sent[which % len(self.sent)].asked
        verdict = Verdict(asked.key, asked.digest, asked.attempt.deadline_ms, code, Code.PROVIDER_ERROR)  # type: ignore[arg-type]
        self.sent.append(Sent(asked, verdict))

    @rule(picks=st.lists(PICK, min_size=1, max_size=8), confirms=st.sampled_from(["now", "later", "never"]))
    def deliver(self, picks: list[int], confirms: str) -> None:
        """A chunk, duplicates and all; its outcomes are sent, then confirmed, or the worker crashes before that."""
        chunk = [self.sent[pick % len(self.sent)] for pick in picks]
        results = self.run(self.world.release(*(one.item for one in chunk)))
        outcomes = [r for r in results if isinstance(r, Outcome)]
        for one, result in zip(chunk, results, strict=True):
            self.check(one, result)
            if isinstance(result, Outcome) and confirms != "never":
                self.told.setdefault(result.key, []).append(result)
        if confirms == "now":
            self.run(self.world.confirm(*outcomes))
            for outcome in outcomes:
                if (outcome.key, outcome.digest) not in self.confirmed:
                    self.confirmed[outcome.key, outcome.digest] = confirmation(outcome).with_key

    @rule(
        picks=st.lists(PICK, min_size=1, max_size=4),
        confirms=st.sampled_from(["now", "later", "never"]),
        happening=st.sampled_from(CLOSERS),
    )
    def withdraw_in_flight(self, picks: list[int], confirms: str, happening: str) -> None:
        """The history all is about: told or not, confirmed or not, withdrawn, and met again."""
        authorisation = self.sent[picks[0] % len(self.sent)].asked.key.authorisation
        self.deliver(picks, confirms)
        self.withdraw(self.authorisations.index(authorisation), happening)
        self.deliver(picks, "now")

    def check(self, one: Sent, result: Any) -> None:
        """One item's result against what was decided before."""
        key, digest = one.asked.key, one.asked.digest
        first = self.first.get(key)
        if isinstance(result, Waiting):
            assert first in (None, digest) and key.authorisation not in self.acknowledged
            self.first[key] = digest
        if isinstance(result, DeadLetter):
            return  # a retry's deadline or a narrowing: this answer proves nothing here
        if first is not None and first != digest:
            assert isinstance(result, Outcome) and result.code == "conflict"
        elif (key, digest) in self.confirmed:
            assert isinstance(result, Dropped)
        if isinstance(result, Outcome):
            self.first.setdefault(key, digest)
            assert result.delivery != "key" or key.authorisation not in self.acknowledged, "I1b: handed over after"
            if result.code == "released":
                verify_release(result, digest, self.world.keys.verifier)

    @rule(which=PICK, happening=st.sampled_from(CLOSERS))
    def withdraw(self, which: int, happening: str) -> None:
        authorisation = self.authorisations[which % len(self.authorisations)]
        ack = self.run(self.world.ledger.withdraw(authorisation, happening))
        note.verify(ack.note, self.world.keys.verifier)
        earlier = self.acknowledged.setdefault(authorisation, [])
        for other in earlier:
            assert other.state != ack.state or other == ack, "the same acknowledgement"
        if not earlier:
            entries = self.run(self.world.ledger.entries(authorisation))
            released = {e.request for e in entries if e.kind == "released"}
            assert set(ack.named) == released - self.delivered(authorisation), "I1c: named"
        earlier.append(ack)

    def delivered(self, authorisation: bytes) -> set[bytes]:
        """The requests whose answer is known to have arrived with its key."""
        return {k.request for (k, _), given in self.confirmed.items() if given and k.authorisation == authorisation}

    @rule(which=PICK, kept=st.sets(st.integers(0, 3), min_size=1))
    def narrow(self, which: int, kept: set[int]) -> None:
        authorisation = self.authorisations[which % len(self.authorisations)]
        scopes = tuple(sorted({self.scopes[n % len(self.scopes)] for n in kept}))
        try:
            grant = self.run(self.world.ledger.narrow(authorisation, scopes, OPERATOR))
        except Refused:
            return
        self.world.wallet.keep(authorisation, grant.capsule)

    @rule(ms=st.sampled_from([1, 999, 5_000]), sweeps=st.booleans(), restarts=st.booleans())
    def wait(self, ms: int, sweeps: bool, restarts: bool) -> None:
        """Time passes; the ledger may record it, or be started again."""
        self.world.clock.advance(ms)
        if sweeps:
            self.run(self.world.ledger.sweep())
        if restarts:
            self.world.restart()
        self.note_checkpoint()

    def teardown(self) -> None:
        """What the log says in the end, since it only grows."""
        if not hasattr(self, "runner"):
            return
        self.note_checkpoint()
        for authorisation in self.acknowledged:
            self.nothing_released_after_a_withdrawal(authorisation)
        self.uses_are_released_leaves()
        self.the_log_only_grew()
        self.world.engine.dispose()
        self.runner.close()

    @invariant()
    def one_outcome(self) -> None:
        """I3: whatever a collectivity was told of a request says the same, but for conflicts of other submissions."""
        for outcomes in getattr(self, "told", {}).values():
            fates = {(o.digest, o.code, o.reason, o.leaf_index) for o in outcomes if o.code != "conflict"}
            assert len(fates) <= 1, fates
            conflicts = {o.digest for o in outcomes if o.code == "conflict"}
            assert conflicts.isdisjoint(digest for digest, *_ in fates)

    def nothing_released_after_a_withdrawal(self, authorisation: bytes) -> None:
        """I1a, from the log alone; and the key is gone."""
        kinds = [e.kind for e in self.run(self.world.ledger.entries(authorisation)) if e.kind in {*State, "released"}]
        closed = next(i for i, kind in enumerate(kinds) if kind in CLOSERS)
        assert "released" not in kinds[closed:], kinds
        assert not self.run(self.world.ledger.has_key(authorisation))

    def uses_are_released_leaves(self) -> None:
        with self.world.engine.begin() as connection:
            leaves = (
                connection.execute(select(t.leaf.c.authorisation).where(t.leaf.c.kind == "released")).scalars().all()
            )
            for row in connection.execute(
                select(t.authorisation.c.id, t.authorisation.c.uses, t.authorisation.c.max_uses)
            ):
                assert row.uses == leaves.count(row.id) <= row.max_uses

    def note_checkpoint(self) -> None:
        text = self.run(self.world.ledger.checkpoint())
        self.checkpoints.append(note.parse_checkpoint(note.verify(text, self.world.keys.verifier)))

    def the_log_only_grew(self) -> None:
        """I6: every checkpoint ever signed is a prefix of the last one; the log follows from its leaves."""
        with self.world.engine.begin() as connection:
            hashes = connection.execute(select(t.leaf.c.hash).order_by(t.leaf.c.idx)).scalars().all()
        head = self.checkpoints[-1]
        for old in self.checkpoints:
            path = merkle.consistency_path(hashes, old.size)
            merkle.verify_consistency(old.size, head.size, path, old.root, head.root)
        assert self.run(self.world.ledger.verify()) == []


TestExchange = Exchange.TestCase
TestExchange.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestExchange.__doc__ = "No history breaks I1a, I1b, I1c, I3, I6, nor the count of uses."


class Pulled(Exchange):
    """The same, where the collectivity opens its answers itself: at any time, again, or never."""

    @initialize()
    def open(self) -> None:
        super().open()
        self.received: set[Any] = set()
        until_ms = self.world.clock.now_ms() + 10**9
        self.run(self.world.ledger.delegate(RECIPIENT, OPERATOR, until_ms, "pull"))

    @rule(which=PICK, keeps=st.booleans())
    def pull(self, which: int, keeps: bool) -> None:
        """It opens one, and says that it has it, or loses it on the way."""
        asked = self.sent[which % len(self.sent)].asked
        submission = Submission(asked.key, asked.digest)
        try:
            outcome = self.run(self.world.ledger.open(submission))
        except Refused:
            return  # nothing waits
        assert self.first[asked.key] == asked.digest
        assert outcome.delivery != "key" or asked.key.authorisation not in self.acknowledged, "I1: opened after"
        self.told.setdefault(asked.key, []).append(outcome)
        if outcome.code == "released":
            verify_release(outcome, asked.digest, self.world.keys.verifier)
        if outcome.delivery == "key" and keeps:
            self.run(self.world.ledger.received([submission]))
            self.received.add(asked.key)

    @rule(picks=st.lists(PICK, min_size=1, max_size=4), keeps=st.booleans(), happening=st.sampled_from(CLOSERS))
    def withdraw_what_waits(self, picks: list[int], keeps: bool, happening: str) -> None:
        """Met, opened or not, withdrawn, and asked for again."""
        authorisation = self.sent[picks[0] % len(self.sent)].asked.key.authorisation
        self.deliver(picks, "now")
        self.pull(picks[-1], keeps)
        self.withdraw(self.authorisations.index(authorisation), happening)
        for pick in picks:
            self.pull(pick, keeps)

    @rule(confirms=st.booleans())
    def tell(self, confirms: bool) -> None:
        """The release agent tells what was opened, or can wait no longer; or dies before it says so."""
        for outcome in self.run(self.world.ledger.over()):
            assert outcome.delivery == "none" and not outcome.inner
            self.told.setdefault(outcome.key, []).append(outcome)
            if confirms:
                self.run(self.world.ledger.release([], [Confirmation(outcome.key, outcome.digest, None)]))
                self.confirmed.setdefault((outcome.key, outcome.digest), None)

    def check(self, one: Sent, result: Any) -> None:
        """No key leaves with what release tells."""
        super().check(one, result)
        assert not isinstance(result, Outcome) or result.delivery != "key"

    def delivered(self, authorisation: bytes) -> set[bytes]:
        return super().delivered(authorisation) | {k.request for k in self.received if k.authorisation == authorisation}


class Previewed(Exchange):
    """The same, where each answer waits for its person: who says yes, no, both, again, late or never, pushed or pulled."""

    data_set = "cnous.etudiant-boursier.v2"
    scopes = ("cnous_echelon_bourse", "cnous_identite", "cnous_statut_boursier")

    @initialize(pulls=st.booleans())
    def open(self, pulls: bool = False) -> None:
        super().open()
        self.said: dict[Any, bool] = {}
        self.pulls = pulls
        if pulls:
            until_ms = self.world.clock.now_ms() + 10**9
            self.run(self.world.ledger.delegate(RECIPIENT, OPERATOR, until_ms, "pull"))

    @rule(which=PICK, accepted=st.booleans())
    def say(self, which: int, accepted: bool) -> None:
        asked = self.sent[which % len(self.sent)].asked
        submission, before = Submission(asked.key, asked.digest), self.said.get((asked.key, asked.digest))
        try:
            self.run(self.world.ledger.previewed(submission, accepted, ONLINE))
        except Refused:
            taken = False
        else:
            taken = True
        erased = asked.key.authorisation in self.acknowledged
        assert taken == (before == accepted) or before is None or (erased and not taken), "said once"
        if not taken:
            return
        self.said[asked.key, asked.digest] = accepted

    @rule(which=PICK, accepted=st.booleans())
    def met_then_said(self, which: int, accepted: bool) -> None:
        """The history all is about: met, said, and met again."""
        self.deliver([which], "now")
        self.say(which, accepted)
        self.pull(which)
        self.deliver([which], "now")

    @rule(which=PICK)
    def pull(self, which: int) -> None:
        """The collectivity asks for one, whether it may or not."""
        asked = self.sent[which % len(self.sent)].asked
        try:
            outcome = self.run(self.world.ledger.open(Submission(asked.key, asked.digest)))
        except Refused:
            return
        self.seen(outcome)
        self.told.setdefault(asked.key, []).append(outcome)

    @rule(confirms=st.booleans())
    def tell(self, confirms: bool) -> None:
        """The release agent goes on with what was let through and tells what ended; or dies before it says so."""
        for one in self.run(self.world.ledger.over()):
            if isinstance(one, Waiting):
                assert one.awaits == "collectivity" and self.said[one.key, one.digest]
                if confirms:
                    self.run(self.world.ledger.announced([Submission(one.key, one.digest)]))
                continue
            self.seen(one)
            self.told.setdefault(one.key, []).append(one)
            if confirms:
                with_key = {"key": True, "cut": False, "none": None}[one.delivery]
                self.run(self.world.ledger.release([], [Confirmation(one.key, one.digest, with_key)]))
                self.confirmed.setdefault((one.key, one.digest), with_key)

    def seen(self, outcome: Outcome) -> None:
        """Released only what its person let through; what they refused says so and holds nothing."""
        said = self.said.get((outcome.key, outcome.digest))
        if outcome.code == "released":
            assert said is True, "released unseen"
            verify_release(outcome, outcome.digest, self.world.keys.verifier)
        assert outcome.delivery != "key" or outcome.key.authorisation not in self.acknowledged, "I1: after"
        if said is False and outcome.code != "conflict":
            assert (outcome.code, outcome.reason, outcome.inner) == ("refused", Code.PREVIEW_REJECTED, b"")

    def check(self, one: Sent, result: Any) -> None:
        super().check(one, result)
        if isinstance(result, Outcome):
            self.seen(result)


TestPulled = Pulled.TestCase
TestPulled.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestPreviewed = Previewed.TestCase
TestPreviewed.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestPreviewed.__doc__ = (
    "Nor where their person lets them through first: nothing is released unseen, and a no is one outcome and no use."
)
TestPulled.__doc__ = "Nor where answers wait to be opened: what is opened is what I1 speaks of."

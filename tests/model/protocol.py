"""The amended protocol (protocol.md §2–§4), actor by actor: every step that may happen in a state.

Each decision is a method of its own, so that a mutant is a subclass with one of them wrong (`tests.model.mutants`). What the ledger
decides is asked of the project's own core (`tests.model.ledger`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from consent.core.facts import State as Life
from consent.core.release import Fate
from consent.core.rules import CLOSED, Cell, Happening, Keys, step
from tests.model.ledger import Standing, decide, serves
from tests.model.state import IDLE, VERDICTS, Hand, Message, Outcome, Read, State, Step, Submission, World

RETIRED = (Life.EXPIRED, Life.USED_UP)
CLOSES = {"withdraw": Happening.WITHDRAWN, "erase": Happening.ERASED}


class Accord:
    """The protocol as it is, in one world. `lease`: a key is sent only within its lease, and the acknowledgement waits for leases."""

    lease = True

    def __init__(self, world: World) -> None:
        self.world = world

    def steps(self, s: State) -> Iterator[Step]:
        """Everything that may happen next. Actors `user` and `fault` never count as progress."""
        yield from self.people(s)
        yield from self.time(s)
        yield from self.gate(s)
        yield from self.connector(s)
        yield from self.deadline_agent(s)
        yield from self.worker(s, 0)
        if s.workers[0] != s.workers[1]:
            yield from self.worker(s, 1)

    # The citizen, the collectivity

    def people(self, s: State) -> Iterator[Step]:
        """Grant, submit, withdraw, erase, receive an acknowledgement, open an answer."""
        if s.auth is None:
            yield Step("user", "grant", (), self.happen(s, Life.REQUESTED, Happening.GIVEN))
        sub = self.next_submission(s)
        if sub is not None:
            certified = s.certified | {sub} if s.auth is not None else s.certified
            yield Step("user", "submit", sub, s.write(("request", *sub, 0))._replace(certified=certified))
        for act, happening in CLOSES.items():
            if act in self.world.acts and s.auth and step(s.auth, happening):
                yield Step("user", act, (), self.happen(s, s.auth, happening))
        if self.may_acknowledge(s):
            yield Step("user", "acknowledge", (), s._replace(acknowledged=s.auth, named=self.names(s)))
        if "open" in self.world.acts:
            for outcome in s.outcomes - s.opened:
                if outcome[4] == "key":
                    yield Step("user", "open", outcome, s._replace(opened=s.opened | {outcome}))

    def next_submission(self, s: State) -> Submission | None:
        """Requests are alike, and so are byte strings: the first to be submitted is called number 0."""
        everything = [(r, v) for r in range(self.world.requests) for v in range(self.world.submissions)]
        return next((sub for sub in everything if ("request", *sub, 0) not in s.written), None)

    def happen(self, s: State, life: Life, happening: Happening) -> State:
        """An event of the authorisation, as the project's table has it: state, key, leaf. The same state where it has no cell."""
        cell = step(life, happening)
        if cell is None:
            return s
        return s._replace(auth=cell.state, key=self.key_after(s, cell), log=(*s.log, (happening.value,)))

    def key_after(self, s: State, cell: Cell) -> bool:
        """Minted, kept, retired (that is, kept until nothing needs it), or destroyed."""
        return cell.keys is Keys.MINT or (s.key and cell.keys not in (Keys.DESTROY, Keys.DESTROY_ALL))

    def may_acknowledge(self, s: State) -> bool:
        """A closing, once committed, when no worker may still send a key of it."""
        return s.auth in CLOSED and s.acknowledged is not s.auth and not self.leased(s)

    def leased(self, s: State) -> bool:
        return any(hand and hand.leased for hand in s.workers)

    def names(self, s: State) -> frozenset[int]:
        """Released, and not confirmed with its key; one confirmed as cut stays: a stalled worker may still hold its key."""
        return frozenset(r for r, row in enumerate(s.rows) if row and row[1] == "released" and r not in s.given)

    # Time

    def time(self, s: State) -> Iterator[Step]:
        """Deadlines pass, the authorisation expires, a retired key that nothing needs dies: on the ledger's clock."""
        if "deadline" in self.world.acts:
            for sub in s.submitted():
                if sub not in s.due:
                    yield Step("clock", "deadline", sub, s._replace(due=s.due | {sub}))
        if "expire" in self.world.acts and s.auth is Life.LIVE:
            yield Step("clock", "expire", (), self.happen(s, s.auth, Happening.EXPIRED))
        if s.key and s.auth in RETIRED and not self.unconfirmed(s):
            yield Step("clock", "sweep", (), s._replace(key=False))

    def unconfirmed(self, s: State) -> bool:
        """Whether a release is not confirmed yet."""
        return any(row and row[1] == "released" and (r, row[0]) not in s.confirmed for r, row in enumerate(s.rows))

    # Gate and connector

    def gate(self, s: State) -> Iterator[Step]:
        """Events make it forget; requests become tasks or verdicts."""
        if s.remembered and s.auth is not Life.LIVE:
            yield Step("gate", "forget", (), s._replace(remembered=False))
        for message in s.written:
            if message[0] == "request":
                yield from self.stage(s, "gate", "judge", message, self.judged(s, message[1:3]))

    def judged(self, s: State, sub: Submission) -> State:
        """Allowed from memory; all else after asking the ledger, which is then remembered."""
        if s.remembered and sub in s.certified and sub not in s.due:
            return s.write(("task", *sub, 0))
        if "stale gate" in self.world.faults:
            s = s._replace(remembered=s.auth is Life.LIVE)
        if sub not in s.certified or not serves(s.auth, s.uses, self.world.uses_max):
            return s.write(("refusal", *sub, 0))
        return s.write(("expiry" if sub in s.due else "task", *sub, 0))

    def connector(self, s: State) -> Iterator[Step]:
        """T-attempt, the State's answer, the seal."""
        for message in s.written:
            if message[0] == "task":
                yield from self.stage(s, "connector", "call", message, self.called(s, message[1:3]))

    def called(self, s: State, sub: Submission) -> State:
        """Each call seals another answer, unlike any other of the request; the world bounds how many."""
        if sub in s.due:
            return s.write(("expiry", *sub, 0))
        if not serves(s.auth, s.uses, self.world.uses_max):
            return s.write(("refusal", *sub, 0))
        sealed = sum(m[0] == "answer" and m[1:3] == sub for m in s.written)
        number = sub[1] * self.world.answers + sealed
        return s.write(("answer", *sub, number)) if sealed < self.world.answers else s

    def stage(self, s: State, actor: str, act: str, message: Message, after: State) -> Iterator[Step]:
        """What was read is done and its offset committed; or the stage died in between, or the message came again."""
        waits = message in s.pending
        if waits:
            yield Step(actor, act, message, after._replace(pending=after.pending - {message}))
        if (after is not s and after != s) and (not waits or "stages" in self.world.faults):
            yield Step("fault", act, message, after)

    # Deadlines

    def deadline_agent(self, s: State) -> Iterator[Step]:
        """Proposes `expired` again and again while no outcome is confirmed. Its clock may be fast."""
        for sub in s.submitted():
            proposal = ("expiry", *sub, 0)
            if not self.watches(s, sub) or proposal in s.pending:
                continue
            if sub in s.due:
                yield Step("agent", "propose", sub, self.proposed(s, proposal))
            elif "fast clock" in self.world.faults and proposal not in s.written:
                yield Step("fault", "propose", sub, self.proposed(s, proposal))

    def watches(self, s: State, sub: Submission) -> bool:
        """Until its outcome is confirmed. What release would drop is left out: it changes nothing and would pass for progress."""
        row = s.rows[sub[0]]
        return sub not in s.confirmed and (row is None or row[:2] != (sub[1], "released"))

    def proposed(self, s: State, proposal: Message) -> State:
        return s._replace(written=s.written | {proposal}, pending=s.pending | {proposal})

    # Release

    def worker(self, s: State, i: int) -> Iterator[Step]:
        """Take, decide, send, confirm; die at any point between two steps."""
        hand, actor, after = s.workers[i], f"worker{i}", _Hands(s.workers[1 - i])
        if not hand:
            for message in s.written:
                if message[0] in VERDICTS:
                    yield from self.take(s, message, actor, after)
            return
        if hand.phase == "check":
            yield from self.decided(s, hand.message, hand.outcome, actor, after, hand)
        elif hand.phase == "hold":
            yield from self.send(s, hand, actor, after)
            yield Step("fault", "die", (), after(s, IDLE), hand)
        else:
            told = self.confirm(s, hand)
            offset = told._replace(pending=told.pending - {hand.message})
            yield Step(actor, "confirm", (), after(offset, IDLE), hand)
            yield Step("fault", "confirm", "offset lost", after(told, IDLE), hand)
            yield Step("fault", "die", (), after(s, IDLE), hand)

    def take(self, s: State, message: Message, actor: str, after: _Hands) -> Iterator[Step]:
        """Opened, then decided: at once, unless the world lets something happen in between."""
        read = Read(s.key, s.uses)
        if self.world.two_steps:
            who = actor if message in s.pending else "fault"
            yield Step(who, "open before", message, after(s, Hand("check", message, read, False)))
        else:
            yield from self.decided(s, message, read, actor, after, IDLE)

    def decided(self, s: State, message: Message, read: Read, actor: str, after: _Hands, hand: Any) -> Iterator[Step]:
        """T-release: one transaction. What is told is in hand, within its lease if there is a key."""
        settled, outcome = self.settle(s, message, read)
        waits = message in s.pending
        if outcome is not None:
            leased = self.lease and outcome[4] == "key"
            held = after(settled, Hand("hold", message, outcome, leased))
            yield Step(actor if waits or hand else "fault", "take", (message, outcome), held, hand)
        elif waits or hand:
            done = settled._replace(pending=settled.pending - {message})
            yield Step(actor, "take", (message, None), after(done, IDLE), hand)

    def settle(self, s: State, message: Message, read: Read) -> tuple[State, Outcome | None]:
        """The state after the transaction, and what to tell."""
        fate, uses = self.decide(s, message, read)
        _, r, v, number = message
        if fate.action == "drop":
            return s, None
        if fate.action == "conflict":
            return s, (r, v, "conflict", -1, "none")
        answer = number if fate.code == "released" else -1
        if fate.action == "insert":
            rows = (*s.rows[:r], (v, fate.code, answer), *s.rows[r + 1 :])
            s = s._replace(rows=rows, log=(*s.log, (fate.code, r, v)), uses=uses)
            if fate.code == "released" and uses >= self.world.uses_max and s.auth is not None:
                s = self.happen(s, s.auth, Happening.USED_UP)
        return s, (r, v, fate.code, answer, fate.delivery)

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        """The project's own rule."""
        row, sub = self.row(s, message), (message[1], message[2])
        confirmed = row is not None and (message[1], row[0]) in s.confirmed
        return decide(message, Standing(s.auth, s.key, read.opened, s.uses, self.world.uses_max, row, confirmed, sub in s.due))  # fmt: skip

    def row(self, s: State, message: Message) -> Any:
        """The terminal row that a message meets."""
        return s.rows[message[1]]

    def send(self, s: State, hand: Hand, actor: str, after: _Hands) -> Iterator[Step]:
        """Within the lease, or the key is dropped and asked for again."""
        key = hand.outcome[4] == "key"
        if hand.leased:
            yield Step("clock", "lease ends", (), after(s, hand._replace(leased=False)), hand)
        if hand.leased or not key or not self.lease:
            sent = s._replace(outcomes=s.outcomes | {hand.outcome})
            yield Step(actor, "send", (), after(sent, hand._replace(phase="sent", leased=False)), hand)
        else:
            yield Step(actor, "drop", (), after(s, IDLE), hand)

    def confirm(self, s: State, hand: Hand) -> State:
        """The ledger learns what the broker has; the first confirmation counts."""
        r, v, _, _, delivery = hand.outcome
        if (r, v) in s.confirmed:
            return s
        return s._replace(confirmed=s.confirmed | {(r, v)}, given=s.given | {r} if delivery == "key" else s.given)


class _Hands:
    """Puts something in the hand of one worker, beside what the other holds."""

    def __init__(self, other: Any) -> None:
        self._other = other

    def __call__(self, s: State, hand: Any) -> State:
        other = self._other
        return s._replace(workers=(hand, other) if hand <= other else (other, hand))

"""Answers that wait to be opened (`handover: pull`), actor by actor: the collectivity asks, and its asking is the release.

Beside `Accord` only what differs: release lets answers wait, the collectivity opens them within a lease of its own, loses what it was
told or says that it has it, and release tells all without the key what was opened or can wait no longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from consent.core.facts import Awaits
from consent.core.facts import State as Life
from consent.core.release import Fate
from tests.model.ledger import Standing, decide
from tests.model.protocol import Accord
from tests.model.state import IDLE, Hand, Message, Outcome, Read, State, Step, Submission


class Pulling(Accord):
    """The protocol where the operator opens its answers itself."""

    def people(self, s: State) -> Iterator[Step]:
        yield from super().people(s)
        yield from self.collectivity(s)

    def collectivity(self, s: State) -> Iterator[Step]:
        """Ask for what waits; then open it within the lease, drop it, or lose it; say that it is here, or never."""
        hand: Any = s.asking
        if not hand:
            for message in s.waiting:
                settled, outcome = self.settle(s, message, Read(s.key, s.uses), pulled=True)
                if outcome is not None:
                    asked = Hand("hold", message, outcome, self.lease and outcome[4] == "key")
                    yield Step("user", "take", (message, outcome), settled._replace(asking=asked))
        elif hand.outcome[4] != "key":
            yield Step("user", "hear", hand.outcome, s._replace(asking=IDLE))
        else:
            yield Step("fault", "lose", hand.outcome, s._replace(asking=IDLE))
            if hand.leased:
                yield Step("clock", "lease ends", hand.outcome, s._replace(asking=hand._replace(leased=False)))
            if self.may_open(hand):
                opened = s._replace(asking=IDLE, outcomes=s.outcomes | {hand.outcome}, opened=s.opened | {hand.outcome})
                yield Step("user", "open", hand.outcome, opened)
        for outcome in s.opened:
            if outcome[0] not in s.given:
                yield Step("user", "receive", outcome, s._replace(given=s.given | {outcome[0]}))

    def may_open(self, hand: Hand) -> bool:
        """What came later than the lease is dropped."""
        return hand.leased or not self.lease

    def leased(self, s: State) -> bool:
        asking: Any = s.asking
        return super().leased(s) or bool(asking and asking.leased)

    def deadline_agent(self, s: State) -> Iterator[Step]:
        yield from super().deadline_agent(s)
        for message in s.waiting:
            told = self.told(s, message)
            if told is not None:
                yield Step("agent", "tell", message, told)

    def told(self, s: State, message: Message) -> State | None:
        """Release tells what was opened or can wait no longer, without its key; None where there is nothing to tell."""
        sub, row = message[1:3], s.rows[message[1]]
        if sub in s.confirmed or (row is None and s.auth is Life.LIVE and sub not in s.due):
            return None
        settled, outcome = self.settle(s, message, Read(False, s.uses), pulled=True)
        assert outcome is not None
        plain: Outcome = (*outcome[:4], "none")
        return settled._replace(outcomes=settled.outcomes | {plain}, confirmed=settled.confirmed | {sub})

    def settle(self, s: State, message: Message, read: Read, pulled: bool = False) -> tuple[State, Outcome | None]:
        s = s._replace(pulled=pulled)
        settled, outcome = super().settle(s, message, read)
        waits = self.decide(s, message, read)[0].action == "wait"
        return settled._replace(
            pulled=False, waiting=s.waiting | {message} if waits else s.waiting
        ), None if waits else outcome

    def decide(self, s: State, message: Message, read: Read) -> tuple[Fate, int]:
        row, sub = self.row(s, message), (message[1], message[2])
        confirmed = row is not None and (message[1], row[0]) in s.confirmed and not s.pulled
        standing = Standing(s.auth, s.key, read.opened, s.uses, self.world.uses_max, row, confirmed, sub in s.due, self.world.pull,
                            s.pulled, self.world.preview, self.awaits(s, sub))  # fmt: skip
        return decide(message, standing)

    def awaits(self, s: State, sub: Submission) -> Awaits:
        """Whom an answer that waits for this submission waits for."""
        return "collectivity"

    def row(self, s: State, message: Message) -> Any:
        """The terminal row, or the answer that waits."""
        waits = next(((v, "waiting", number) for _, r, v, number in s.waiting if r == message[1]), None)
        return s.rows[message[1]] or waits

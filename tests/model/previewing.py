"""Answers that their person lets through, or keeps back, before they are handed over (ADR 0031): pushed or pulled.

Beside `Pulling` only what differs: every answer waits for its person; let through and pushed it is delivered to release once more, which
goes on with it; kept back it has its one row in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterator

from consent.core.facts import Awaits
from consent.core.facts import State as Life
from tests.model.pulling import Pulling
from tests.model.state import Message, Read, State, Step, Submission


class Previewing(Pulling):
    """The protocol where the data set asks for a preview."""

    def people(self, s: State) -> Iterator[Step]:
        yield from super().people(s)
        for message in s.waiting:
            if self.may_say(s, message):
                yield Step("user", "let through", message, self.let_through(s, message))
                yield Step("user", "keep back", message, self.keep_back(s, message))

    def collectivity(self, s: State) -> Iterator[Step]:
        if self.world.pull:
            yield from super().collectivity(s)

    def may_say(self, s: State, message: Message) -> bool:
        """Once, while it may still be handed over."""
        sub = message[1:3]
        return s.rows[message[1]] is None and s.auth is Life.LIVE and sub not in s.let | s.due

    def let_through(self, s: State, message: Message) -> State:
        pushed = frozenset() if self.world.pull else frozenset({message})
        return s._replace(let=s.let | {message[1:3]}, pending=s.pending | pushed)

    def keep_back(self, s: State, message: Message) -> State:
        settled, _ = self.settle(s, ("refusal", *message[1:3], 0), Read(s.key, s.uses))
        return settled._replace(kept=settled.kept | {message[1:3]})

    def told(self, s: State, message: Message) -> State | None:
        """What goes on as a release is told as one."""
        if message[1:3] in s.let and not self.world.pull:
            return None
        return super().told(s, message)

    def awaits(self, s: State, sub: Submission) -> Awaits:
        if sub not in s.let:
            return "person"
        return "collectivity" if self.world.pull else "release"

"""What the model knows at one moment, and what may happen next.

A topic is a growing set: any message ever written may be delivered again, at any time, in any order, to any worker; `pending`
holds those whose offset is not committed, and matters for progress only. A zombie is a worker that takes no step for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from consent.core.facts import State as Life

Submission = tuple[int, int]
"""(request, which bytes): the same id with other bytes is another submission."""

Message = tuple[str, int, int, int]
"""(kind, request, bytes, which sealed answer). Kinds: request, task, answer, refusal, expiry; the last two are verdicts."""

Outcome = tuple[int, int, str, int, str]
"""(request, bytes, code, which sealed answer or -1, delivery)."""

Row = tuple[int, str, int]
"""(bytes, code, which sealed answer or -1): a terminal row."""

VERDICTS = ("answer", "refusal", "expiry")
"""What release reads."""


@dataclass(frozen=True)
class World:
    """The size of a world and what may go wrong in it, beside the crashes of release workers, which are always there.

    `submissions`: byte strings per request id; `answers`: sealed answers per submission. `acts`: withdraw, erase, expire, open,
    deadline. `faults`: `stages` (gate and connector die before they commit), `stale gate`, `fast clock` (of the deadline agent).
    `two_steps`: a worker opens an answer before its transaction, and anything may happen in between. `pull`: the operator opens its
    answers itself. `preview`: their person lets them through first.
    """

    requests: int = 1
    submissions: int = 1
    answers: int = 1
    uses_max: int = 2
    given: bool = False
    acts: frozenset[str] = frozenset()
    faults: frozenset[str] = frozenset()
    two_steps: bool = False
    pull: bool = False
    preview: bool = False


class Hand(NamedTuple):
    """What a release worker has in hand: `check` (opened, not yet decided: `outcome` is then a `Read`), `hold`, `sent`."""

    phase: str
    message: Message
    outcome: Any
    leased: bool


class Read(NamedTuple):
    """What was read before the transaction: whether the answer opened, and the uses."""

    opened: bool
    uses: int


IDLE: Any = ()
Workers = tuple[Any, Any]


class State(NamedTuple):
    """One moment. `auth` is None before the grant; `log` are the leaves, in order; `workers` are kept sorted: they are alike."""

    auth: Life | None
    key: bool
    """The authorisation's private key exists."""
    uses: int
    rows: tuple[Row | None, ...]
    log: tuple[tuple[Any, ...], ...]
    confirmed: frozenset[Submission]
    given: frozenset[int]
    """Requests whose outcome was confirmed, the first time, with its key."""
    acknowledged: Life | None
    """The closing that the citizen holds an acknowledgement of."""
    named: frozenset[int]
    remembered: bool
    """The gate remembers the authorisation as live."""
    certified: frozenset[Submission]
    """Submitted under the grant's certificate."""
    written: frozenset[Message]
    pending: frozenset[Message]
    due: frozenset[Submission]
    """Their deadline has passed, on the ledger's clock."""
    outcomes: frozenset[Outcome]
    opened: frozenset[Outcome]
    """What the collectivity's application has opened."""
    workers: Workers
    waiting: frozenset[Message] = frozenset()
    """Answers that the ledger keeps for the collectivity to open."""
    asking: Any = IDLE
    """What the collectivity was told of one it asked for."""
    pulled: bool = False
    """Within a transaction: the collectivity asks."""
    let: frozenset[Submission] = frozenset()
    """Their person let the answer through."""
    kept: frozenset[Submission] = frozenset()
    """Their person would not have it handed over."""

    def write(self, *messages: Message) -> State:
        """Messages reach their topics; one that lies there already changes nothing."""
        new = self.written.union(messages)
        if len(new) == len(self.written):
            return self
        return self._replace(written=new, pending=self.pending | (new - self.written))

    def submitted(self) -> list[Submission]:
        return [m[1:3] for m in self.written if m[0] == "request"]


class Step(NamedTuple):
    """One thing that happens. `actor`: user, fault, clock, gate, connector, agent, worker0, worker1; `about` is a message, a submission,
    an outcome or a name; `hand` is what the worker had in hand before."""

    actor: str
    act: str
    about: Any
    after: State
    hand: Any = IDLE

    def __str__(self) -> str:
        faulty = "" if self.actor != "fault" else " (fault)"
        holding = f" with {' '.join(map(str, self.hand.message))}" if self.hand else ""
        return f"{self.act}{holding} {self.about if self.about != () else ''}".rstrip() + faulty


def initial(world: World) -> State:
    """Nothing submitted; the grant is there if the world says so."""
    none: frozenset[Any] = frozenset()
    auth = Life.LIVE if world.given else None
    log = (("given",),) if world.given else ()
    return State(auth, world.given, 0, (None,) * world.requests, log, none, none, None, none, False, none, none, none, none, none, none,
                 (IDLE, IDLE))  # fmt: skip

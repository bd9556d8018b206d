"""The few things the agents need from outside. Each Protocol's docstring is its contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, Self

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
    Waiting,
)
from consent.core.glance import Glance, Roster
from exchange.core.errors import Code

LEASE_MS = 500
"""How long after asking a key may still be sent (protocol §2, I1d)."""

Headers = Sequence[tuple[str, bytes]]


class Unavailable(Exception):
    """A broker, ledger or provider that does not answer now. Nothing is known of what it did: ask again."""


class BadStore(Unavailable):
    """A ledger store that will not do: settings that would forget a commit, or a schema that is not ours. Says which, `name=value`."""


class Recovering(Unavailable):
    """The ledger knows that it is older than the log it published: it answers nothing until the missing leaves are back. A withdrawal is
    `recorded` and binding all the same; its acknowledgement is there once its leaf is: ask again."""

    def __init__(self, recorded: bool = False) -> None:
        super().__init__("recovering: recorded, binding, not acknowledged yet" if recorded else "recovering")
        self.recorded = recorded


class Refused(Exception):
    """The ledger says no, and why."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.value)
        self.code = code


class Record(Protocol):
    """A message read from a topic. `timestamp` is the broker's append time, ms. aiokafka's own records satisfy this."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


class Message(NamedTuple):
    """A message to send."""

    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]


Batches = Mapping[tuple[str, int], Sequence[Message]]
"""Messages in order, by (topic, partition)."""


class Outbox(Protocol):
    """Where agents send. On return every message is durable (acks=all, idempotent) and in order within its partition.
    Raises `Unavailable` when that cannot be known, within `timeout_ms` where given; some may then have been written. One caller at a time."""

    async def send(self, batches: Batches, timeout_ms: int | None = None) -> None: ...

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has; 0 if it does not exist, or is too new to be known."""

    async def refresh(self) -> None:
        """Ask which topics exist, now."""


class Reader(Protocol):
    """Reads one topic whole, in no group and committing nothing, from the offsets it was made with. Raises `Unavailable`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def next(self, timeout_ms: int = 500) -> list[Sequence[Record]]:
        """The chunks that are there, one per partition; none after `timeout_ms`."""

    async def end_offsets(self) -> dict[int, int]:
        """Where each partition ends now."""


class Clock(Protocol):
    """Time. `now_ms` is the wall clock; `monotonic_ms` never goes back and counts suspension. Simulated in `exchange.testing`."""

    def now_ms(self) -> int: ...

    def monotonic_ms(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...


class Agent(Protocol):
    """One stage of the bus. Knows nothing of Faust, wall time or the event loop's clock.

    `handle` gets all records just fetched from one partition (of several: `together`) and returns once its outputs are durable; the chunk is committed
    after that, and comes again if the process dies before. An exception is a bug, except `Unavailable`: the chunk comes again.
    Chunks of a partition come one after the other, of several partitions `at_once`; `tick` runs about twice a second, once none is at work.
    The commit of a partition never passes what `held` names.
    """

    @property
    def name(self) -> str: ...

    @property
    def topics(self) -> tuple[str, ...]:
        """Topic names; one `*` stands for any SIREN or provider, new ones included."""

    @property
    def patience_s(self) -> float:
        """How long records may wait for company: 0 where somebody waits for what follows from them."""

    @property
    def together(self) -> bool:
        """Whether `handle` takes the records of several partitions at once, each partition's in order."""

    @property
    def paced(self) -> bool:
        """Whether records wait for company where processes compete for processors: the first stage does, and those that follow get them together."""

    @property
    def timed(self) -> bool:
        """Whether `tick` has anything to do. If not, chunks do not wait for it."""

    @property
    def at_once(self) -> int:
        """How many chunks `handle` may be given at once, each of another partition; 1 where `together`."""

    @property
    def fetch_bytes(self) -> int:
        """The most that is fetched of a partition at once. A batch of which only a part came (1 MiB at most) is fetched again."""

    async def handle(self, chunk: Sequence[Record]) -> None: ...

    async def tick(self) -> None: ...

    def held(self, topic: str, partition: int) -> int | None:
        """The lowest offset not yet settled, or None."""

    def revoked(self, partitions: set[tuple[str, int]]) -> None:
        """These partitions belong to somebody else now."""


class Ledger(Protocol):
    """The consent ledger: the authority. Each call that writes is one durable transaction, safe to repeat: the same request
    gets the same answer. Raises `Unavailable` when the outcome is unknown. Calls may come concurrently; they are serialised."""

    async def grant(
        self, authorisation: bytes, terms: Terms, identity: bytes, evidence: Evidence, operator: str
    ) -> Grant:
        """Record an agreement for the person of canonical `identity`; the capsule is sealed to the recipient key that
        `operator` (SIREN) holds. Same id and terms: same grant; else `Refused`."""

    async def grant_sealed(
        self, authorisation: bytes, terms: Terms, sealed: bytes, evidence: Evidence, operator: str
    ) -> Grant:
        """The same, whom it is about and who vouches for them sealed to `intake` (`consent.core.sealed`); `evidence` is the rest.
        `Refused` `identity_unopenable` for another key or another act."""

    async def intake(self) -> DirectoryEntry:
        """The ledger's public key (X25519) to seal to, signed by its certificate key."""

    async def request(self, authorisation: bytes, terms: Terms, evidence: Evidence, operator: str) -> None:
        """A collectivity asks for an agreement under these terms; the person is not known yet. Same id and terms: nothing changes."""

    async def refuse(self, authorisation: bytes, terms: Terms, evidence: Evidence) -> None:
        """Record that the person said no: to what was asked, or to what is live, which it closes."""

    async def withdraw(self, authorisation: bytes, happening: str, evidence: Evidence | None = None) -> Acknowledgement:
        """`withdrawn`, `opposed`, `erased`, `ended` (by the collectivity) or `invalidated` (by an authority): keys are destroyed;
        acknowledged once leases are over (I1c, I1d). A ledger that recovers takes it all the same: `Recovering` with `recorded`."""

    async def narrow(self, authorisation: bytes, scopes: tuple[str, ...], operator: str) -> Grant:
        """Keep these scopes only: new epoch, key and certificate; answers in flight no longer open."""

    async def capsule(self, authorisation: bytes, operator: str) -> Grant:
        """The grant as it stands, its capsule sealed to the key `operator` holds today."""

    async def lookup(self, authorisations: Sequence[bytes]) -> list[Authorisation | None]: ...

    async def glance(self, authorisations: Sequence[bytes]) -> Glance:
        """What the gate may remember of them, for a third of what `lookup` costs."""

    async def roster(self, after: bytes, limit: int) -> Roster:
        """The same of all that stands, a page at a time, each of its own moment: what changes meanwhile, events tell. `after`: empty, then
        the last page's. A page has at most `limit` and `ROSTER_MAX`; it may be empty and not the last."""

    async def attempt(self, attempts: Sequence[Attempt], worker: str = "") -> list[Attempted]:
        """T-attempt: before each State call; at most three per request. `worker` is the process that asks."""

    async def release(
        self, items: Sequence[Answer | Verdict], confirmed: Sequence[Confirmation], worker: str = ""
    ) -> list[Outcome | Waiting | Dropped | DeadLetter]:
        """T-release: one fate per item, in order; `confirmed` are those of earlier chunks that the broker acknowledged. `worker` is
        the process that asks. `Waiting` where the answer is to be pulled: kept until its deadline, opened by `open`; or where its person has to let it through."""

    async def open(self, submission: Submission, worker: str = "") -> Outcome:
        """T-release of an answer that waits, because the collectivity asks for it: uses are counted, the deadline applied, a withdrawal
        honoured here. Asked again: the same outcome, with its key while that exists and it was not `received`, else cut. What comes
        with a key is dropped unless it was handed on within `LEASE_MS`. `Refused` `nothing_waits`: not there yet, taken, or too late;
        `preview_pending`: its person has not let it through yet."""

    async def received(self, submissions: Sequence[Submission]) -> None:
        """The collectivity has these answers that it opened: no withdrawal will name them, and once their outcome is told what waited is erased."""

    async def over(self, worker: str = "") -> list[Outcome | Waiting]:
        """What is to be told of what waited, until it is confirmed: the outcomes of what was opened, withdrawn, refused by its person or
        too late, without any key (`with_key` None); of what its person let through, T-release, with its key as `release` gives it, or
        the notice that it may now be opened, until it is `announced`."""

    async def announced(self, submissions: Sequence[Submission]) -> None:
        """The collectivity was told that these, which their person let through, may be opened."""

    async def unconfirmed(self, submissions: Sequence[Submission]) -> list[bool]:
        """Which of these submissions have no confirmed outcome yet."""

    async def overdue(self, submissions: Sequence[Submission], age_ms: int) -> list[bool]:
        """Which of these were released longer ago than `age_ms` and are not confirmed: an alarm."""

    async def events(self, after: int, limit: int) -> list[Event]:
        """The outbox, in order, after a sequence number."""

    async def directory(self) -> list[DirectoryEntry]: ...

    async def entries(self, authorisation: bytes) -> list[Entry]:
        """Every leaf about one authorisation, in order."""

    async def checkpoint(self) -> str:
        """The signed head of the log (C2SP tlog-checkpoint)."""

    async def proof(self, index: int) -> tuple[bytes, list[bytes], str]:
        """A leaf, its inclusion path in the tree of the checkpoint that comes along."""

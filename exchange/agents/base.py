"""What agents share: quiet defaults, and gathering messages by topic and partition."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

from exchange import wire
from exchange.core.batches import Bodies, Numbered, Sections, bodies, body
from exchange.core.errors import Code
from exchange.core.topics import DEAD_LETTERS
from exchange.ports import Message, Outbox, Record, Unavailable
from exchange.together import side_by_side

T = TypeVar("T")
UNHURRIED_S = 0.5
"""How long records wait for company where nobody waits for what follows from them: a fetch costs as much for one as for many."""


class Prompt:
    """An agent that takes each partition's records as soon as they are there."""

    patience_s: float = 0.0
    together: bool = False
    paced: bool = False
    timed: bool = True
    at_once: int = 1
    fetch_bytes: int = 1 << 20


class Quiet(Prompt):
    """An agent with nothing to do between chunks and nothing held."""

    async def tick(self) -> None: ...

    def held(self, topic: str, partition: int) -> int | None:
        return None

    def revoked(self, partitions: set[tuple[str, int]]) -> None: ...


class Outgoing:
    """Messages gathered in order, then sent at once, to the partitions that follow from those of the records they come from:
    so one authorisation stays in order."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._gathered: dict[tuple[str, int], list[bytes]] = {}
        self._whole: dict[tuple[str, int], list[Numbered]] = {}

    def add(self, topic: str, record: Record, message: Message) -> None:
        self.extend(topic, record.partition, [body(*message)])

    def extend(self, topic: str, partition: int, laid: Iterable[bytes]) -> None:
        """The same for what follows from several records of one partition, laid out (`body`)."""
        self._gathered.setdefault((topic, partition), []).extend(laid)

    def whole(self, topic: str, partition: int, batches: Iterable[Numbered]) -> None:
        """The same for whole batches."""
        self._whole.setdefault((topic, partition), []).extend(batches)

    def bury(self, record: Record, code: Code) -> None:
        """To the dead letters."""
        self.extend(DEAD_LETTERS, 0, [body(*wire.dead_letter(record, code))])

    async def send(self, timeout_ms: int | None = None) -> None:
        """`Unavailable` also where a topic does not exist: nothing of it may be lost."""
        batches: dict[tuple[str, int], Sequence[Message]] = {}
        for topic, partition in dict.fromkeys((*self._whole, *self._gathered)):
            if not (count := await partitions(self._outbox, topic)):
                raise Unavailable(topic)
            ours = (topic, partition % count)
            laid, whole = self._gathered.get((topic, partition), []), self._whole.get((topic, partition), [])
            batches[ours] = _joined(batches.get(ours, ()), Sections(whole), laid)
        if batches:
            await self._outbox.send(batches, timeout_ms)


def _joined(before: Sequence[Message], whole: Sections, laid: Sequence[bytes]) -> Sequence[Message]:
    """All of them, in this order; whole batches stay so where there is nothing else."""
    if not before and not laid:
        return whole
    return Bodies([*bodies(before), *(whole.laid if whole.batches else ()), *laid])


async def partitions(outbox: Outbox, topic: str) -> int:
    """How many partitions a topic has; 0 if the broker says, now, that it does not exist."""
    if not outbox.partitions(topic):
        await outbox.refresh()
    return outbox.partitions(topic)


async def ended(work: Iterable[Awaitable[None]]) -> BaseException | None:
    """Wait until each has ended; the first error, if any."""
    return next((error for error in await side_by_side(work) if error is not None), None)


def slices(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[i : i + size] for i in range(0, len(items), size)]

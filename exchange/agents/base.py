"""What agents share: quiet defaults, and gathering messages by topic and partition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence

from exchange import wire
from exchange.core.batches import Bodies, body
from exchange.core.errors import Code
from exchange.core.topics import DEAD_LETTERS
from exchange.ports import Message, Outbox, Record, Unavailable

UNHURRIED_S = 0.5
"""How long records wait for company where nobody waits for what follows from them: a fetch costs as much for one as for many."""


class Prompt:
    """An agent that takes each partition's records as soon as they are there."""

    patience_s: float = 0.0
    together: bool = False


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

    def add(self, topic: str, record: Record, message: Message) -> None:
        self.extend(topic, record.partition, [body(*message)])

    def extend(self, topic: str, partition: int, laid: Iterable[bytes]) -> None:
        """The same for what follows from several records of one partition, laid out (`body`)."""
        self._gathered.setdefault((topic, partition), []).extend(laid)

    def bury(self, record: Record, code: Code) -> None:
        """To the dead letters."""
        self.extend(DEAD_LETTERS, 0, [body(*wire.dead_letter(record, code))])

    async def send(self, timeout_ms: int | None = None) -> None:
        """`Unavailable` also where a topic does not exist: nothing of it may be lost."""
        batches: dict[tuple[str, int], list[bytes]] = {}
        for (topic, partition), laid in self._gathered.items():
            if not (count := await partitions(self._outbox, topic)):
                raise Unavailable(topic)
            batches.setdefault((topic, partition % count), []).extend(laid)
        if batches:
            await self._outbox.send({place: Bodies(laid) for place, laid in batches.items()}, timeout_ms)


async def partitions(outbox: Outbox, topic: str) -> int:
    """How many partitions a topic has; 0 if the broker says, now, that it does not exist."""
    if not outbox.partitions(topic):
        await outbox.refresh()
    return outbox.partitions(topic)


async def ended(work: Iterable[Awaitable[None]]) -> BaseException | None:
    """Wait until each has ended; the first error, if any."""
    return next((error for error in await asyncio.gather(*work, return_exceptions=True) if error is not None), None)


def slices(items: Sequence[Record], size: int) -> list[Sequence[Record]]:
    return [items[i : i + size] for i in range(0, len(items), size)]

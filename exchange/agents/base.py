"""What agents share: quiet defaults, and gathering messages by topic and partition."""

from __future__ import annotations

from collections.abc import Sequence

from exchange import wire
from exchange.core.errors import Code
from exchange.core.topics import DEAD_LETTERS
from exchange.ports import Message, Outbox, Record


class Quiet:
    """An agent with nothing to do between chunks and nothing held."""

    async def tick(self) -> None: ...

    def held(self, topic: str, partition: int) -> int | None:
        return None

    def revoked(self, partitions: set[tuple[str, int]]) -> None: ...


class Outgoing:
    """Messages gathered in order, then sent at once."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._batches: dict[tuple[str, int], list[Message]] = {}

    def add(self, topic: str, record: Record, message: Message) -> bool:
        """To the partition that follows from the record's own, so that one authorisation stays in order. False: no such topic."""
        count = self._outbox.partitions(topic)
        if count:
            self._batches.setdefault((topic, record.partition % count), []).append(message)
        return count > 0

    def bury(self, record: Record, code: Code) -> None:
        """To the dead letters."""
        self._batches.setdefault((DEAD_LETTERS, 0), []).append(wire.dead_letter(record, code))

    async def send(self, timeout_ms: int | None = None) -> None:
        if self._batches:
            await self._outbox.send(self._batches, timeout_ms)


def slices(items: Sequence[Record], size: int) -> list[Sequence[Record]]:
    return [items[i : i + size] for i in range(0, len(items), size)]

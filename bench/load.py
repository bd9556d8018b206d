"""The requests of a bench and their expected fates: made once, measured by every contender."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random  # noqa: TID251  # a load drawn from a seed

from bench.agreements import Agreement, person
from exchange import wire
from exchange.adapters.kafka import KafkaOutbox
from exchange.core.decision import Ask
from exchange.core.encoding import join
from exchange.core.errors import Code
from exchange.core.heads import HEAD, varint
from exchange.core.identity import SALT_BYTES
from exchange.ports import Message, Record
from exchange.schemas import catalogue
from exchange.sdk import uuid7

Chunks = AsyncIterator[Sequence[Record]]

AT_ONCE = 4_000
TTL_MS = 24 * 3_600_000
_SEAL_BYTES = 32 + 16
"""What HPKE adds: an encapsulated key and a tag."""


_NUMBER = slice(17, 21)
"""Where a task or a verdict has the last bytes of its request's id."""


class WrongCount(Exception):
    """The outputs are not those the load must give: no figure."""


@dataclass(frozen=True)
class Load:
    """`count` requests drawn at random over the agreements; the n-th has n in its id. Reproducible but for identities and ids."""

    agreements: Sequence[Agreement]
    asks: Sequence[bytes]
    count: int
    now_ms: int
    drawn: list[int] = field(default_factory=list)

    @classmethod
    def draw(cls, agreements: Sequence[Agreement], asks: Sequence[Ask], count: int, now_ms: int) -> Load:
        random = Random(7)
        drawn = [random.randrange(len(agreements)) for _ in range(count)]
        return cls(agreements, [wire.write_ask(ask) for ask in asks], count, now_ms, drawn)

    @property
    def allowed(self) -> int:
        """How many requests rest on an agreement that stands."""
        return sum(self.agreements[n].live for n in self.drawn)

    def messages(self) -> Iterator[Message]:
        """As the SDK writes them; the sealed identity is opaque to the gate, here random bytes of its length."""
        random, prefix = Random(8), catalogue().prefix("exchange-request")
        identity_bytes = len(join(bytes(SALT_BYTES), person(0))) + _SEAL_BYTES
        tails = [varint(len(ask)) + ask + varint(identity_bytes) for ask in self.asks]
        for number, drawn in enumerate(self.drawn):
            authorisation, certificate_hash, _ = self.agreements[drawn]
            request = uuid7(self.now_ms, os.urandom(6) + number.to_bytes(4, "big"))
            head = HEAD.pack(prefix, request, authorisation, certificate_hash, TTL_MS)
            value = head + random.choice(tails) + os.urandom(identity_bytes)
            yield wire.message("exchange-request", authorisation, value, request.hex())

    async def publish(self, outbox: KafkaOutbox, topic: str) -> int:
        """All of it, durably; its size in bytes: keys, values and headers."""
        partitions, size_bytes = outbox.partitions(topic), 0
        batches: dict[tuple[str, int], list[Message]] = {}
        for number, message in enumerate(self.messages(), 1):
            assert message.key is not None
            batches.setdefault((topic, message.key[0] % partitions), []).append(message)
            size_bytes += len(message.key) + len(message.value) + sum(len(n) + len(v) for n, v in message.headers)
            if number % AT_ONCE == 0 or number == self.count:
                await outbox.send(batches)
                batches.clear()
        return size_bytes

    async def check(self, tasks: Chunks, verdicts: Chunks) -> None:
        """Every request exactly once with its own fate: a task, or a refusal because withdrawn. Raises `WrongCount`."""
        seen = bytearray(self.count)
        for chunks, live in ((tasks, True), (verdicts, False)):
            async for chunk in chunks:
                for record in chunk:
                    number = self._number(record, live=live)
                    if seen[number]:
                        raise WrongCount(f"request {number}: two fates")
                    seen[number] = 1
        if missing := self.count - sum(seen):
            raise WrongCount(f"{missing} requests without a fate")

    def _number(self, record: Record, *, live: bool) -> int:
        """Which request an output is about, if it is the right fate of one."""
        value = record.value or b""
        if not live and wire.read_verdict(record).reason != Code.WITHDRAWN:
            raise WrongCount("refused for another reason")
        number = int.from_bytes(value[_NUMBER], "big")
        if number >= self.count or self.agreements[self.drawn[number]][::2] != (record.key, live):
            raise WrongCount(f"request {number}: not its fate")
        return number

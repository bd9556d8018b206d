"""The requests of a bench and their expected fates: made once, measured by every contender."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random  # noqa: TID251  # a load drawn from a seed
from zlib import crc32

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
Agreements = Sequence[Agreement] | Mapping[int, Agreement]
Fate = Callable[[Record], int]
"""Which request an output is about; raises `WrongCount` if it is not the right fate of one."""

AT_ONCE = 4_000
TTL_MS = 24 * 3_600_000
_SEAL_BYTES = 32 + 16
"""What HPKE adds: an encapsulated key and a tag."""


_NUMBER, _AUTHORISATION = slice(17, 21), slice(21, 37)
"""Where a request, a task or a verdict has the last bytes of its request's id; where a request has its authorisation."""


class WrongCount(Exception):
    """The outputs are not those the load must give: no figure."""


def draw(count: int, agreements: int) -> list[int]:
    """Which agreement each of `count` requests is about."""
    random = Random(7)
    return [random.randrange(agreements) for _ in range(count)]


@dataclass(frozen=True)
class Load:
    """`count` requests drawn at random over the agreements; the n-th has n in its id. Reproducible but for identities and ids."""

    agreements: Agreements
    asks: Sequence[bytes]
    count: int
    now_ms: int
    drawn: Sequence[int]

    @classmethod
    def draw(cls, agreements: Sequence[Agreement], asks: Sequence[Ask], count: int, now_ms: int) -> Load:
        return cls.of(agreements, asks, draw(count, len(agreements)), now_ms)

    @classmethod
    def of(cls, agreements: Agreements, asks: Sequence[Ask], drawn: Sequence[int], now_ms: int) -> Load:
        """A request for each agreement drawn; `agreements` by number."""
        return cls(agreements, [wire.write_ask(ask) for ask in asks], len(drawn), now_ms, drawn)

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
        return await publish(outbox, topic, self.messages())

    async def check(self, tasks: Chunks, verdicts: Chunks) -> None:
        """Every request exactly once with its own fate: a task, or a refusal because withdrawn. Raises `WrongCount`."""
        await self.check_each((tasks, partial(self._number, live=True)), (verdicts, partial(self._number, live=False)))

    async def check_copies(self, copies: Chunks) -> None:
        """Every request exactly once, as it was. Raises `WrongCount`."""
        await self.check_each((copies, self._copied))

    async def check_each(self, *outputs: tuple[Chunks, Fate]) -> None:
        """Every request exactly once among all the outputs. Raises `WrongCount`."""
        seen = bytearray(self.count)
        for chunks, fate in outputs:
            async for chunk in chunks:
                for record in chunk:
                    number = fate(record)
                    if seen[number]:
                        raise WrongCount(f"request {number}: two fates")
                    seen[number] = 1
        if missing := self.count - sum(seen):
            raise WrongCount(f"{missing} requests without a fate")

    def fate(self, number: int, authorisation: bytes | None, *, live: bool) -> int:
        """The request's number, if that is its fate."""
        if number >= self.count or self.agreements[self.drawn[number]][::2] != (authorisation, live):
            raise WrongCount(f"request {number}: not its fate")
        return number

    def _number(self, record: Record, *, live: bool) -> int:
        if not live and wire.read_verdict(record).reason != Code.WITHDRAWN:
            raise WrongCount("refused for another reason")
        return self.fate(int.from_bytes((record.value or b"")[_NUMBER], "big"), record.key, live=live)

    def _copied(self, record: Record) -> int:
        value = record.value or b""
        number = int.from_bytes(value[_NUMBER], "big")
        if number >= self.count:
            raise WrongCount(f"request {number}: unknown")
        return self.fate(number, value[_AUTHORISATION], live=self.agreements[self.drawn[number]].live)


async def publish(outbox: KafkaOutbox, topic: str, messages: Iterable[Message]) -> int:
    """Durably, an agreement's all in one partition; their size in bytes: keys, values and headers."""
    partitions, size_bytes = outbox.partitions(topic), 0
    batches: dict[tuple[str, int], list[Message]] = {}
    for number, message in enumerate(messages, 1):
        assert message.key is not None
        batches.setdefault((topic, crc32(message.key) % partitions), []).append(message)
        size_bytes += len(message.key) + len(message.value) + sum(len(n) + len(v) for n, v in message.headers)
        if number % AT_ONCE == 0:
            await outbox.send(batches)
            batches.clear()
    await outbox.send(batches)
    return size_bytes

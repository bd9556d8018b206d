"""Requests sealed and sent together: nobody's failure is another's, nothing changes order."""

from __future__ import annotations

import asyncio

import pytest

from exchange.core.batches import body
from exchange.core.heads import SIZE_MAX_BYTES
from exchange.ports import Batches, Unavailable
from exchange.publishing import CHUNK, Place, Publishing

PLACE: Place = ("requests.211300553.v1", 0)
OTHER: Place = ("requests.211300553.v1", 1)


class Noting:
    """An `Outbox` that keeps what it was sent, lets go when told, and refuses what holds `poison`."""

    def __init__(self) -> None:
        self.sent: list[Batches] = []
        self.open, self.poison = asyncio.Event(), b""
        self.open.set()

    async def send(self, batches: Batches, timeout_ms: int | None = None) -> None:
        self.sent.append(batches)
        await self.open.wait()
        if self.poison and any(self.poison in m.value for messages in batches.values() for m in messages):
            raise Unavailable("as told")

    def partitions(self, topic: str) -> int:
        return 2

    async def refresh(self) -> None: ...

    def values(self, place: Place) -> list[bytes]:
        return [message.value for batches in self.sent for message in batches.get(place, ())]


def message(value: bytes) -> bytes:
    return body(b"key", value, [])


def number(n: int) -> bytes:
    return n.to_bytes(2, "big")


async def test_those_who_ask_together_are_sent_together_and_in_order() -> None:
    """Two chunks and one more, in two places: three sends, each place in the order of the calls."""
    outbox, count = Noting(), 2 * CHUNK + 1
    publishing = Publishing(outbox)
    await asyncio.gather(
        *(publishing.send((PLACE, OTHER)[n % 2], lambda n=n: message(number(n))) for n in range(count))  # type: ignore[misc]  # the default binds
    )
    assert len(outbox.sent) == 3
    assert outbox.values(PLACE) == [number(n) for n in range(0, count, 2)]
    assert outbox.values(OTHER) == [number(n) for n in range(1, count, 2)]


async def test_one_alone_does_not_wait_for_company() -> None:
    """A request is sent at once, and so is the next, though the first is still on its way."""
    outbox = Noting()
    outbox.open.clear()
    publishing = Publishing(outbox)
    asking = [asyncio.create_task(publishing.send(PLACE, lambda: message(b"one")))]
    while len(outbox.sent) < 1:
        await asyncio.sleep(0)
    asking.append(asyncio.create_task(publishing.send(PLACE, lambda: message(b"two"))))
    while len(outbox.sent) < 2:
        await asyncio.sleep(0)
    assert not any(task.done() for task in asking)
    outbox.open.set()
    await asyncio.gather(*asking)


async def test_what_cannot_be_made_fails_for_its_own_caller_alone() -> None:
    """One request cannot be sealed: the others of its chunk are sent."""

    def broken() -> bytes:
        raise ValueError("no key")

    outbox = Noting()
    publishing = Publishing(outbox)
    found = await asyncio.gather(
        publishing.send(PLACE, lambda: message(b"one")),
        publishing.send(PLACE, broken),
        publishing.send(PLACE, lambda: message(b"two")),
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [type(None), ValueError, type(None)]
    assert outbox.values(PLACE) == [b"one", b"two"]


async def test_a_broker_that_does_not_answer_is_told_to_all_of_the_chunk_and_to_no_other() -> None:
    """`Unavailable` for each one of the chunk; who asks afterwards is served."""
    outbox = Noting()
    outbox.poison = b"poison"
    publishing = Publishing(outbox)
    found = await asyncio.gather(
        *(publishing.send(PLACE, lambda v=v: message(v)) for v in (b"one", b"poison")),  # type: ignore[misc]  # the default binds
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [Unavailable, Unavailable]
    await publishing.send(PLACE, lambda: message(b"two"))


async def test_what_is_too_large_goes_alone() -> None:
    """A request that no gate takes, and perhaps no broker, does not take its neighbours along."""
    outbox = Noting()
    outbox.poison = b"poison"
    publishing = Publishing(outbox)
    found = await asyncio.gather(
        publishing.send(PLACE, lambda: message(b"one")),
        publishing.send(PLACE, lambda: message(b"poison" + bytes(SIZE_MAX_BYTES))),
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [type(None), Unavailable]


async def test_who_gives_up_before_its_turn_is_not_sent_and_harms_nobody() -> None:
    """Cancelled while it waits: not sealed. Cancelled on its way: the others are told what became of them."""
    outbox = Noting()
    outbox.open.clear()
    publishing = Publishing(outbox)
    early, late, stays = (
        asyncio.create_task(publishing.send(PLACE, lambda v=v: message(v)))  # type: ignore[misc]  # the default binds
        for v in (b"early", b"late", b"stays")
    )
    await asyncio.sleep(0)  # all three wait for their turn
    early.cancel()
    while not outbox.sent:
        await asyncio.sleep(0)
    late.cancel()
    outbox.open.set()
    await stays
    assert outbox.values(PLACE) == [b"late", b"stays"]
    with pytest.raises(asyncio.CancelledError):
        await late

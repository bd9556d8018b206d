"""Released answers opened: here, and by a process beside."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
import pytest

from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.opened import MANY, Broken, Opener, Plain, Released, read
from exchange.outcomes import Answer
from exchange.receipt import BadReceipt
from exchange.sdk import Bus
from exchange.sealing import Unopenable
from exchange.testing import MemoryBus
from tests.beside import beside_of, said_of, until
from tests.world import JEANNE, QUOTIENT, ScriptedApi

COUNT = 2 * MANY + 5
replace = msgspec.structs.replace


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    async with MemoryBus(ScriptedApi()) as bus:
        yield bus


@pytest.fixture
async def released(bus: MemoryBus) -> list[Released]:
    """The answers of many requests under one agreement."""
    consent = await bus.give(JEANNE, max_uses=COUNT)
    ask = lambda: bus.sdk.request(QUOTIENT_FAMILIAL.name, consent=consent, purpose="tarification-cantine")  # noqa: E731  # one request
    requests = [await ask() for _ in range(COUNT)]
    return [bus.sdk.released(request, await request.outcome()) for request in requests]


def opener_of(bus: MemoryBus) -> Opener:
    return Opener(bus.sdk.wallet.private, bus.sdk.trust, bus.sdk.keys.connectors)


def beside() -> set[int]:
    return beside_of("exchange.opened")


async def test_the_same_beside_as_here(bus: MemoryBus, released: list[Released]) -> None:
    """Both processes open some, and what they find is in the order of what was asked, and reads as what the State said."""
    async with aclosing(opener_of(bus)) as both:
        here = both._here(released)
        assert await both.open(released[: MANY - 1]) == here[: MANY - 1]
        assert beside() == set()
        await both.ready()
        assert await both.open(released) == here
    answers = [read(one.outcome, plain) for one, plain in zip(released, here, strict=True) if isinstance(plain, Plain)]
    assert [answer.request for answer in answers] == [one.outcome.key.request for one in released]
    said = [answer.data["quotient_familial"]["valeur"] for answer in answers if answer.data is not None]
    assert said == [QUOTIENT["quotient_familial"]["valeur"]] * COUNT


async def test_each_opens_or_not_by_itself(bus: MemoryBus, released: list[Released]) -> None:
    """Another receipt, another person, altered bytes, a connector unknown: each is told so where it stands, whichever process found it, and
    the others open."""
    one, other = released[0], released[1]
    inner = one.outcome.inner
    bad = [
        replace(one, outcome=replace(one.outcome, inner=inner[:-1] + bytes([inner[-1] ^ 1]))),
        replace(one, outcome=replace(one.outcome, leaf_salt=other.outcome.leaf_salt)),
        replace(one, digest=other.digest),
        replace(one, capsule=one.capsule._replace(salt=bytes(len(one.capsule.salt)))),
        replace(one, capsule=one.capsule._replace(certificate=b"none", checked=b"")),
    ]
    errors = [Unopenable, BadReceipt, BadReceipt, Unopenable]
    async with aclosing(opener_of(bus)) as both:
        await both.ready()
        for mixed in ([*bad, *released], [*released, *bad]):
            found = await both.open(mixed)
            told = {mixed[at] in bad: None for at, one in enumerate(found) if isinstance(one, Broken)}
            assert told == {True: None} and sum(isinstance(one, Broken) for one in found) == len(bad)
            reasons = [one.reason for one in found if isinstance(one, Broken)]
            assert [type(reason) for reason in reasons[:4]] == errors
    async with aclosing(Opener(bus.sdk.wallet.private, bus.sdk.trust, dict)) as nobodys:
        assert {type(one) for one in await nobodys.open(released)} == {Broken}


async def test_a_process_that_is_killed_loses_nothing(bus: MemoryBus, released: list[Released]) -> None:
    """Killed with answers in its hands, or before it is handed any: they are opened here, and there is another for the next."""
    async with aclosing(opener_of(bus)) as both:
        await both.ready()
        here, first = both._here(released), beside()
        assert len(first) == 1
        opening_all = asyncio.create_task(both.open(released * 5))
        await asyncio.sleep(0)
        kill(first)
        assert await opening_all == here * 5
        await both.ready()
        second = beside()
        kill(second)
        assert second != first and await both.open(released) == here
    await until(lambda: not beside())


def kill(pids: set[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


async def test_it_is_told_no_secret_but_by_its_pipe(
    bus: MemoryBus, released: list[Released], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what stands in Accord's environment nor the collectivity's key is in what the system tells of it."""
    monkeypatch.setenv("ACCORD_KEK", "secret-of-the-ledger")
    async with aclosing(opener_of(bus)) as both:
        await both.ready()
        assert len(await both.open(released)) == COUNT
        (pid,) = beside()
        assert b"secret-of-the-ledger" not in said_of(pid, "environ")
        assert bus.sdk.wallet.private.private.hex().encode() not in said_of(pid, "cmdline")


async def test_the_first_many_do_not_wait_for_it(bus: MemoryBus, released: list[Released]) -> None:
    """Where nobody said that many would come they are opened here while it starts; the bus ends it."""
    assert len(await bus.sdk.opener.open(released)) == COUNT
    await until(beside)
    await bus.sdk.__aexit__(None, None, None)
    await until(lambda: not beside())


async def test_another_process_reads_the_answers(bus: MemoryBus) -> None:
    """An SDK that has asked for nothing itself knows connectors' keys by then."""
    consent = await bus.give(JEANNE)
    request = await bus.sdk.request(QUOTIENT_FAMILIAL.name, consent=consent, purpose="tarification-cantine")
    sdk = bus.sdk
    other = Bus(sdk.wallet, sdk.outbox, sdk.reader, sdk.ledger, sdk.trust, sdk.clock)
    (ended,) = [one async for one in other.answers([request])]
    assert isinstance(ended.answer, Answer) and ended.answer.status == "found"

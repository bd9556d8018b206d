"""Complete exchanges, from the SDK's `request()` to the opened answer, beside four raw Kafka hops of the same sizes and beside a
synchronous HTTP gateway in front of the same sandbox State API. Everything on the loopback of one machine, one broker, one run.
What seals, signatures and the State's answer cost alone, is told too (`bench.least`): no exchange can cost less.

Contenders take turns; while one is measured the agents of the bus run only if they are its own. Latencies count from when a call should
have begun (`bench.open_loop`). `per_cpu_s` is per CPU-second of all that lives for it: broker, sandbox and application included.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.least import least
from bench.load import WrongCount
from bench.open_loop import Call, Unanswered, measured, most_per_s
from bench.peers.hop import ID_BYTES
from bench.peers.http_client import Client
from bench.peers.http_gateway import PATH, Consent, prepare
from bench.report import (
    Contender,
    Figures,
    Result,
    Say,
    Target,
    Words,
    at_least,
    at_most,
    load_1m,
    machine,
    middle,
    ratio,
    versions,
)
from bench.town import DATA_SET, PURPOSE, VALUE, Town, is_right, parameters, person, started, town
from bench.watch import Ended, last_line
from connectors.core.call import call
from connectors.rest.descriptions import descriptions
from exchange.adapters.kafka import create_topics
from exchange.clock import SystemClock
from exchange.core.topics import TopicSpec
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.embedded import process
from exchange.embedded.jars import Progress
from exchange.local import STOP_S, LocalBus
from exchange.outcomes import ExchangeError
from exchange.ports import Unavailable

APART = ("release",)
"""Roles with a process of their own, beside the worker's."""
TITLE: Words = (
    "échanges complets, de la demande à la réponse ouverte",
    "complete exchanges, from the request to the opened answer",
)
OURS: Words = ("Accord", "Accord")
HOPS: Words = ("quatre sauts Kafka nus", "four raw Kafka hops")
GATEWAY: Words = ("passerelle HTTP synchrone", "synchronous HTTP gateway")
LEAST: Words = (
    "scellements, signatures et API de l'État seuls, sans bus (au plus, d'après le processeur)",
    "seals, signatures and State API alone, no bus (at most, from their processor time)",
)
P99_MS, TO_HOPS, TO_GATEWAY = 150.0, 4.0, 3.0
PEOPLE = 200
FIRST_PER_S = 50.0
PATIENCE_S, READY_S = 30.0, 60.0
DAY_MS = 86_400_000
WITHOUT_TRACE: Words = (
    "La passerelle ne garde aucune trace : cela ne peut que l'avantager.",
    "The gateway keeps no trace: this can only favour it.",
)


@dataclass(frozen=True)
class Size:
    """The fixed rate, how long each measure lasts, how far the highest rate is sought (0: not at all), measures of each."""

    per_s: int = 100
    seconds: float = 20.0
    last_per_s: float = 3200.0
    repeat: int = 3
    people: int = PEOPLE


async def run(size: Size, say: Say, progress: Progress | None = None) -> Result:
    """The whole bench. Raises `WrongCount` or `Ended` rather than give a wrong figure."""
    before = load_1m()
    async with town(size.people, APART, say, progress) as place:
        bench = _Bench(place, size, say)
        most = await bench.most()
        turns = await bench.turns({name: int(rate / 2) for name, rate in most.items()})
    return result(size, most, turns, before)


Turns = dict[tuple[str, int], Figures]
"""Medians by contender and rate."""


def result(size: Size, most: dict[str, float], turns: Turns, before: float) -> Result:
    """The figures side by side."""
    half, labels = int(most["exchange"] / 2), {"exchange": OURS, "hops": HOPS, "gateway": GATEWAY, "least": LEAST}
    sought = size.last_per_s > 0
    contenders = [Contender(name, labels[name], {"max_per_s": rate if sought else None}) for name, rate in most.items()]
    contenders += [Contender(name, labels[name], figures, per_s) for (name, per_s), figures in sorted(turns.items())]

    def to_hops(per_s: int) -> float | None:
        return ratio(turns.get(("exchange", per_s), {}).get("p50_ms"), turns.get(("hops", per_s), {}).get("p50_ms"))

    ratios: Figures = {
        "p50_to_hops": to_hops(size.per_s), "p50_to_hops_at_half": to_hops(half), "max_to_gateway": ratio(most["exchange"], most["gateway"]),
        "hops_max_to_gateway": ratio(most["hops"], most["gateway"]),
        "least_max_to_gateway": ratio(turns.get(("least", 0), {}).get("max_per_s"), most["gateway"]),
    }  # fmt: skip
    p99_ms = turns["exchange", size.per_s]["p99_ms"]
    return Result(
        "exchange", TITLE, {"per_s": size.per_s, "seconds": round(size.seconds), "people": size.people, "half_per_s": half},
        size.repeat, tuple(contenders), ratios, targets(size.per_s, ratios, p99_ms), machine(before), versions(), (WITHOUT_TRACE,),
    )  # fmt: skip


def targets(per_s: int, ratios: Figures, p99_ms: float | None) -> tuple[Target, ...]:
    return (
        at_most("p50_to_hops", (f"médiane, en fois celle des quatre sauts, à {per_s}/s", f"median, in times that of the four hops, at {per_s}/s"), ratios["p50_to_hops"], TO_HOPS),
        at_most("p50_to_hops_at_half", ("de même à la moitié du débit maximal", "the same at half the highest rate"), ratios["p50_to_hops_at_half"], TO_HOPS),
        at_most("p99_ms", (f"centile 99, ms, à {per_s}/s", f"99th percentile, ms, at {per_s}/s"), p99_ms, P99_MS),
        at_least("max_to_gateway", (f"débit maximal à centile 99 ≤ {P99_MS:g} ms, en fois celui de la passerelle", f"highest rate with 99th percentile ≤ {P99_MS:g} ms, in times the gateway's"), ratios["max_to_gateway"], TO_GATEWAY),
    )  # fmt: skip


class _Bench:
    """The contenders over one town; each is up only while it is measured."""

    def __init__(self, place: Town, size: Size, say: Say) -> None:
        self._town, self._size, self._say, self._numbers = place, size, say, itertools.count()
        self._contenders = {"exchange": self._ours, "hops": self._hops, "gateway": self._gateway}

    async def most(self) -> dict[str, float]:
        """The highest rates, at equal p99."""
        found: dict[str, list[float]] = {name: [] for name in self._contenders}
        if not self._size.last_per_s:
            return dict.fromkeys(found, 0.0)
        for turn in range(self._size.repeat):
            for name, contender in self._contenders.items():
                self._say(
                    f"débit maximal, {name} ({turn + 1}/{self._size.repeat})",
                    f"highest rate, {name} ({turn + 1}/{self._size.repeat})",
                )
                async with contender() as one:
                    await measured(one, FIRST_PER_S / 4, 1)
                    seconds = min(self._size.seconds, 5.0)
                    found[name].append(
                        await most_per_s(
                            one, seconds, P99_MS, min(FIRST_PER_S, self._size.last_per_s), self._size.last_per_s
                        )
                    )
        return {name: median(rates) for name, rates in found.items()}

    async def turns(self, halves: dict[str, int]) -> Turns:
        """Latencies of each at the fixed rate and at half: ours and the hops at half of ours, the gateway at half of its own."""
        seen: dict[tuple[str, int], list[Figures]] = {}
        for turn in range(self._size.repeat):
            for name, contender in self._contenders.items():
                self._say(
                    f"latences, {name} ({turn + 1}/{self._size.repeat})",
                    f"latencies, {name} ({turn + 1}/{self._size.repeat})",
                )
                half = halves["gateway" if name == "gateway" else "exchange"]
                async with contender() as one:
                    for per_s in {self._size.per_s, half} - {0}:
                        seen.setdefault((name, per_s), []).append(await measured(one, per_s, self._size.seconds))
            seen.setdefault(("least", 0), []).append(await self._least())
        return {at: middle(figures) for at, figures in seen.items()}

    async def _least(self) -> Figures:
        url, token = self._sandbox()
        async with least(url, token, self._town.sdk.wallet.recipient, self._size.people) as alone:
            return await alone.measure(self._size.seconds / 4)

    def _sandbox(self) -> tuple[str, str]:
        """Where the State's API is, and its bearer token."""
        places = self._town.bus.places
        url = places.awaited(places.ready("sandbox"))["url"]
        return url, places.token.read_text(encoding="ascii")

    def _next(self) -> tuple[int, int]:
        """Whose turn it is, and in which month: no two like calls at the State for long."""
        turn, who = divmod(next(self._numbers), self._size.people)
        return who, turn

    @asynccontextmanager
    async def _ours(self) -> AsyncIterator[Call]:
        await self._town.start_agents()
        try:
            await _until(self._exchange)
            yield self._exchange
        finally:
            self._town.stop_agents()

    async def _exchange(self) -> None:
        try:
            answer = await (await self._town.ask(*self._next())).answer(PATIENCE_S)
        except (ExchangeError, Unavailable) as error:
            raise Unanswered(str(error)) from None
        if not is_right(answer):
            raise WrongCount("another answer")

    @asynccontextmanager
    async def _hops(self) -> AsyncIterator[Call]:
        """As many processes as an exchange has between its records, which are as large as its own."""
        bus, sizes = self._town.bus, list((await self._town.hops()).values())
        names = [f"hop.{next(self._numbers)}.v1" for _ in sizes]
        await create_topics(bus.bootstrap, [TopicSpec(name, bus.partitions) for name in names])
        async with AsyncExitStack() as stack:
            for source, (sink, size_bytes) in zip(names, zip(names[1:], sizes[1:], strict=True), strict=False):
                argv = [sys.executable, "-m", "bench.peers.hop", bus.bootstrap, source, sink, str(size_bytes)]
                stack.callback(process.stop, started(argv, bus.places.log(source)), patience_s=STOP_S)
            ends = await stack.enter_async_context(_ends(bus, names[0], sizes[0], names[-1]))
            await _until(ends)
            yield ends

    @asynccontextmanager
    async def _gateway(self) -> AsyncIterator[Call]:
        """As many workers as cores, on an empty store made for it."""
        bus, people = (
            self._town.bus,
            [_query(person(n)) for n in range(self._size.people)],
        )
        store, log = bus.places.root / f"gateway.{next(self._numbers)}.db", bus.places.log("gateway")
        consents = [Consent(id, who) for id, who in zip(self._town.agreements, people, strict=True)]
        until_ms = SystemClock().now_ms() + DAY_MS
        recipient = self._town.sdk.wallet.recipient
        prepare(store, recipient, DATA_SET, PURPOSE, QUOTIENT_FAMILIAL.scopes, consents, until_ms)
        port, (url, _) = _free_port(), self._sandbox()
        argv = [
            sys.executable,
            "-m",
            "bench.peers.http_gateway",
            str(port),
            str(os.cpu_count() or 1),
            str(store),
            url,
            str(bus.places.token),
        ]
        child = started(argv, log)
        try:
            async with Client(port, PATH) as client:
                one = self._through(client, recipient, consents)
                await _until(one)
                if child.poll() is not None:
                    raise Ended(f"gateway: {last_line(log)}")
                yield one
        finally:
            process.stop(child, patience_s=STOP_S)

    def _through(self, client: Client, recipient: str, consents: Sequence[Consent]) -> Call:
        asked = {
            "recipient": recipient,
            "data_set": DATA_SET,
            "purpose": PURPOSE,
            "scopes": sorted(QUOTIENT_FAMILIAL.scopes),
        }

        async def one() -> None:
            who, turn = self._next()
            consent = consents[who]
            body = asked | {"consent": consent.id.hex(), "person": consent.person, "period": parameters(turn)}
            try:
                async with asyncio.timeout(PATIENCE_S):
                    status, said = await client.post(json.dumps(body).encode())
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                raise Unanswered(type(error).__name__) from None
            if status != 200:
                raise Unanswered(str(status))
            if json.loads(said)["data"]["quotient_familial"]["valeur"] != VALUE:
                raise WrongCount("another answer")

        return one


async def _until(one: Call) -> None:
    """Until a call is answered: the contender works. Raises `Ended`."""
    try:
        async with asyncio.timeout(READY_S):
            while True:
                try:
                    return await one()
                except Unanswered:
                    await asyncio.sleep(0.05)
    except TimeoutError:
        raise Ended("a contender that never answered") from None


def _query(identity: Any) -> dict[str, str | list[str]]:
    """The State's own words for a person, as an application of the gateway would hold them."""
    found: dict[str, str | list[str]] = {}
    for name, value in call(descriptions()[DATA_SET], identity, "", {}).query:
        if name.endswith("[]"):
            found[name] = [*found.get(name, ()), value]
        elif name != "recipient":
            found[name] = value
    return found


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _ends(bus: LocalBus, source: str, size_bytes: int, sink: str) -> AsyncIterator[Call]:
    """Both ends of the hops: a record put in, its id awaited at the other end."""
    consumer = AIOKafkaConsumer(
        sink, bootstrap_servers=bus.bootstrap, auto_offset_reset="earliest", enable_auto_commit=False
    )
    producer = AIOKafkaProducer(bootstrap_servers=bus.bootstrap, acks="all", enable_idempotence=True)
    numbers: Iterator[int] = itertools.count()
    awaited: dict[bytes, asyncio.Future[None]] = {}

    async def read() -> None:
        while True:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    if (future := awaited.pop(record.value[:ID_BYTES], None)) and not future.done():
                        future.set_result(None)

    async def one() -> None:
        number = next(numbers)
        id = number.to_bytes(ID_BYTES, "big")
        awaited[id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(PATIENCE_S):
                value = id + os.urandom(size_bytes - ID_BYTES)
                await producer.send_and_wait(source, value, partition=number % bus.partitions)
                await awaited[id]
        except TimeoutError:
            raise Unanswered("a record lost") from None

    await producer.start()
    await consumer.start()
    reading = asyncio.create_task(read())
    try:
        yield one
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await consumer.stop()
        await producer.stop()

"""Withdrawals that race the requests under the same agreement, on a real broker: gate, connector, release, ledger, State and citizens in
processes of their own.

A race: one person, one agreement, `REQUESTS` requests sent over about the time an exchange takes, and the withdrawal at its end, so
that it finds some at each stage. Schedules are drawn beforehand and kept whatever happens (open loop).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random  # noqa: TID251  # a schedule drawn from a seed
from subprocess import Popen, TimeoutExpired
from time import perf_counter

import msgspec

from bench.citizens import Word
from bench.load import WrongCount
from bench.races import IN_FLIGHT, Asked, Race, Stage, Tally, judge
from bench.report import (
    Contender,
    Figures,
    Result,
    Say,
    Target,
    Words,
    at_least,
    at_most,
    latencies,
    load_1m,
    machine,
    middle,
    versions,
)
from bench.state_api import calls
from bench.town import PROVIDER, Town, is_right, parameters, started, town, usage_name
from bench.watch import Ended, last_line
from consent.core.facts import Outcome
from exchange import wire
from exchange.adapters.kafka import KafkaReader
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.embedded import process
from exchange.embedded.jars import Progress
from exchange.local import STOP_S
from exchange.ports import Record
from exchange.sdk import Request

APART = ("release",)
"""Beside the worker, which keeps the gate and the others; connector, ledger and citizens have processes of their own too."""
REQUESTS = 4
WARM = 20
LEAD_MS = 1_000
"""Between the drawing of a schedule and its first request."""
FATES_S = 120.0
RACES, ACK_MS, QUIET_MS = 10_000, 1_000.0, 1_000.0
TITLE: Words = ("retraits contre demandes en vol", "withdrawals against requests in flight")
ACK: Words = ("retrait validé → accusé", "withdrawal committed → acknowledged")
QUIET: Words = ("accusé → dernier appel à l'État", "acknowledged → last State call")
COUNTS: dict[str, Words] = {
    "races": ("courses", "races"),
    "raced": ("dont une demande en vol", "of which a request in flight"),
    "unnamed_after": ("ouvrables après l'accusé, non nommées", "openable after the acknowledgement, unnamed"),
    "named": ("nommées dans un accusé", "named in an acknowledgement"),
    "named_after": ("nommées, ouvrables après l'accusé", "named, openable after the acknowledgement"),
    "openable_while_acknowledging": (
        "ouvrables entre retrait et accusé",
        "openable between withdrawal and acknowledgement",
    ),
}
STAGES: dict[Stage, Words] = {
    "at_gate": ("demandes trouvées avant le portier", "requests found before the gate"),
    "at_connector": ("… avant l'appel à l'État", "… before the State call"),
    "at_state": ("… pendant l'appel", "… during it"),
    "at_release": ("… avant la remise", "… before release"),
    "cut": ("… remises, coupées", "… released, cut"),
    "told": ("… remises, en route", "… released, on their way"),
    "openable_before": ("… déjà ouvrables", "… openable already"),
    "asked_after": ("… pas encore demandées", "… not asked yet"),
}
"""Where the commit finds a request (`bench.races`)."""
RARE: frozenset[Stage] = frozenset({"cut", "told"})
"""Found within a lease only: a few ms of an exchange."""


@dataclass(frozen=True)
class Size:
    """So many races in all, over `repeat` turns, at this rate."""

    races: int = 10_500
    races_per_s: float = 15.0
    repeat: int = 3


async def run(size: Size, say: Say, progress: Progress | None = None) -> Result:
    """The whole bench. Raises `WrongCount` or `Ended` rather than give a wrong figure."""
    before = load_1m()
    turns = [
        range(first, last) for first, last in pairwise(size.races * n // size.repeat for n in range(size.repeat + 1))
    ]
    async with town(size.races + WARM, APART, say, progress, (sys.executable, "-m", "bench.state_api")) as place:
        say("démarrage des agents", "starting the agents")
        await place.start_agents()
        span_ms = await _span_ms(place, size.races)
        tallies = []
        for number, people in enumerate(turns, 1):
            say(f"{len(people)} courses ({number}/{size.repeat})", f"{len(people)} races ({number}/{size.repeat})")
            tallies.append(await _Turn(place, people, span_ms, size.races_per_s).run())
    return result(size, round(span_ms), tallies, before)


def result(size: Size, span_ms: int, tallies: Sequence[Tally], before: float) -> Result:
    """Durations: the median over turns of each centile; counts: sums."""
    ack = middle([latencies(tally.ack_ms) for tally in tallies])
    quiet = middle([latencies(tally.quiet_ms) for tally in tallies])
    counts: Figures = {name: sum(getattr(tally, name) for tally in tallies) for name in COUNTS}
    stages: Figures = {name: sum(tally.stages.get(name, 0) for tally in tallies) for name in STAGES}
    labels = COUNTS | {str(name): label for name, label in STAGES.items()}
    contenders = (
        Contender("ack", ACK, ack),
        Contender("quiet", QUIET, quiet),
        *(Contender(name, labels[name], {"count": count}) for name, count in (counts | stages).items()),
    )
    sizes: dict[str, int | str] = {"races": size.races, "requests": REQUESTS * size.races, "span_ms": span_ms}
    missed = ", ".join(name for name in sorted(IN_FLIGHT) if name not in RARE and not stages[name])
    remarks = ((f"aucune demande trouvée : {missed}", f"no request found: {missed}"),) if missed else ()
    return Result(
        "withdrawal", TITLE, sizes, size.repeat, contenders, {}, targets(ack, quiet, counts), machine(before), versions(), remarks
    )  # fmt: skip


def targets(ack: Figures, quiet: Figures, counts: Figures) -> tuple[Target, ...]:
    return (
        at_most("ack_p99_ms", ("validé → accusé, ms au centile 99", "committed → acknowledged, ms at the 99th percentile"), ack["p99_ms"], ACK_MS),
        at_most("quiet_p99_ms", ("accusé → dernier appel à l'État, ms au centile 99", "acknowledged → last State call, ms at the 99th percentile"), quiet["p99_ms"], QUIET_MS),
        at_most("unnamed_after", ("réponses devenues ouvrables après l'accusé sans y être nommées", "answers openable after the acknowledgement and not named in it"), counts["unnamed_after"], 0),
        at_least("raced", ("courses où une demande était en vol", "races with a request in flight"), counts["raced"], RACES),
    )  # fmt: skip


async def _span_ms(place: Town, first: int) -> float:
    """How long an exchange takes here, by those who will not race."""
    seen_ms = []
    for number in range(first, first + WARM):
        start_s = perf_counter()
        if not is_right(await (await place.ask(number, 0)).answer()):
            raise WrongCount("another answer")
        seen_ms.append((perf_counter() - start_s) * 1000)
    return 1.5 * (latencies(seen_ms)["p50_ms"] or 0.0)


class _Turn:
    """The races of some people."""

    def __init__(self, place: Town, people: range, span_ms: float, races_per_s: float) -> None:
        self._town, self._people = place, people
        self._random, self._span_ms, self._apart_ms = Random(people.start), span_ms, 1000 / races_per_s
        self._folder, self._operator = place.bus.places.run, place.sdk.wallet.operator

    async def run(self) -> Tally:
        before = await self._ends()
        start_ms = SystemClock().now_ms() + LEAD_MS + 2 * self._span_ms
        ends_ms = {who: start_ms + n * self._apart_ms for n, who in enumerate(self._people)}
        words_file, child = self._citizens(ends_ms)
        try:
            asked = await asyncio.gather(
                *(self._ask(who, k, ends_ms[who]) for who in self._people for k in range(REQUESTS))
            )
            await asyncio.to_thread(child.wait, FATES_S)
        except TimeoutExpired:
            raise Ended("the citizens never had all their acknowledgements") from None
        finally:
            process.stop(child, patience_s=STOP_S)
        if child.returncode:
            raise Ended(f"citizens: {last_line(self._folder / 'citizens.log')}")
        words = [msgspec.json.decode(line, type=Word) for line in words_file.read_bytes().splitlines()]
        return judge(await self._races(asked, {word.authorisation: word for word in words}, before))

    def _citizens(self, ends_ms: Mapping[int, float]) -> tuple[Path, Popen[bytes]]:
        schedule, words = self._folder / "withdrawals", self._folder / "words"
        lines = [f"{at_ms:.0f} {self._town.agreements[who].hex()}\n" for who, at_ms in ends_ms.items()]
        schedule.write_text("".join(lines), encoding="ascii")
        argv = [sys.executable, "-m", "bench.citizens", str(self._town.bus.places.socket), str(schedule), str(words)]
        return words, started(argv, self._folder / "citizens.log")

    async def _ask(self, who: int, k: int, end_ms: float) -> tuple[int, int, Request]:
        """The k-th request falls in the k-th part of the span before the withdrawal, the last one not at its very end."""
        due_ms = end_ms - self._span_ms * (1.1 - (k + self._random.random()) / REQUESTS)
        await asyncio.sleep(max(due_ms - SystemClock().now_ms(), 0) / 1000)
        return who, k, await self._town.ask(who, k)

    async def _ends(self) -> dict[str, dict[int, int]]:
        names = (
            topics.requests(self._operator),
            topics.tasks(PROVIDER),
            topics.answers(PROVIDER),
            topics.outcomes(self._operator),
        )
        found = {}
        for name in names:
            async with KafkaReader(self._town.bus.bootstrap, name) as reader:
                found[name] = await reader.end_offsets()
        return found

    async def _races(
        self, asked: Sequence[tuple[int, int, Request]], words: Mapping[str, Word], before: Mapping[str, dict[int, int]]
    ) -> list[Race]:
        """What became of everything. Raises `WrongCount` where something is missing, or opens that must not, or does not that must."""
        wanted = {request.key.request.hex() for _, _, request in asked}
        fates = await self._fates(wanted, before[topics.outcomes(self._operator)])
        seen = {name: await self._times(name, before[name]) for name in before}
        requests, tasks, answers, _ = seen.values()
        called = self._calls()
        races: dict[int, list[Asked]] = {who: [] for who in self._people}
        for who, k, request in asked:
            name = request.key.request.hex()
            self._check(request, fates[name])
            races[who].append(
                Asked(name, requests[name], fates[name], called.get((who, k), ()), tasks.get(name), answers.get(name))
            )
        found = []
        for who, own in races.items():
            authorisation = self._town.agreements[who]
            if await self._town.bus.ledger.has_key(authorisation):
                raise WrongCount("a key outlived its withdrawal")
            word = words[authorisation.hex()]
            found.append(Race(word.committed_ms, word.acked_ms, frozenset(word.named), own))
        return found

    def _check(self, request: Request, outcomes: Sequence[tuple[int, Outcome]]) -> None:
        """What is told as openable opens."""
        for _, outcome in outcomes:
            if outcome.delivery == "key" and not is_right(self._town.sdk.open(request, outcome)):
                raise WrongCount("another answer")

    async def _fates(self, wanted: set[str], offsets: dict[int, int]) -> dict[str, list[tuple[int, Outcome]]]:
        """The outcomes of these requests, each with when the broker had it, once each has one. Raises `WrongCount`."""
        topic, found = topics.outcomes(self._operator), dict[str, list[tuple[int, Outcome]]]()
        try:
            async with asyncio.timeout(FATES_S), KafkaReader(self._town.bus.bootstrap, topic, offsets) as reader:
                while wanted - found.keys():
                    for record in [record for chunk in await reader.next() for record in chunk]:
                        outcome = wire.read_outcome(record)
                        if (name := outcome.key.request.hex()) in wanted:
                            found.setdefault(name, []).append((record.timestamp, outcome))
        except TimeoutError:
            raise WrongCount(f"{len(wanted - found.keys())} requests without a fate") from None
        return found

    async def _times(self, topic: str, offsets: dict[int, int]) -> dict[str, int]:
        """When the broker first had a record about each request."""
        found: dict[str, int] = {}
        async with KafkaReader(self._town.bus.bootstrap, topic, offsets) as reader:
            async for chunk in reader.to_end():
                for record in chunk:
                    found.setdefault(_id(record), record.timestamp)
        return found

    def _calls(self) -> dict[tuple[int, int], list[int]]:
        """When the State was called, by person and request."""
        people = {usage_name(who): who for who in self._people}
        months = {tuple(parameters(k).values()): k for k in range(REQUESTS)}
        found: dict[tuple[int, int], list[int]] = {}
        for line in calls(self._town.bus.places).read_text(encoding="utf-8").splitlines():
            at_ms, name, *month = line.split()
            if name in people:
                found.setdefault((people[name], months[tuple(month)]), []).append(int(at_ms))
        return found


def _id(record: Record) -> str:
    return dict(record.headers)["ce_id"].decode()

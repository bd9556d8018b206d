"""How long until it works: `accord dev` the first time and the next, beside the bare broker; a worker over many authorisations.

*Cold* is a machine that has never seen Accord: no jars, no cache, no data, the download included. *Warm* is the next start over the same
folder. A worker starts again after an orderly stop, with everybody's agreement in `consent.events.v1` and requests waiting for it.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from time import perf_counter

from bench.arena import Arena, arena
from bench.report import (
    Contender,
    Figures,
    Result,
    Say,
    Words,
    at_most,
    load_1m,
    machine,
    middle,
    ratio,
    versions,
)
from bench.watch import Ended, Runner, last_line, most_rss_bytes
from exchange.adapters.kafka import KafkaOutbox
from exchange.agents.relay import LIMIT, Relay
from exchange.caches import cache_home
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.data_sets import PROVIDERS
from exchange.embedded import aot, jars, process
from exchange.embedded.broker import EmbeddedKafka
from exchange.embedded.jars import Progress
from exchange.places import Places

REQUESTS = 200
POLL_S, LIMIT_S, TRAINED_S = 0.005, 300.0, 300.0
LABELS: dict[str, Words] = {
    "kafka-cold": ("Kafka seul, premier démarrage", "bare Kafka, first start"),
    "kafka-warm": ("Kafka seul, démarrage suivant", "bare Kafka, next start"),
    "dev-cold": ("accord dev, premier démarrage", "accord dev, first start"),
    "dev-warm": ("accord dev, démarrage suivant", "accord dev, next start"),
    "worker-ready": ("agents prêts", "worker ready"),
    "worker-decides": ("première décision des agents", "worker's first decision"),
}


@dataclass(frozen=True)
class Size:
    """`quick`: the jars and the JVM's cache are those of this user already; the first start is then no cold one."""

    authorisations: int = 1_000_000
    repeat: int = 3
    quick: bool = False


async def run(size: Size, say: Say, progress: Progress | None = None) -> Result:
    """The whole bench in folders of its own; nothing is left."""
    before = load_1m()
    seen: dict[str, list[Figures]] = {name: [] for name in LABELS}
    for turn in range(size.repeat):
        say(f"démarrages ({turn + 1}/{size.repeat})", f"starts ({turn + 1}/{size.repeat})")
        with tempfile.TemporaryDirectory(prefix="accord-bench-") as folder:
            for name, took_s in (await _starts(Path(folder), size.quick, progress)).items():
                seen[name].append({"s": took_s})
    async with arena(REQUESTS, size.authorisations, say, progress) as place:
        await _publish_events(place)
        for turn in range(size.repeat + 1):
            say(f"agents ({turn}/{size.repeat})", f"worker ({turn}/{size.repeat})")
            found = await _restart(place)
            for name, figures in found.items() if turn else ():  # the first start is no restart
                seen[name].append(figures)
    return result(size, seen, before)


def result(size: Size, seen: dict[str, list[Figures]], before: float) -> Result:
    """Medians; what a quick run did not do is not judged."""
    found = {name: middle(turns) for name, turns in seen.items()}
    cold_s = None if size.quick else found["dev-cold"]["s"]
    targets = (
        at_most("dev_cold_s", ("accord dev, premier démarrage, s", "accord dev, first start, s"), cold_s, 60),
        at_most("dev_warm_s", ("accord dev, démarrage suivant, s", "accord dev, next start, s"), found["dev-warm"]["s"], 5),
        at_most(
            "worker_s", ("agents, jusqu'à la première décision, s", "worker, to its first decision, s"), found["worker-decides"]["s"], 5
        ),
    )  # fmt: skip
    ratios = {
        f"{when}_to_kafka": ratio(found[f"dev-{when}"]["s"], found[f"kafka-{when}"]["s"]) for when in ("cold", "warm")
    }
    quick: tuple[Words, ...] = (
        ("rien téléchargé : le premier démarrage n'est pas à froid", "nothing downloaded: the first start is no cold one"),
    )  # fmt: skip
    contenders = tuple(Contender(name, LABELS[name], figures) for name, figures in found.items())
    sizes: dict[str, int | str] = {"authorisations": size.authorisations, "requests": REQUESTS}
    return Result(
        "start", ("Les démarrages", "Starting"), sizes, size.repeat, contenders, ratios, targets, machine(before), versions(),
        quick if size.quick else (),
    )  # fmt: skip


async def _starts(folder: Path, quick: bool, progress: Progress | None) -> dict[str, float]:
    """Kafka alone, then a whole bus, each twice over the same folder, in s."""
    home = cache_home() if quick else folder / "cache"
    bare = jars.kafka_cache() if quick else folder / "bare" / jars.kafka_cache().name
    found = {"kafka-cold": await _kafka(folder / "kafka", bare, progress, train=not quick)}
    found["kafka-warm"] = await _kafka(folder / "kafka", bare, progress, train=False)
    cache = home / jars.kafka_cache().name
    async with _dev(folder / "dev", home) as found["dev-cold"]:
        if not quick:
            await _until(lambda: bool(aot.options(cache)), TRAINED_S, "no AOT cache")
    async with _dev(folder / "dev", home) as found["dev-warm"]:
        pass
    shutil.rmtree(folder / "bare", ignore_errors=True)
    return found


async def _kafka(data: Path, cache: Path, progress: Progress | None, *, train: bool) -> float:
    """`train`: it is stopped when the JVM's cache is ready, as one stops a broker that has run for a while."""
    broker, started_s = EmbeddedKafka(data, progress=progress, cache=cache, train=train), perf_counter()
    await asyncio.to_thread(broker.start)
    took_s = perf_counter() - started_s
    try:
        if train and not await asyncio.to_thread(broker.trained, TRAINED_S):
            raise Ended("no AOT cache")
    finally:
        await asyncio.to_thread(broker.stop)
    return took_s


@asynccontextmanager
async def _dev(data: Path, cache: Path) -> AsyncIterator[float]:
    """A whole bus, and how long until it was ready, in s."""
    places, log = Places(data), data.parent / "dev.log"
    given = [f"ACCORD_CACHE={cache}", "ACCORD_KAFKA=embedded", "ACCORD_STORE="]
    argv = ["env", *given, sys.executable, "-m", "exchange.cli", "dev", "--json", "--data", str(data)]
    places.address.unlink(missing_ok=True)
    started_s = perf_counter()
    child = process.spawn(argv, cwd=Path.cwd(), output=log, death_signal=SIGKILL)
    try:

        def ready() -> bool:
            if child.poll() is not None:
                raise Ended(f"accord dev: exit code {child.returncode}: {last_line(log)}")
            return places.address.exists()

        await _until(ready, LIMIT_S, "accord dev: too slow")
        yield perf_counter() - started_s
    finally:
        await asyncio.to_thread(process.stop, child, patience_s=60.0)


async def _until(holds: Callable[[], bool], limit_s: float, late: str) -> None:
    deadline_s = perf_counter() + limit_s
    while not holds():
        if perf_counter() > deadline_s:
            raise Ended(late)
        await asyncio.sleep(POLL_S)


async def _publish_events(place: Arena) -> None:
    """Everybody's agreement, as the relay published it over the years."""
    async with KafkaOutbox(place.bus.bootstrap) as outbox:
        relay, done = Relay(place.bus.ledger, outbox, SystemClock()), 0
        while await place.bus.ledger.events(done, 1):
            await relay.tick()
            done += LIMIT


async def _restart(place: Arena) -> dict[str, Figures]:
    """A worker with all its roles over the whole ledger and requests that wait, from its start to its first decision; every fate checked."""
    bus, load = place.bus, place.load
    decided = (topics.VERDICTS, topics.tasks(PROVIDERS[0]))
    before = await place.watch.ends(*decided)
    async with KafkaOutbox(bus.bootstrap) as outbox:
        await load.publish(outbox, place.source)

    started_s = perf_counter()
    bus.spawn("worker", "worker", "--kafka", bus.bootstrap)
    worker = Runner(bus.children["worker"], "", bus.places.log("worker"))
    await bus.ready("worker")
    ready_s = perf_counter() - started_s
    await place.watch.appended(worker, before, 1)
    decided_s = perf_counter() - started_s
    await place.watch.appended(worker, before, load.count)
    rss_bytes = most_rss_bytes(worker.child.pid)
    bus.stop("worker")
    tasks, verdicts = place.reader(decided[1], before), place.reader(decided[0], before)
    async with tasks, verdicts:
        await load.check(tasks.to_end(), verdicts.to_end())
    return {"worker-ready": {"s": ready_s}, "worker-decides": {"s": decided_s, "rss_bytes": rss_bytes}}

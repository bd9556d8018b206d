"""The ledger's log beside its own store: leaves appended durably, inclusion proofs, an officer's queries, as the log grows.

A leaf is a release, under one of the agreements there are, drawn at random. The limit it is shown beside is the same store inserting rows
of the same size into a like table, in the same run. There is one agreement for five leaves, of one in a hundred collectivities, over a
year.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random  # noqa: TID251  # a load drawn from a seed
from statistics import median
from time import perf_counter, process_time
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import Engine, MetaData, quoted_name

from bench.ledger_load import CHUNK, DAY_MS, LEAVES_PER_AGREEMENT, OFFICER, START_MS, People, Rows, leaf_size_bytes
from bench.report import Contender, Figures, Result, Say, Words, at_least, at_most, load_1m, machine, ratio, versions
from consent.core import note
from consent.core.query import Officer, Query
from consent.keys import KeyRing, ephemeral
from consent.ledger import Ledger
from consent.stores import tables as t
from consent.stores.batch import insert_rows
from consent.stores.engine import durable, open_store
from consent.transaction import transaction
from exchange.clock import SystemClock

WINDOW = 10
"""Chunks a measure."""
PROOFS, QUERIES = 1_000, 200
"""How many are timed, at most."""
SMALL, FULL = (10_000, 100_000), (10_000, 1_000_000, 5_000_000)
T = TypeVar("T")


class Rate(NamedTuple):
    """Rows a second of wall time, and a CPU-second of this process."""

    per_s: float
    per_cpu_s: float


class Spread(NamedTuple):
    """Milliseconds of wall time, and of this process's CPU time: what a machine with other work to do would show alone."""

    p50: float
    p99: float
    cpu_p50: float
    cpu_p99: float


@dataclass(frozen=True)
class Stage:
    """What was seen at one size; rates are medians. `small`: the same leaves appended to a small log, turn by turn with this one's."""

    leaves: int
    agreements: int
    append: Rate
    bulk: Rate
    small: Rate
    proof_ms: Spread
    subject_ms: Spread
    day_ms: Spread

    def contenders(self) -> tuple[Contender, ...]:
        """Rates and durations, each under its name at this size."""
        rates, spreads = (
            {"append": self.append, "bulk": self.bulk, "small": self.small},
            {"proof": self.proof_ms, "subject": self.subject_ms, "day": self.day_ms},
        )
        figures: dict[str, Figures] = {name: dict(rate._asdict()) for name, rate in rates.items()}
        for name, spread in spreads.items():
            figures[name] = {f"{field}_ms": value for field, value in spread._asdict().items()}
        return tuple(Contender(name, LABELS[name], found, self.leaves) for name, found in figures.items())


LABELS: dict[str, Words] = {
    "append": ("feuilles", "leaves"),
    "bulk": ("lignes nues", "bare rows"),
    "small": ("feuilles, petit journal", "leaves, small log"),
    "proof": ("preuve d'inclusion", "inclusion proof"),
    "subject": ("requête DPO, une personne", "DPO query, a person"),
    "day": ("requête DPO, un jour", "DPO query, a day"),
}


def result(store: str, repeat: int, leaf_bytes: int, stages: Sequence[Stage], before: float) -> Result:
    """Of every stage, smallest first; the targets are read at the largest size. `leaf_bytes` is a leaf's row. Growth: what a leaf costs
    (CPU) at the largest size, in times what it costs a log of the smallest in the same minute."""
    last = stages[-1]
    growth = last.small.per_cpu_s / last.append.per_cpu_s
    queries_ms = max(last.subject_ms.p99, last.day_ms.p99)
    targets = (
        at_least("append_per_s", ("feuilles durables par seconde", "durable leaves per second"), last.append.per_s, 20_000),
        at_most("proof_p99_ms", ("preuve, ms au centile 99", "proof, ms at the 99th percentile"), last.proof_ms.p99, 5),
        at_most("query_p99_ms", ("requête DPO, ms au centile 99", "DPO query, ms at the 99th percentile"), queries_ms, 200),
        at_most("growth", ("coût d'une feuille, de la plus petite taille à la plus grande", "a leaf's cost, largest size to smallest"), growth, 1.2),
    )  # fmt: skip
    sizes: dict[str, int | str] = {
        "leaves": last.leaves,
        "authorisations": last.agreements,
        "chunk": CHUNK,
        "leaf_bytes": leaf_bytes,
    }
    ratios = {f"append_to_bulk at {stage.leaves}": ratio(stage.append.per_s, stage.bulk.per_s) for stage in stages}
    return Result(
        "ledger", ("Le registre", "The ledger"), sizes | {"store": store}, repeat,
        tuple(contender for stage in stages for contender in stage.contenders()), ratios | {"growth": growth}, targets,
        machine(before), versions(),
    )  # fmt: skip


async def run(sizes: Sequence[int], repeat: int, say: Say, server: str = "") -> Result:
    """All stages on one store that grows, in a folder (or a database of the PostgreSQL `server`) that is gone afterwards."""
    before, keys, smallest, *larger = load_1m(), ephemeral("accord.bench/ledger"), *sorted(sizes)
    with store(server) as (engine, name), store(server) as (beside, _):
        arena, small = _Arena(engine, keys), _Arena(beside, keys)
        await arena.ledger.appoint(Officer(OFFICER, (), 1 << 52))
        small.grow(smallest, 0)
        stages = [await arena.stage(size, repeat, say, small) for size in (smallest, *larger)]
        return result(name, repeat, leaf_size_bytes(engine), stages, before)


class _Arena:
    """One ledger, and a table like its own for the limit."""

    def __init__(self, engine: Engine, keys: KeyRing) -> None:
        self.engine, self.keys, self.draw = engine, keys, Random(7)
        self.ledger = Ledger(engine, keys, SystemClock(), lambda _: b"")
        self.people, self.size = People(keys, self.draw), 0
        self.like = t.leaf.to_metadata(MetaData(), name="bulk")
        for index in self.like.indexes:
            index.name = quoted_name(f"bulk_{index.name}", None)
        self.like.create(engine)
        self.rows = Rows(self.draw)

    def grow(self, size: int, measured: int) -> None:
        """To `size` leaves, less those that will be measured."""
        while len(self.people.ids) < size // LEAVES_PER_AGREEMENT:
            self._agree()
        while self.size < size - measured:
            self.append()

    async def stage(self, size: int, repeat: int, say: Say, small: _Arena) -> Stage:
        say(f"journal de {size:,} feuilles", f"a log of {size:,} leaves")
        self.grow(size, repeat * WINDOW * CHUNK)
        appends, bulks, smalls = [], [], []
        for _ in range(repeat):
            bulks += _rates(self._bulk)
            ours, little = _rates(self.append, small.append)
            appends.append(ours)
            smalls.append(little)
        await self._published()
        proofs, queries = min(PROOFS, size // 20), min(QUERIES, size // 100)
        leaves = [self.draw.randrange(self.size) for _ in range(proofs)]
        subjects = [Query(subject=subject) for subject in self.people.subjects(self.draw, queries)]
        days = [Query(recipient=r, from_ms=day, to_ms=day + DAY_MS) for r, day in self.people.days(self.draw, queries)]
        return Stage(
            self.size, len(self.people.ids), _median(appends), _median(bulks), _median(smalls), await _spread(leaves, self.ledger.proof),
            await _spread(subjects, self._ask, self._published), await _spread(days, self._ask, self._published),
        )  # fmt: skip

    async def _ask(self, query: Query) -> None:
        found = await self.ledger.query(OFFICER, "mesure", query)
        if not found.rows:
            raise ValueError("nobody found")

    async def _published(self) -> None:
        """As the publisher does twice a second: heads that nobody needs any more are forgotten."""
        await self.ledger.published(note.parse_checkpoint(note.split(await self.ledger.checkpoint())[0]).size)

    def _agree(self) -> None:
        with transaction(self.engine, self.keys, START_MS) as tx:
            self.people.join(tx, CHUNK)
        self.size += CHUNK

    def append(self) -> None:
        """A chunk of releases, as `consent.releases` appends them."""
        ids = [self.draw.choice(self.people.ids) for _ in range(CHUNK)]
        with transaction(self.engine, self.keys, START_MS) as tx:
            for authorisation in ids:
                tx.append("released", authorisation, self.rows.content, request=os.urandom(16), code="released")
        self.size += CHUNK

    def _bulk(self) -> None:
        rows = self.rows.next(CHUNK)
        with durable(self.engine) as connection:
            insert_rows(connection, self.like, rows)


def _rates(*chunks: Callable[[], None]) -> list[Rate]:
    """Of each, chunk by chunk in turn: what slows the machine down slows all of them."""
    wall_s, cpu_s = [0.0] * len(chunks), [0.0] * len(chunks)
    for _ in range(WINDOW):
        for place, chunk in enumerate(chunks):
            began_s, used_s = perf_counter(), process_time()
            chunk()
            wall_s[place] += perf_counter() - began_s
            cpu_s[place] += process_time() - used_s
    return [Rate(WINDOW * CHUNK / wall, WINDOW * CHUNK / cpu) for wall, cpu in zip(wall_s, cpu_s, strict=True)]


async def _spread(
    items: Sequence[T], call: Callable[[T], Awaitable[object]], between: Callable[[], Awaitable[object]] | None = None
) -> Spread:
    """How long each call took; `between` them is not counted."""
    wall_ms, cpu_ms = [], []
    for item in items:
        wall_s, cpu_s = perf_counter(), process_time()
        await call(item)
        wall_ms.append((perf_counter() - wall_s) * 1000)
        cpu_ms.append((process_time() - cpu_s) * 1000)
        if between is not None:
            await between()
    return Spread(median(wall_ms), _p99(wall_ms), median(cpu_ms), _p99(cpu_ms))


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[-1 - len(values) // 100]


def _median(rates: Sequence[Rate]) -> Rate:
    return Rate(median(r.per_s for r in rates), median(r.per_cpu_s for r in rates))


@contextmanager
def store(server: str) -> Iterator[tuple[Engine, str]]:
    """An empty store of the ledger's, and its name."""
    if not server:
        with tempfile.TemporaryDirectory(prefix="accord-bench-") as folder:
            engine = open_store(Path(folder) / "ledger.db")
            try:
                yield engine, f"sqlite {sqlite3.sqlite_version}"
            finally:
                engine.dispose()
        return
    name = f"accord_bench_{os.getpid()}_{os.urandom(4).hex()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            engine = open_store(urlsplit(server)._replace(path=f"/{name}").geturl())
            try:
                yield engine, f"postgresql {connection.info.server_version // 10_000}"
            finally:
                engine.dispose()
        finally:
            connection.execute(f'DROP DATABASE "{name}"')

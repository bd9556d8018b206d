"""What both stores promise: rows come back as they went in, one owner, one history."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, Select, select

from consent.core.facts import State
from consent.stores import migrations
from consent.stores import tables as t
from consent.stores.batch import insert_rows, select_rows
from consent.stores.engine import durable, open_store, owned_store, snapshot
from consent.transaction import reading, transaction
from exchange.core.errors import Code
from exchange.locks import InUse
from exchange.places import Places
from exchange.ports import Unavailable
from tests.postgres import Server
from tests.world import World, held

ROOT = Path(__file__).parents[2]
CLI = "from exchange.cli import main; main()"


def row(**values: object) -> dict[str, object]:
    """A row of `terminal`."""
    empty = {int: 0, str: "", bytes: b"", bool: None}
    return {c.name: empty[c.type.python_type] for c in t.terminal.c} | values


def test_rows_come_back_as_they_went_in(shared: Path | str) -> None:
    """Bytes as bytes, booleans as booleans, nothing as None; the largest numbers; no text is taken for a part of the statement."""
    engine = open_store(shared)
    rows = [
        row(request=bytes(range(256)), with_key=True, confirmed_at=2**63 - 1),
        row(request=b"%s", with_key=False, confirmed_at=None, reason="%s %b ' \" é ? :x {}"),
        row(request=b"", with_key=None, confirmed_at=None, topic="\\", offset=-1),
    ]
    with durable(engine) as connection:
        insert_rows(connection, t.terminal, rows)
        insert_rows(connection, t.terminal, [])
    with snapshot(engine) as connection:
        found = [r._asdict() for r in connection.execute(select(t.terminal))]
    assert sorted(found, key=lambda r: r["request"]) == sorted(rows, key=lambda r: bytes(r["request"]))  # type: ignore[call-overload]
    assert {type(r["request"]) for r in found} == {bytes} and {type(r["with_key"]) for r in found} == {bool, type(None)}
    engine.dispose()


def test_rows_are_found_by_many_values(shared: Path | str) -> None:
    """Of no value, of one, of more than a statement names: each row that is there once, values asked twice and unknown ones included."""
    engine = open_store(shared)
    ids = [number.to_bytes(4, "big") for number in range(20_000)]
    with durable(engine) as connection:
        insert_rows(connection, t.terminal, [row(request=id, at=place) for place, id in enumerate(ids)])
    with snapshot(engine) as connection:
        assert list(select_rows(connection, t.terminal, "request", [])) == []
        (one,) = select_rows(connection, t.terminal, "request", [ids[7], ids[7], b"unknown"])
        assert (bytes(one.request), one.at, one.operator) == (ids[7], 7, "")
        found = select_rows(connection, t.terminal, "request", [*ids, *ids, b"unknown"], ("at", "request"))
    assert sorted((at, bytes(request)) for at, request in found) == list(enumerate(ids))
    engine.dispose()


def test_the_leaves_of_an_authorisation_are_found_through_their_index(shared: Path | str) -> None:
    """Its releases, which are most of the log, are not in it; nor is the log read to find the others."""
    engine = open_store(shared)
    assert "leaf_by_authorisation" in plan(engine, select(t.leaf.c.idx).where(t.about(b"a" * 16)))
    engine.dispose()


def test_the_requests_of_an_authorisation_are_found_through_indexes(shared: Path | str) -> None:
    """Its releases, which are most of them, by its attempts; the others by an index that has nothing else."""
    engine = open_store(shared)
    releases, others = (plan(engine, select(t.terminal).where(of(b"a" * 16))) for of in (t.releases, t.other_ends))
    assert "attempt_by_authorisation" in releases and "terminal_by_authorisation" in others
    assert all(word not in releases + others for word in ("SCAN", "Seq Scan", "terminal_by_time"))
    engine.dispose()


def plan(engine: Engine, query: Select[Any]) -> str:
    """How the store answers a query, where its tables are too large to be read whole."""
    written = query.compile(engine, compile_kwargs={"literal_binds": True})
    with snapshot(engine) as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        explain = "EXPLAIN QUERY PLAN " if engine.dialect.name == "sqlite" else "EXPLAIN "
        return str(connection.exec_driver_sql(f"{explain}{written}").all())


def test_a_row_that_is_there_stays_as_it_is(shared: Path | str) -> None:
    """`ignore` leaves out the rows already there and writes the others; without it, nothing is written."""
    engine = open_store(shared)
    first = {"request": b"r", "authorisation": b"a", "operator": "o", "digest": b"d", "at": 1, "confirmed_at": None}
    with durable(engine) as connection:
        insert_rows(connection, t.conflict, [first])
        insert_rows(connection, t.conflict, [first | {"at": 2}, first | {"digest": b"e"}], ignore=True)
    with pytest.raises(Unavailable), reading(engine) as connection:
        insert_rows(connection, t.conflict, [first])
    with snapshot(engine) as connection:
        assert sorted(connection.execute(select(t.conflict.c.digest, t.conflict.c.at)).all()) == [(b"d", 1), (b"e", 1)]
    engine.dispose()


async def test_many_are_looked_up_at_once(world: World) -> None:
    """Three thousand ids in one call, one of them known."""
    known = await world.give()
    asked = [n.to_bytes(16, "big") for n in range(3_000)]
    found = await world.ledger.lookup([*asked, known])
    assert [f.state for f in found if f is not None] == [State.LIVE] and found[-1] is not None


async def test_a_value_that_no_store_holds_is_the_callers_fault(world: World) -> None:
    """A number beyond 64 bits is no failure of the store: asking again will not help; the ledger lives on."""
    with pytest.raises(OverflowError):
        await world.ledger.delegate("21130055300016", "211300553", 2**64)
    assert (await held(world, await world.give())).state is State.LIVE


def test_two_may_open_a_new_store_at_once(shared: Path | str) -> None:
    """Both find the same schema and the one row of the log."""
    with ThreadPoolExecutor(4) as pool:
        engines = list(pool.map(open_store, [shared] * 4))
    for engine in engines:
        with durable(engine) as connection:
            assert connection.execute(select(t.log.c.id)).all() == [(1,)]
            assert migrations.revision(connection) == migrations.HEAD
        engine.dispose()


async def test_what_was_committed_is_there_after_a_restart(shared: Path | str) -> None:
    """Opened again: same rows, same log, same head."""
    world = await World.open(shared)
    authorisation, before = await world.give(), await world.ledger.checkpoint()
    world.engine.dispose()
    world.engine = open_store(shared)
    world.restart()
    assert (await held(world, authorisation)).state is State.LIVE
    assert await world.ledger.checkpoint() == before and await world.ledger.verify() == []
    world.engine.dispose()


def test_the_clock_in_the_store_never_goes_back(shared: Path | str) -> None:
    """Whatever the machine's clock says, each transaction is at the time of the one before, or later."""
    engine, seen = open_store(shared), []
    keys = World().keys
    for clock_ms in (5, 3, 9, 1):
        with transaction(engine, keys, clock_ms) as tx:
            seen.append(tx.now_ms)
    assert seen == [5, 5, 9, 9]
    engine.dispose()


# Two processes


@contextmanager
def ledger(data: Path, store: str) -> Iterator[subprocess.Popen[str]]:
    """`accord ledger run` over `data`, killed at the end if it still runs."""
    started = subprocess.Popen(
        [sys.executable, "-c", CLI, "ledger", "run", "--data", str(data), "--json"],
        cwd=ROOT, env=os.environ | {"ACCORD_STORE": store}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield started
    finally:
        started.kill()
        started.communicate(timeout=60)


def said(process: subprocess.Popen[str]) -> dict[str, object]:
    """The first line of a process."""
    assert process.stdout is not None
    found: dict[str, object] = json.loads(process.stdout.readline())
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def sites(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[Path], str]:
    """Two places where one ledger's process may be started, and its store: on SQLite one directory, on PostgreSQL two machines' worth."""
    if request.param == "sqlite":
        return [tmp_path / "bus"] * 2, ""
    postgres: Server = request.getfixturevalue("postgres")
    return [tmp_path / "here", tmp_path / "there"], postgres.store()


def test_of_two_processes_exactly_one_signs(sites: tuple[list[Path], str]) -> None:
    """The second is told so and ends; once the first is killed, the store can be owned again."""
    (here, there), store = sites
    with ledger(here, store) as first:
        assert said(first) == {"ready": "ledger"}
        with ledger(there, store) as second:
            assert said(second)["error"] == Code.DATA_IN_USE and second.wait(60) == 4
        first.send_signal(signal.SIGKILL)
        first.wait(60)
    assert taken_over(Places(here, store)) == [1]


def taken_over(places: Places) -> Sequence[int]:
    """Sooner or later: a server frees the lock of the dead when it sees that they are. What its log says then."""
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        with suppress(InUse), owned_store(places) as engine, reading(engine) as connection:
            return connection.execute(select(t.log.c.id)).scalars().all()
    raise AssertionError("nobody may own the store")

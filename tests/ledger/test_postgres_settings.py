"""PostgreSQL as the ledger needs it: what its settings must be, and what its failures look like (protocol §4, §8 rows 9 and 10)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select
from typer.testing import CliRunner

from consent.core.facts import State
from consent.stores import postgresql
from consent.stores import tables as t
from consent.stores.engine import open_store, snapshot
from consent.stores.postgresql import Settings
from consent.transaction import transaction
from exchange.cli import app
from exchange.locks import InUse
from exchange.ports import BadStore, Unavailable
from tests.postgres import Server, shown
from tests.world import World, held

ROOT = Path(__file__).parents[2]
GOOD = Settings(150_018, "on", "on", "on", "", "UTF8", False)


@contextmanager
def setting(postgres: Server, **settings: str) -> Iterator[None]:
    """Settings in force for the block."""
    postgres.change(*(f"ALTER SYSTEM SET {name} = '{value}'" for name, value in settings.items()))
    try:
        yield
    finally:
        postgres.change(*(f"ALTER SYSTEM RESET {name}" for name in settings))


# Settings


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({}, []),
        ({"version": 140_022}, ["server_version=14"]),
        ({"fsync": "off"}, ["fsync=off"]),
        ({"full_page_writes": "off"}, ["full_page_writes=off"]),
        ({"synchronous_commit": "off"}, ["synchronous_commit=off"]),
        ({"synchronous_commit": "local"}, ["synchronous_commit=local"]),
        ({"synchronous_commit": "remote_write"}, ["synchronous_commit=remote_write"]),
        ({"synchronous_commit": "remote_apply"}, []),
        ({"server_encoding": "SQL_ASCII"}, ["server_encoding=SQL_ASCII"]),
        ({"in_recovery": True, "fsync": "off"}, ["fsync=off", "in_recovery=on"]),
    ],
)
def test_settings_that_would_forget_are_problems(change: dict[str, Any], problems: list[str]) -> None:
    """Each is named; a standby, or a primary that was deposed, will not do either."""
    assert GOOD._replace(**change).problems() == problems


@pytest.mark.parametrize("name", ["fsync", "full_page_writes"])
def test_a_server_that_may_forget_is_refused(postgres: Server, name: str) -> None:
    """Before anything is written to it."""
    url = postgres.store()
    with setting(postgres, **{name: "off"}), pytest.raises(BadStore, match=f"^{name}=off$"):
        open_store(url)
    assert shown(url, "SELECT count(*) FROM pg_class WHERE relname = 'log'") == 0
    open_store(url).dispose()


def test_our_session_waits_for_the_disk_whatever_the_server_or_the_url_prefer(postgres: Server) -> None:
    """`synchronous_commit=off` on the server or in the URL is not in force where the ledger commits."""
    url = postgres.store()
    with setting(postgres, synchronous_commit="off"):
        assert shown(url, "SHOW synchronous_commit") == "off"
        engine = open_store(f"{url}%20-c%20synchronous_commit%3Doff%20-c%20work_mem%3D8MB")
        with snapshot(engine) as connection:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            assert connection.exec_driver_sql("SHOW work_mem").scalar() == "8MB"
        engine.dispose()


def test_timeouts_are_ours_unless_the_url_has_others(postgres: Server) -> None:
    """Nobody holds the log in their sleep for longer than half a second, where nobody says otherwise (protocol §4)."""
    for url, expected in ((postgres.url(patient=False), "500ms"), (postgres.url(), "1min")):
        with postgresql.connect(url) as connection:
            assert connection.execute("SHOW idle_in_transaction_session_timeout").fetchone() == (expected,)


def test_no_password_is_shown(postgres: Server) -> None:
    """A store that does not answer says so without its URL."""
    with pytest.raises(Unavailable) as failed:
        open_store(f"postgresql://somebody:secret@/absent?host={postgres.folder}")
    assert str(failed.value) == "ledger store: OperationalError" and failed.value.__cause__ is None


# Failures


async def test_a_commit_whose_standby_was_not_waited_for_is_unknown(postgres: Server) -> None:
    """The cancelled wait is a success to PostgreSQL, and its row is there for all to see; to us nothing is known of it, nothing is read of
    it before a commit is confirmed, and asking again gives the answer."""
    url = postgres.store()
    world = await World.open(url)
    authorisation = await world.give()
    with setting(postgres, synchronous_standby_names="absent"):
        with cancelling(postgres), pytest.raises(Unavailable, match="commit unknown"):
            await world.ledger.withdraw(authorisation, "withdrawn")
        assert shown(url, "SELECT state FROM authorisation") == "withdrawn"
        with cancelling(postgres), pytest.raises(Unavailable, match="commit unknown"):
            await world.ledger.lookup([authorisation])
    assert (await held(world, authorisation)).state is State.WITHDRAWN
    assert (await world.ledger.withdraw(authorisation, "withdrawn")).state is State.WITHDRAWN
    assert await world.ledger.verify() == []
    world.engine.dispose()


@contextmanager
def cancelling(postgres: Server) -> Iterator[None]:
    """An administrator who cancels every wait for a standby."""
    over = threading.Event()

    def work() -> None:
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            while not over.is_set():
                connection.execute("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
                over.wait(0.02)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def test_a_standby_that_never_answers_is_not_waited_for_for_ever(postgres: Server) -> None:
    """The ledger gives the commit up as unknown, and lives on once the standby is no longer asked for."""
    world = await World.open(postgres.store())
    with setting(postgres, synchronous_standby_names="absent"), pytest.raises(Unavailable, match="commit unknown"):
        await world.give()
    assert (await held(world, await world.give())).state is State.LIVE
    world.engine.dispose()


async def test_the_ledger_outlives_its_server(postgres: Server) -> None:
    """Stopped: nothing is known. Started again, even after a crash: it goes on with what it had acknowledged."""
    world = await World.open(postgres.store())
    authorisation = await world.give()
    postgres.stop("immediate")
    try:
        with pytest.raises(Unavailable):
            await world.ledger.withdraw(authorisation, "withdrawn")
    finally:
        postgres.start()
    assert (await held(world, authorisation)).state is State.LIVE
    await world.ledger.withdraw(authorisation, "withdrawn")
    postgres.restart()
    assert (await held(world, authorisation)).state is State.WITHDRAWN and await world.ledger.verify() == []
    world.engine.dispose()


HOLDS = """
import sys
from consent.keys import ephemeral
from consent.stores.engine import open_store
from consent.transaction import transaction
with transaction(open_store(sys.argv[1]), ephemeral("accord.test/ledger"), 1) as tx:
    print("holds", flush=True)
    sys.stdin.readline()
    tx.append("directory", b"", b"too late")
"""


def in_a_transaction(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLDS, url],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


async def test_a_stopped_process_does_not_hold_the_log(postgres: Server) -> None:
    """SIGSTOP in the middle of a transaction: a withdrawal gets through; the stopped one, awake again, has written nothing."""
    url = postgres.store()
    world = await World.open(url)
    authorisation = await world.give()
    with in_a_transaction(postgres.url("store", patient=False)) as stopped:
        assert stopped.stdout is not None and stopped.stdout.readline() == "holds\n"
        stopped.send_signal(signal.SIGSTOP)
        assert (await world.ledger.withdraw(authorisation, "withdrawn")).state is State.WITHDRAWN
        stopped.send_signal(signal.SIGCONT)
        _, error = stopped.communicate("go on\n", timeout=60)
        assert stopped.returncode == 1 and "Unavailable: ledger store" in error
    assert await world.ledger.verify() == []
    world.engine.dispose()


async def test_a_reader_sees_one_moment(postgres: Server) -> None:
    """What others commit while it reads is not half in what it reads."""
    url = postgres.store()
    world, reader = await World.open(url), open_store(url)
    with snapshot(reader) as connection:
        size = connection.execute(select(t.log.c.size)).scalar_one()
        await world.give()
        assert connection.execute(select(func.count()).select_from(t.leaf)).scalar_one() == size
    with snapshot(reader) as connection:
        assert connection.execute(select(t.log.c.size)).scalar_one() > size
    reader.dispose()
    world.engine.dispose()


def test_who_loses_the_store_writes_nothing_more(postgres: Server) -> None:
    """One owner at a time; an owner whose session the server ended finds the store another's, and is unavailable until that one goes."""
    url, keys = postgres.store(), World().keys
    first = open_store(url, sole=True)
    with pytest.raises(InUse):
        open_store(url, sole=True)
    postgres.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
    second = open_store(url, sole=True)
    with pytest.raises(Unavailable, match="another process owns it"), transaction(first, keys, 1):
        pass
    with transaction(second, keys, 2) as tx:
        tx.append("directory", b"", b"fact")
    second.dispose()
    with transaction(first, keys, 3) as tx:
        assert tx.size == 1
    first.dispose()


async def test_an_erasure_leaves_no_dead_rows_of_keys(postgres: Server) -> None:
    """The tables of wrapped keys are vacuumed before an erasure is acknowledged."""
    url = postgres.store()
    world = await World.open(url)
    authorisation = await world.give()
    await world.ledger.withdraw(authorisation, "erased")
    done = "SELECT array_agg(relname::text ORDER BY relname) FROM pg_stat_user_tables WHERE last_vacuum IS NOT NULL"
    assert shown(url, done) == ["content_key", "release_key", "subject_key"]
    assert shown(url, "SELECT pg_relation_size('release_key')") == 0
    world.engine.dispose()


def test_the_locks_are_apart() -> None:
    """Whoever migrates does not take the owner's lock."""
    assert postgresql.OWNER != postgresql.MIGRATING


# accord doctor


def doctor(store: str, tmp_path: Path) -> tuple[int, str]:
    done = CliRunner().invoke(
        app, ["doctor", "--data", str(tmp_path)], env=os.environ | {"ACCORD_STORE": store, "LC_ALL": "en_GB.UTF-8"}
    )
    return done.exit_code, done.output


def test_the_doctor_examines_the_store(postgres: Server, tmp_path: Path) -> None:
    """Version, durability and standbys, each with what to do; a server that may forget is an error, one without standby a warning."""
    code, text = doctor(postgres.url(), tmp_path)
    assert code == 0 and "postgresql" in text and "no standby" in text
    with setting(postgres, fsync="off"):
        code, text = doctor(postgres.url(), tmp_path)
        assert code == 4 and "fsync=off" in text
    with setting(postgres, synchronous_standby_names="ANY 1 (a, b)"):
        code, text = doctor(postgres.url(), tmp_path)
        assert code == 0 and "ANY 1 (a, b)" in text and "no standby" not in text
    code, text = doctor(f"postgresql:///absent?host={tmp_path}", tmp_path)
    assert code == 4 and "ACCORD_STORE" in text

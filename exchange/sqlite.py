"""SQLite as this project opens it: what is committed is on the disk, what is deleted is overwritten."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Pool, create_engine, event
from sqlalchemy.pool import StaticPool

from exchange.driver import execute

sqlite3.register_adapter(bytes, bytes)
"""As they are: without it the driver looks, in vain, for how to adapt each value that is bytes, a tenth of a microsecond."""

_PRAGMAS = ("busy_timeout=3000", "synchronous=FULL", "secure_delete=ON")
_WAL_PATIENCE_S, _WAL_PAUSE_S = 3.0, 0.01


def sqlite_engine(path: Path | None, pool: type[Pool] = StaticPool, more: tuple[str, ...] = ()) -> Engine:
    """The engine of a file, made if absent, or of a database in memory; `more` pragmas. Transactions are BEGIN IMMEDIATE, unless the
    connection's option `reading` is set: a deferred read that then writes would fail at once with SQLITE_BUSY_SNAPSHOT, whatever the
    timeout."""
    target = "sqlite://" if path is None else f"sqlite:///{path}"
    engine = create_engine(target, poolclass=pool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None
        _log_ahead(connection)
        for pragma in (*_PRAGMAS, *more):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading")
        execute(connection, "BEGIN" if reading else "BEGIN IMMEDIATE")

    return engine


def _log_ahead(connection: sqlite3.Connection) -> None:
    """WAL mode. Of two that give a new file this mode at once, one is told that it is busy without its timeout being waited for."""
    until_s = time.monotonic() + _WAL_PATIENCE_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if time.monotonic() > until_s or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            time.sleep(_WAL_PAUSE_S)


def empty_log(engine: Engine, *, vacuum: bool = False) -> bool:
    """The write-ahead log is emptied, and with `vacuum` every page rewritten; False if a reader prevents it. sqlite3.Error as it comes.
    Beneath SQLAlchemy, which would begin a transaction: nothing is checkpointed in one."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        own: sqlite3.Cursor = connection.connection.cursor()  # type: ignore[assignment]  # the driver's own
        if vacuum:
            own.execute("VACUUM")
        return not own.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]

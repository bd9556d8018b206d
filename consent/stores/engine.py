"""Opening the ledger's database: SQLite in WAL mode with synchronous=FULL, one writer at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, select
from sqlalchemy.pool import StaticPool

from consent.core.merkle import Frontier
from consent.stores import tables


def open_sqlite(path: Path | None) -> Engine:
    """The engine of the store at `path` (made if absent), or of one in memory. Transactions are BEGIN IMMEDIATE: a deferred
    read that then writes would fail at once with SQLITE_BUSY_SNAPSHOT, whatever the timeout."""
    target = "sqlite://" if path is None else f"sqlite:///{path}"
    engine = create_engine(target, poolclass=StaticPool, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "secure_delete=ON",
            "busy_timeout=3000",
            "cache_size=-65536",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    prepare(engine)
    return engine


def prepare(engine: Engine) -> None:
    """Tables, and the one row of the log."""
    tables.metadata.create_all(engine)
    with engine.begin() as connection:
        if connection.execute(select(tables.log.c.id)).first() is None:
            connection.execute(insert(tables.log).values(id=1, size=0, last_time=0, sequence=0, frontier=b""))


def pack_frontier(frontier: Frontier) -> bytes:
    return b"".join(frontier)


def unpack_frontier(data: bytes) -> Frontier:
    return tuple(data[i : i + 32] for i in range(0, len(data), 32))

"""Opening the ledger's store, SQLite or PostgreSQL, and the two ways of using it: `durable` and `snapshot`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import DataError, SQLAlchemyError

from consent.core.merkle import Frontier
from consent.stores import migrations, postgresql, tables
from exchange.locks import owned
from exchange.places import Places
from exchange.ports import Unavailable
from exchange.sqlite import empty_log, sqlite_engine

_KEY_TABLES = "release_key, content_key, subject_key"


def open_store(place: Path | str | None, *, sole: bool = False) -> Engine:
    """The store at a `postgresql://` URL or in a file, made or migrated if need be; None: in memory. BadStore if it cannot be trusted or is
    not ours, `Unavailable` if it does not answer. `sole`: `InUse` if another process owns this PostgreSQL store (`owned_store` for both)."""
    if isinstance(place, str) and is_postgresql(place):
        engine = postgresql.open_postgresql(place, sole=sole)
        try:
            prepare(engine)
        except BaseException:
            engine.dispose()
            raise
        return engine
    return open_sqlite(Path(place) if place is not None else None)


def is_postgresql(place: str) -> bool:
    return place.startswith(("postgresql://", "postgres://"))


@contextmanager
def owned_store(places: Places) -> Iterator[Engine]:
    """The store of this data directory, this process alone; `InUse` if another owns it. What dies gives it up, however it dies."""
    with owned(places.store.parent):
        engine = open_store(places.database or places.store, sole=True)
        try:
            yield engine
        finally:
            engine.dispose()


def open_sqlite(path: Path | None) -> Engine:
    """The engine of the store at `path` (made if absent), or of one in memory."""
    engine = sqlite_engine(path, more=("cache_size=-262144", "wal_autocheckpoint=4096"))
    if path is None:
        tables.metadata.create_all(engine)  # what the migrations make, without their half second
    prepare(engine, migrate=path is not None)
    return engine


def prepare(engine: Engine, *, migrate: bool = True) -> None:
    """The schema of today, and the one row of the log. Two openers at once wait for each other."""
    with available(), durable(engine) as connection:
        if migrate:
            if engine.dialect.name == "postgresql":
                postgresql.begin_migration(connection)
            migrations.upgrade(connection)
        if connection.execute(select(tables.log.c.id)).first() is None:
            connection.execute(insert(tables.log).values(id=1, size=0, last_time=0, sequence=0, frontier=b""))


def durable(engine: Engine) -> AbstractContextManager[Connection]:
    """A writing transaction: committed and durable on exit, whole or not at all."""
    return postgresql.durable(engine) if engine.dialect.name == "postgresql" else engine.begin()


def snapshot(engine: Engine) -> AbstractContextManager[Connection]:
    """A reading transaction: all it reads is of one moment."""
    return postgresql.snapshot(engine) if engine.dialect.name == "postgresql" else engine.begin()


@contextmanager
def available() -> Iterator[None]:
    """Whatever goes wrong with the store means *unknown*: `Unavailable`, which names no value. OverflowError: a value no store holds."""
    try:
        yield
    except DataError:
        raise OverflowError("ledger store: out of range") from None
    except SQLAlchemyError as error:
        raise Unavailable(f"ledger store: {type(error).__name__}") from None


def scrub(engine: Engine, *, required: bool) -> None:
    """Old bytes of deleted keys leave the store's files. SQLite: the write-ahead log is emptied; if a reader prevents it and it is `required`
    (an erasure is, a withdrawal is binding without it): `Unavailable`. PostgreSQL: dead rows are given up, where required and as far as can be."""
    if engine.dialect.name == "postgresql":
        if required:
            postgresql.vacuum(engine, _KEY_TABLES)
        return
    try:
        with available():
            done = empty_log(engine)
    except sqlite3.Error as error:
        raise Unavailable(f"ledger store: {type(error).__name__}") from None
    if required and not done:
        raise Unavailable("ledger store: erased bytes not yet overwritten, ask again")


def pack_frontier(frontier: Frontier) -> bytes:
    return b"".join(frontier)


def unpack_frontier(data: bytes) -> Frontier:
    return tuple(data[i : i + 32] for i in range(0, len(data), 32))

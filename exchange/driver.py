"""The database's own driver beneath SQLAlchemy, whose description of a statement and of what comes back costs three times the query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


@contextmanager
def cursor(connection: Connection) -> Iterator[Any]:
    """A cursor of the driver's, within the connection's transaction; errors are SQLAlchemy's. PostgreSQL answers in binary: bytes come as
    they are, instead of twice as long in hexadecimal."""
    binary = {"binary": True} if connection.dialect.name == "postgresql" else {}
    own = connection.connection.cursor(**binary)
    try:
        with _errors(connection):
            yield own
    finally:
        own.close()


@contextmanager
def pipelined(connection: Connection) -> Iterator[None]:
    """Within, PostgreSQL works on a statement while the next is being made: what writes is sent and not waited for, what reads waits for
    all before it. An error comes with a later statement, or at the end, where all is done. Statements of `cursor` only: SQLAlchemy asks
    of each what came of it. SQLite has nobody to wait for."""
    if connection.dialect.name != "postgresql":
        yield
        return
    session: Any = connection.connection.driver_connection
    with _errors(connection), session.pipeline():
        yield


@contextmanager
def _errors(connection: Connection) -> Iterator[None]:
    kind = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except kind as error:
        raise DBAPIError.instance(None, None, error, kind) from error

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
        yield own
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError.instance(None, None, error, connection.dialect.loaded_dbapi.Error) from error
    finally:
        own.close()

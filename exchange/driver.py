"""The database's own driver beneath SQLAlchemy, whose description of a statement and of what comes back costs three times the query.

All of it happens within the connection's transaction; errors are SQLAlchemy's. PostgreSQL answers in binary: bytes come as they are,
instead of twice as long in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError


def execute(connection: Connection, statement: str, values: Sequence[Any] = ()) -> None:
    """One statement of the driver's own form."""
    try:
        _executed(connection, statement, values)
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, error)


def execute_many(connection: Connection, statement: str, rows: Sequence[Sequence[Any]]) -> None:
    """The same for each of these rows of values."""
    own: Any = connection.connection.dbapi_connection
    try:
        own.executemany(statement, rows)
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, error)


def fetch(connection: Connection, statement: str, values: Sequence[Any] = ()) -> list[Any]:
    """The same, and the rows it gives."""
    try:
        return _executed(connection, statement, values).fetchall()  # type: ignore[no-any-return]  # a driver's rows
    except connection.dialect.loaded_dbapi.Error as error:
        _raise(connection, error)


def _executed(connection: Connection, statement: str, values: Sequence[Any]) -> Any:
    own: Any = connection.connection.dbapi_connection
    if connection.dialect.name == "postgresql":
        return own.execute(statement, values, binary=True)
    return own.execute(statement, values)


def _raise(connection: Connection, error: Exception) -> NoReturn:
    raise DBAPIError.instance(None, None, error, connection.dialect.loaded_dbapi.Error) from error

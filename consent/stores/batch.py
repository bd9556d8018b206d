"""Many rows in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Dialect, LargeBinary, String, Table

_ARRAYS = {BigInteger: "bigint", String: "text", LargeBinary: "bytea", Boolean: "boolean"}


def insert_rows(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, ignore: bool = False
) -> None:
    """Insert rows that have every column, as the driver takes them: half of what a leaf costs went into SQLAlchemy's own conversions.
    `ignore`: rows whose primary key is there already are left out."""
    if not rows:
        return
    names, statement = table.c.keys(), _statement(table, ignore, connection.dialect)
    if connection.dialect.name == "postgresql":  # one array a column: 2.4 times the speed of `executemany`
        connection.exec_driver_sql(statement, tuple([row[name] for row in rows] for name in names))
    else:
        connection.exec_driver_sql(statement, list(map(itemgetter(*names), rows)))


@lru_cache(maxsize=128)
def _statement(table: Table, ignore: bool, dialect: Dialect) -> str:
    quote = dialect.identifier_preparer.quote
    columns = ", ".join(quote(column.name) for column in table.c)
    if dialect.name == "postgresql":
        arrays = ", ".join(f"%b::{_ARRAYS[type(column.type)]}[]" for column in table.c)
        rows = f"SELECT * FROM unnest({arrays})"  # noqa: S608  # names from the tables
    else:
        rows = f"VALUES ({', '.join('?' * len(table.c))})"
    return f"INSERT INTO {quote(table.name)} ({columns}) {rows}" + " ON CONFLICT DO NOTHING" * ignore

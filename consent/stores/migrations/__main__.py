"""`python -m consent.stores.migrations`: write the first revision anew from the tables. Only until a release: from then on revisions are added."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, String, Table

from consent.stores.tables import metadata

FIRST = Path(__file__).parent / "versions" / "v0001_initial.py"
_TYPES = {BigInteger: "integer", String: "text", LargeBinary: "bytes", Boolean: "boolean"}
_TEXT = '''"""Every table of the ledger, one line each. Written by `python -m consent.stores.migrations`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None

_TYPES: dict[str, Any] = {{
    "integer": sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    "text": sa.String(),
    "bytes": sa.LargeBinary(),
    "boolean": sa.Boolean(),
}}

# fmt: off
_TABLES = {{
{tables}
}}

_INDEXES = {{
{indexes}
}}
# fmt: on
"""Name → table, columns, whether unique, and of which rows."""

_BY_KEY = {by_key}
"""Kept in the order of their keys by SQLite (WITHOUT ROWID)."""


def upgrade() -> None:
    for name, columns in _TABLES.items():
        op.create_table(name, *map(_column, columns.split(", ")), sqlite_with_rowid=name not in _BY_KEY)
    for name, (table, columns, unique, rows) in _INDEXES.items():
        where = sa.text(rows) if rows else None
        op.create_index(name, table, columns.split(", "), unique=unique, sqlite_where=where, postgresql_where=where)


def _column(text: str) -> sa.Column[Any]:
    name, kind, *marks = text.split()
    return sa.Column(name, _TYPES[kind], primary_key="key" in marks, nullable="null" in marks, autoincrement=False)
'''


def _table(table: Table) -> str:
    texts = wrap(", ".join(map(_column, table.c)), 106, break_long_words=False)
    if len(texts) == 1:
        return f'    "{table.name}": "{texts[0]}",'
    lines = [f'        "{text} "' for text in texts[:-1]] + [f'        "{texts[-1]}"']
    return "\n".join([f'    "{table.name}": (', *lines, "    ),"])


def _column(column: Column[object]) -> str:
    marks = ["key"] * column.primary_key + ["null"] * bool(column.nullable)
    return " ".join([column.name, _TYPES[type(column.type)], *marks])


def _index(index: Index) -> str:
    assert index.table is not None
    rows = index.dialect_options["sqlite"]["where"]
    return f'    "{index.name}": ("{index.table.name}", "{", ".join(index.columns.keys())}", {bool(index.unique)}, "{rows if rows is not None else ""}"),'


def first() -> str:
    """The text of the first revision."""
    tables = list(metadata.tables.values())
    lines = [_table(table) for table in tables]
    indexes = [_index(index) for table in tables for index in sorted(table.indexes, key=lambda i: str(i.name))]
    by_key = ", ".join(f'"{table.name}"' for table in tables if not table.dialect_options["sqlite"]["with_rowid"])
    return _TEXT.format(tables="\n".join(lines), indexes="\n".join(indexes), by_key=f"({by_key})")


if __name__ == "__main__":
    FIRST.write_text(first(), encoding="utf-8")

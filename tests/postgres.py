"""A PostgreSQL server of the tests' own (`bench.postgres`)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from bench import postgres
from bench.postgres import ACCOUNT, Server, programs, shown
from consent.stores import migrations, tables

__all__ = ["ABSENT", "ACCOUNT", "Server", "emptied", "programs", "programs_or_skip", "running", "shown"]
ABSENT = "PostgreSQL ≥ 15 n'est pas installé / is not installed: apt-get install postgresql"


def programs_or_skip() -> Path:
    """As above; a test that needs them is skipped where they are absent, and fails in CI (`ACCORD_CI`), where they must not be."""
    found = programs()
    if found is not None:
        return found
    if os.environ.get("ACCORD_CI"):
        pytest.fail(ABSENT, pytrace=False)
    pytest.skip(ABSENT)


@contextmanager
def running() -> Iterator[Server]:
    """A server for the block, and nothing of it afterwards."""
    with postgres.running(programs_or_skip()) as server:
        yield server


def emptied(server: Server) -> str:
    """The URL of a store with its schema and nothing in it; without a schema where a test has broken it, or took it away."""
    url = server.url("store")
    try:
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            if found != (migrations.HEAD,):
                return server.store()
            for table in tables.metadata.tables:
                connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    except (psycopg.errors.UndefinedTable, psycopg.OperationalError):
        return server.store()
    return url

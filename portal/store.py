"""The portal's own store: a database apart from the ledger's. Its tables are declared beside what uses them, on this `metadata`."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine, MetaData

from exchange.sqlite import sqlite_engine

metadata = MetaData()


def open_store(path: Path | None) -> Engine:
    """The store in a file, made if absent, mode 0600; in memory for None. Every table that was declared is there."""
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
    engine = sqlite_engine(path)
    metadata.create_all(engine)
    return engine

"""What each demande last gave, in a small SQLite database of its own: durable on return. Losing it loses no right and gives none: the
next reconciliation fills it again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from exchange.core.datapass.events import Right, Snapshot
from exchange.ports import BadStore, Unavailable

_TABLES = """
CREATE TABLE IF NOT EXISTS demande (id TEXT PRIMARY KEY, at_s INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS given (demande TEXT, recipient TEXT, definition TEXT, scope TEXT, legal TEXT,
  PRIMARY KEY (demande, recipient, definition, scope, legal)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS given_by_recipient ON given (recipient);
"""


@contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Unavailable(f"datapass memory: {type(error).__name__}") from None


class Memory:
    """One process at a time owns it; None for the path: only as long as it lives."""

    def __init__(self, path: Path | None) -> None:
        try:
            self._db = sqlite3.connect(path or ":memory:")
            self._db.execute("PRAGMA synchronous=EXTRA")
            self._db.executescript(_TABLES)
        except sqlite3.Error:
            raise BadStore(str(path)) from None

    def known(self, demandes: Iterable[str]) -> dict[str, Snapshot]:
        """What was last kept of these demandes; absent: never heard of."""
        found: dict[str, Snapshot] = {}
        with _available():
            for demande in demandes:
                row = self._db.execute("SELECT at_s FROM demande WHERE id = ?", (demande,)).fetchone()
                if row:
                    query = "SELECT recipient, definition, scope, legal FROM given WHERE demande = ?"
                    rights = frozenset(Right(*right) for right in self._db.execute(query, (demande,)))
                    found[demande] = Snapshot(demande, row[0], rights)
        return found

    def rights(self, recipients: Iterable[str]) -> dict[str, set[Right]]:
        """All that these recipients have, by demande."""
        found: dict[str, set[Right]] = {}
        query = "SELECT demande, recipient, definition, scope, legal FROM given WHERE recipient = ?"
        with _available():
            for recipient in recipients:
                for demande, *right in self._db.execute(query, (recipient,)):
                    found.setdefault(demande, set()).add(Right(*right))
        return found

    def demandes(self) -> set[str]:
        """All that were ever heard of."""
        with _available():
            return {row[0] for row in self._db.execute("SELECT id FROM demande")}

    def keep(self, snapshots: Sequence[Snapshot]) -> None:
        """In place of what was known of these demandes; all or none."""
        ids = [(s.demande,) for s in snapshots]
        with _available(), self._db:
            self._db.executemany("DELETE FROM given WHERE demande = ?", ids)
            self._db.executemany(
                "INSERT OR REPLACE INTO demande VALUES (?, ?)", [(s.demande, s.at_s) for s in snapshots]
            )
            self._db.executemany(
                "INSERT INTO given VALUES (?, ?, ?, ?, ?)",
                [(s.demande, *right) for s in snapshots for right in s.rights],
            )

    def close(self) -> None:
        self._db.close()

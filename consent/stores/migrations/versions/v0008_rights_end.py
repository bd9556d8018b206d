"""Habilitations and delegations in the order in which they end: a sweep tells the gates of those whose time is over."""

from __future__ import annotations

from alembic import op

revision, down_revision = "0008", "0007"


def upgrade() -> None:
    for table in ("habilitation", "delegation"):
        op.create_index(f"{table}_by_end", table, ["not_after"])

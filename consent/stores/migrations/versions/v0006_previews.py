"""Whom an answer that is kept waits for: those kept before wait for their collectivity."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    op.add_column("waiting", sa.Column("awaits", sa.String(), nullable=False, server_default="collectivity"))

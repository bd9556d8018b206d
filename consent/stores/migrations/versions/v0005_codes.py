"""The short codes printed on receipts: whoever has one finds the agreement it is of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"


def upgrade() -> None:
    op.create_table(
        "short_code",
        sa.Column("digest", sa.LargeBinary(), primary_key=True, nullable=False),
        sa.Column("authorisation", sa.LargeBinary(), nullable=False),
    )

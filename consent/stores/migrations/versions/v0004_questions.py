"""What was asked is found without reading the whole log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    asked = sa.text("kind = 'queried'")
    op.create_index("leaf_by_question", "leaf", ["idx"], sqlite_where=asked, postgresql_where=asked)

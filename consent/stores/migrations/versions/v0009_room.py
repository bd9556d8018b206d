"""On PostgreSQL, room in each page of authorisations: a use is counted in place, instead of in a new row that each of nine indexes names.
Pages written from now on have it; `VACUUM FULL authorisation` gives it to all."""

from __future__ import annotations

from alembic import op

revision, down_revision = "0009", "0008"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE authorisation SET (fillfactor = 70)")

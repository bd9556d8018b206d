"""Answers that wait to be opened, and which operators open them themselves."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0001"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_COLUMNS: dict[str, Any] = {
    "request": sa.LargeBinary(), "authorisation": sa.LargeBinary(), "operator": sa.String(), "digest": sa.LargeBinary(),
    "provider": sa.String(), "tag": sa.LargeBinary(), "sealed_key": sa.LargeBinary(), "outer": sa.LargeBinary(), "topic": sa.String(),
    "partition": _BIG, "offset": _BIG, "deadline": _BIG,
}  # fmt: skip
_KEY = ("request", "authorisation", "operator")


def upgrade() -> None:
    columns = [
        sa.Column(name, kind, primary_key=name in _KEY, nullable=False, autoincrement=False)
        for name, kind in _COLUMNS.items()
    ]
    op.create_table("waiting", *columns)
    op.create_index("waiting_by_authorisation", "waiting", ["authorisation"])
    op.add_column("delegation", sa.Column("handover", sa.String(), nullable=False, server_default="push"))

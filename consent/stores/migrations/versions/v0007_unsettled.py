"""What is asked again and again must not look at all there ever was: ends of validity in order, ends that are not complete, answers that
nobody has confirmed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0007", "0006"

_ENDING = sa.text("state IN ('live', 'requested')")
_UNCONFIRMED = sa.text("code = 'released' AND confirmed_at IS NULL")
_UNSETTLED = """INSERT INTO unsettled (authorisation)
SELECT a.id FROM authorisation a WHERE
  (a.state IN ('expired', 'used_up') AND EXISTS (SELECT 1 FROM release_key k WHERE k.authorisation = a.id))
  OR EXISTS (SELECT 1 FROM acknowledgement w WHERE w.authorisation = a.id)"""
"""Of acknowledged withdrawals all: the first sweep drops those that are settled."""


def upgrade() -> None:
    op.create_index(
        "authorisation_by_end", "authorisation", ["not_after"], sqlite_where=_ENDING, postgresql_where=_ENDING
    )
    op.create_index(
        "terminal_unconfirmed", "terminal", ["at"], sqlite_where=_UNCONFIRMED, postgresql_where=_UNCONFIRMED
    )
    op.create_table("unsettled", sa.Column("authorisation", sa.LargeBinary(), primary_key=True, nullable=False))
    op.execute(_UNSETTLED)

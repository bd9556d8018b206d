"""What Alembic runs: the revisions asked for, in the transaction of `consent.stores.migrations.upgrade`."""

from __future__ import annotations

from alembic import context

from consent.stores.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()

"""The store's schema: what the migrations make is what the code works with, on both stores; nothing else is taken for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, select, text

from consent.stores import migrations
from consent.stores import tables as t
from consent.stores.engine import durable, open_store
from exchange.ports import BadStore
from tests.world import World, held

LATER = f"""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "later", "{migrations.HEAD}"


def upgrade() -> None:
    op.add_column("officer", sa.Column("telephone", sa.String(), nullable=False, server_default="-"))
    op.create_table("extra", sa.Column("id", sa.Integer(), primary_key=True))
"""


def schema(engine: Engine) -> list[str]:
    with durable(engine) as connection:
        return sorted(
            f"{table} {column['name']} {column['type']}"
            for table in inspect(connection).get_table_names()
            for column in inspect(connection).get_columns(table)
        )


def raw(place: Path | str) -> Engine:
    """The store without our ways of opening it."""
    url = f"sqlite:///{place}" if isinstance(place, Path) else place.replace("postgresql:", "postgresql+psycopg:")
    return create_engine(url)


def test_this_program_works_with_the_last_revision() -> None:
    """`HEAD` is the end of the one line of revisions."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    assert ScriptDirectory.from_config(config).get_heads() == [migrations.HEAD]


def test_migrating_from_nothing_makes_the_tables(shared: Path | str) -> None:
    """Tables, columns, types, nullability and indexes: nothing is missing, nothing is left over."""
    engine = open_store(shared)
    with durable(engine) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, t.metadata) == []
        for table in t.metadata.sorted_tables:
            keys = inspect(connection).get_pk_constraint(table.name)["constrained_columns"]
            assert keys == [column.name for column in table.primary_key]
    engine.dispose()


def test_a_store_in_memory_has_the_same_schema(tmp_path: Path) -> None:
    """It is made in one step; only the record of revisions is absent."""
    memory, file = open_store(None), open_store(tmp_path / "store")
    assert schema(memory) == [line for line in schema(file) if not line.startswith("alembic_version")]
    file.dispose()
    memory.dispose()


async def test_a_later_revision_keeps_what_is_there(shared: Path | str, tmp_path: Path) -> None:
    """A column and a table are added to a store with a life behind it; its log still verifies."""
    world, later = await World.open(shared), tmp_path / "later"
    authorisation, head = await world.give(), await world.ledger.checkpoint()
    later.mkdir()
    (later / "later.py").write_text(LATER)
    with durable(world.engine) as connection:
        migrations.upgrade(connection, later)
        assert migrations.revision(connection) == "later"
        assert connection.execute(text("SELECT telephone FROM officer")).all() == []
    assert (await held(world, authorisation)).id == authorisation
    assert await world.ledger.checkpoint() == head and await world.ledger.verify() == []
    world.engine.dispose()
    with pytest.raises(BadStore, match=r"^schema=later$"):
        open_store(shared)


async def test_a_revision_that_fails_leaves_the_store_as_it_was(shared: Path | str, tmp_path: Path) -> None:
    """Half a migration is none: schema, revision and rows are the old ones."""
    world = await World.open(shared)
    authorisation, before = await world.give(), schema(world.engine)
    (tmp_path / "later.py").write_text(LATER + "    op.drop_table('log')\n    raise ZeroDivisionError\n")
    with pytest.raises(ZeroDivisionError), durable(world.engine) as connection:
        migrations.upgrade(connection, tmp_path)
    assert schema(world.engine) == before and (await held(world, authorisation)).id == authorisation
    world.engine.dispose()
    open_store(shared).dispose()


def test_tables_without_a_revision_are_not_taken_for_ours(shared: Path | str) -> None:
    """A store from before the migrations, or somebody else's: said at once, and left as it is."""
    engine = raw(shared)
    t.metadata.create_all(engine)
    with pytest.raises(BadStore, match=r"^schema=\?$"):
        open_store(shared)
    assert "alembic_version" not in inspect(engine).get_table_names()
    with engine.begin() as connection:
        assert connection.execute(select(t.log)).all() == []
    engine.dispose()

"""The store's schema, revision by revision (Alembic). `versions/` holds them; `HEAD` is the one this program works with."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from exchange.ports import BadStore

HEAD = "0010"
_HERE = Path(__file__).parent


def upgrade(connection: Connection, *more: Path) -> None:
    """Bring the store of this transaction from nothing, or from any earlier revision, to the last one. BadStore, and nothing changed, where
    it is not ours: tables without a revision, or a revision this program does not know. `more`: further directories of revisions."""
    held = revision(connection)
    if held == HEAD and not more:
        return
    from alembic import command  # half a second, for once in the life of a store
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _escaped(_HERE))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(_escaped, (_HERE / "versions", *more))))
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise BadStore(f"schema={held}") from None


def revision(connection: Connection) -> str | None:
    """The revision of the store, None of an empty one; BadStore of tables that have none."""
    present = inspect(connection)
    if present.has_table("alembic_version"):
        return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if present.has_table("log"):
        raise BadStore("schema=?")
    return None


def _escaped(path: Path) -> str:
    return str(path).replace("%", "%%")

"""The ledger's store on PostgreSQL ≥ 15: one session at a time, whose settings are checked before anything is believed.

Isolation: READ COMMITTED, and every writer updates the one `log` row first. That is enough: each later statement of a writer takes
its snapshot after it holds the lock, so it sees all that any earlier writer committed, and none can commit meanwhile. (Under
REPEATABLE READ the snapshot would be taken before the wait for the lock, and the wait would end in an error.) Readers take one
snapshot for all they read.

A commit counts when it is durable here and, where `synchronous_standby_names` says so, on a standby. A wait for the standby that was
cancelled ends in success with a warning, and the rows are visible: such a commit is *unknown* (protocol §8, row 10), and nothing is read
from this store again before a later commit was confirmed, which confirms all before it. Connect to the server itself: a pooler between
two transactions would lose the session's settings and its lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from exchange.locks import InUse
from exchange.ports import BadStore, Unavailable

if TYPE_CHECKING:
    import psycopg

VERSION_MIN = 150_000
OWNER = 0x4163_636F_7264_0001
"""The advisory lock of the process that owns a store; `MIGRATING` is that of whoever changes its schema."""
MIGRATING = OWNER + 1
CONFIRM_MAX_S = 3.0
"""How long a commit waits for its standby before it is given up as unknown."""

_TIMEOUTS = {
    "idle_in_transaction_session_timeout": "500ms",  # a stopped process must not hold the log (protocol §4)
    "lock_timeout": "3s",
    "statement_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
}
_CLIENT: dict[str, Any] = {"connect_timeout": 5, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
           "tcp_user_timeout": 11_000, "application_name": "accord"}  # fmt: skip
_PATIENT = "SET LOCAL idle_in_transaction_session_timeout = '1min'; SET LOCAL statement_timeout = '5min'"
"""For who holds no lock of the log: a long export is no stopped writer."""


class Settings(NamedTuple):
    """What a server says of itself to our session. `version` as in `server_version_num`; the rest in PostgreSQL's own words."""

    version: int
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    synchronous_standby_names: str
    server_encoding: str
    in_recovery: bool

    def problems(self) -> list[str]:
        """Settings under which a ledger would forget what it has acknowledged, as `name=value`; none, and the server will do."""
        wrong = {
            f"server_version={self.version // 10_000}": self.version < VERSION_MIN,
            f"fsync={self.fsync}": self.fsync != "on",
            f"full_page_writes={self.full_page_writes}": self.full_page_writes != "on",
            f"synchronous_commit={self.synchronous_commit}": self.synchronous_commit not in ("on", "remote_apply"),
            f"server_encoding={self.server_encoding}": self.server_encoding != "UTF8",
            "in_recovery=on": self.in_recovery,
        }
        return [problem for problem, holds in wrong.items() if holds]


_SETTINGS = """SELECT current_setting('server_version_num')::int, current_setting('fsync'), current_setting('full_page_writes'),
current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), current_setting('server_encoding'), pg_is_in_recovery()"""


def connect(url: str) -> psycopg.Connection[Any]:
    """A session with our settings: timeouts unless the URL's `options` say otherwise, durable commits whatever they say. Passwords come
    from libpq's own places (PGPASSFILE, PGPASSWORD)."""
    import psycopg  # here: a ledger on SQLite starts without it
    from psycopg.conninfo import conninfo_to_dict

    timeouts = " ".join(f"-c {name}={value}" for name, value in _TIMEOUTS.items())
    asked = conninfo_to_dict(url).get("options") or ""
    return psycopg.connect(url, options=f"{timeouts} {asked} -c synchronous_commit=on", **_CLIENT)


def settings(connection: psycopg.Connection[Any]) -> Settings:
    """The settings of this session; its transaction is left open."""
    row = connection.execute(_SETTINGS).fetchone()
    assert row is not None
    return Settings(*row)


def open_postgresql(url: str, *, sole: bool) -> Engine:
    """The engine of the store at a `postgresql://` URL: one session, made anew when it is lost. BadStore where the server's settings
    will not do. `sole`: every session owns the store or is not made (`InUse`): a process that lost it writes nothing more."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connect(url), isolation_level="READ COMMITTED", pool_size=1, max_overflow=0,
        pool_timeout=5, pool_pre_ping=True,
    )  # fmt: skip

    owned = False

    @event.listens_for(engine, "connect")
    def configure(connection: psycopg.Connection[Any], record: Any) -> None:
        nonlocal owned
        warnings: list[str] = []
        connection.add_notice_handler(lambda said: _keep_warning(warnings, said))
        record.info.update(warnings=warnings, unsure=True)
        problems = settings(connection).problems()
        if problems:
            raise BadStore(", ".join(problems))
        if sole and connection.execute("SELECT pg_try_advisory_lock(%s)", (OWNER,)).fetchone() != (True,):
            raise Unavailable("ledger store: another process owns it now") if owned else InUse(connection.info.dbname)
        owned = True
        connection.rollback()

    return engine


def _keep_warning(warnings: list[str], said: psycopg.errors.Diagnostic) -> None:
    if said.severity_nonlocalized == "WARNING":
        warnings.append(said.message_primary or "")


@contextmanager
def durable(engine: Engine) -> Iterator[Connection]:
    """A writing transaction; `Unavailable` where its commit is unknown."""
    with engine.connect() as connection:
        transaction = connection.begin()
        try:
            yield connection
        except BaseException:
            transaction.rollback()
            raise
        _commit(connection, transaction.commit)


def _commit(connection: Connection, commit: Any) -> None:
    info, session = connection.info, connection.connection.driver_connection
    info["warnings"].clear()
    info["unsure"] = True
    impatient = Timer(CONFIRM_MAX_S, session.cancel_safe)  # type: ignore[union-attr]
    impatient.start()
    try:
        commit()
    finally:
        impatient.cancel()
    if info["warnings"]:
        raise Unavailable("ledger store: commit unknown")
    info["unsure"] = False


@contextmanager
def snapshot(engine: Engine) -> Iterator[Connection]:
    """A reading transaction: one snapshot, of what is confirmed."""
    with engine.connect() as connection:
        if connection.info["unsure"]:
            transaction = connection.begin()
            connection.exec_driver_sql("UPDATE log SET size = size")
            _commit(connection, transaction.commit)
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            connection.exec_driver_sql(_PATIENT)
            yield connection


def begin_migration(connection: Connection) -> None:
    """One at a time; a long one is let finish."""
    connection.exec_driver_sql(
        f"{_PATIENT}; SET LOCAL lock_timeout = '1min'; SELECT pg_advisory_xact_lock({MIGRATING})"
    )


def vacuum(engine: Engine, tables: str) -> None:
    """Give up the dead rows of these tables, as far as can be done now. It is a courtesy: the server's own log, its standbys and backups
    keep copies of a wrapped key; the end of its KEK epoch is what makes it unreadable."""
    with suppress(SQLAlchemyError), engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(f"VACUUM {tables}")

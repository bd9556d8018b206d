"""The journal's store: a SQLite file that the journal role of a worker writes and purges, and the commands read.

Two workers, or a worker and a command, may have it open: SQLite's own lock gives writers one order, an entry met twice is kept
once, and the day's purge is claimed inside its own transaction. Kept 12 months (CNIL, deliberation 2021-122: 6 months to a year),
then removed; sooner only for a reason of the closed list, never inside a hold.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Connection, Engine, func, insert, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert as insert_or
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool, StaticPool

from exchange.journal import tables as t
from exchange.ports import Unavailable
from exchange.sqlite import empty_log, sqlite_engine

DAY_MS = 86_400_000
RETENTION_MS = 365 * DAY_MS
AUTOMATIC = "accord"
"""Who purges daily."""

T = TypeVar("T")
_e, _h, _p = t.entry.c, t.hold.c, t.purge.c


class Reason(StrEnum):
    """Why entries are removed. `retention` is the only one that needs no decision of somebody."""

    RETENTION = "retention"
    ERASURE = "erasure"
    COURT_ORDER = "court_order"
    AUTHORITY = "authority"


class NotAllowed(Exception):
    """A purge or hold that the rules refuse. `code`: `too_early`, `unbounded`, `no_author` or `no_hold`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Line(NamedTuple):
    """One entry: a message seen on a topic. `origin` is the part of the bus that wrote it; empty where the message does not say."""

    step: str
    at_ms: int
    operator: str
    recipient: str
    origin: str
    request: bytes
    authorisation: bytes
    data_set: str
    purpose: str
    code: str
    reason: str
    topic: str
    partition: int
    offset: int


class Filter(NamedTuple):
    """Which entries; empty fields do not restrict. `until_ms` is excluded. A recipient brings all steps of its requests."""

    operator: str = ""
    recipient: str = ""
    request: bytes = b""
    authorisation: bytes = b""
    since_ms: int | None = None
    until_ms: int | None = None


class Hold(NamedTuple):
    """A period kept whatever the age of its entries."""

    id: int
    at_ms: int
    since_ms: int
    until_ms: int
    why: str
    by: str
    released_ms: int | None
    released_by: str


class Purge(NamedTuple):
    """What a purge did; `scope` names the filters it had."""

    id: int
    at_ms: int
    reason: str
    by: str
    scope: str
    since_ms: int | None
    until_ms: int | None
    removed: int
    held: int
    first_ms: int | None
    last_ms: int | None


class JournalStore:
    """The journal's database. `add` and `purge_due` are the agent's; the rest is the commands'. `Unavailable` while the store fails."""

    def __init__(self, path: Path | None) -> None:
        """The file at `path`, made if absent, or a journal in memory."""
        self._in_memory = path is None
        self._engine = _open(path)

    async def add(self, lines: Sequence[Line]) -> None:
        """Durable on return. A line met before (same message) is left as it is."""
        if lines:
            await self._aside(lambda: self._add(lines))

    async def purge_due(self, now_ms: int) -> Purge | None:
        """The day's purge, unless somebody made it."""
        return await self._aside(lambda: self._purge_due(now_ms))

    async def _aside(self, work: Callable[[], T]) -> T:
        """A durable write takes milliseconds that the worker's other agents need."""
        return work() if self._in_memory else await asyncio.to_thread(work)

    def _add(self, lines: Sequence[Line]) -> None:
        with _transaction(self._engine) as connection:
            connection.execute(insert_or(t.entry).on_conflict_do_nothing(), [line._asdict() for line in lines])

    def show(self, wanted: Filter, limit: int | None = None) -> Iterator[Line]:
        """Entries, oldest first; with a limit, the last ones."""
        columns = [t.entry.c[name] for name in Line._fields]
        order = (_e.at_ms, _e.id)
        query = select(*columns, _e.id).where(*_matching(wanted)).order_by(*order)
        if limit is not None:
            last = query.order_by(None).order_by(*(c.desc() for c in order)).limit(limit).subquery()
            query = select(last).order_by(last.c.at_ms, last.c.id)
        with _transaction(self._engine, writing=False) as connection:
            for row in connection.execute(query.execution_options(yield_per=1000)):
                yield Line(*row[:-1])

    def purge(self, now_ms: int, reason: Reason, by: str, within: Filter = Filter()) -> Purge:  # noqa: B008  # immutable
        """Remove entries; the purge is itself recorded. `retention` takes what is older than 12 months; any other reason takes what
        `within` bounds, and says `by` whom. Raises NotAllowed."""
        with _transaction(self._engine) as connection:
            done = _purge(connection, now_ms, reason, by, within)
        self._overwrite(whole=reason is not Reason.RETENTION)
        return done

    def _purge_due(self, now_ms: int) -> Purge | None:
        made = select(func.max(_p.at_ms)).where(_p.by == AUTOMATIC)
        with _transaction(self._engine) as connection:
            last_ms = connection.execute(made).scalar()
            if last_ms is not None and now_ms < last_ms + DAY_MS:
                return None
            done = _purge(connection, now_ms, Reason.RETENTION, AUTOMATIC, Filter())
        if done.removed:
            self._overwrite(whole=False)
        return done

    def purges(self) -> list[Purge]:
        """Every purge made, oldest first."""
        with _transaction(self._engine, writing=False) as connection:
            rows = connection.execute(select(*(t.purge.c[name] for name in Purge._fields)).order_by(_p.id))
            return [Purge(*row) for row in rows]

    def hold(self, now_ms: int, since_ms: int, until_ms: int, why: str, by: str) -> Hold:
        """Nothing of this period is purged until released. NotAllowed if it is empty, or without who and why."""
        if since_ms >= until_ms:
            raise NotAllowed("unbounded")
        if not (by.strip() and why.strip()):
            raise NotAllowed("no_author")
        values = {"at_ms": now_ms, "since_ms": since_ms, "until_ms": until_ms, "why": why, "by": by, "released_by": ""}
        with _transaction(self._engine) as connection:
            number = connection.execute(insert(t.hold).values(values)).inserted_primary_key
        assert number is not None
        return Hold(number[0], now_ms, since_ms, until_ms, why, by, None, "")

    def release(self, now_ms: int, number: int, by: str) -> None:
        """A hold ends. NotAllowed if there is none of this number that still holds, or without who."""
        if not by.strip():
            raise NotAllowed("no_author")
        ended = update(t.hold).where(_h.id == number, _h.released_ms.is_(None))
        with _transaction(self._engine) as connection:
            if not connection.execute(ended.values(released_ms=now_ms, released_by=by)).rowcount:
                raise NotAllowed("no_hold")

    def holds(self) -> list[Hold]:
        """Every hold, released or not, oldest first."""
        with _transaction(self._engine, writing=False) as connection:
            rows = connection.execute(select(*(t.hold.c[name] for name in Hold._fields)).order_by(_h.id))
            return [Hold(*row) for row in rows]

    def _overwrite(self, *, whole: bool) -> None:
        """What was removed leaves the write-ahead log too. `whole`: and every page it ever was on, which `secure_delete` alone does not
        reach; `Unavailable` if somebody is reading: ask again."""
        try:
            done = empty_log(self._engine, vacuum=whole)
        except sqlite3.Error:
            done = False
        if whole and not done:
            raise Unavailable("journal store: removed bytes not yet overwritten, ask again")

    def close(self) -> None:
        self._engine.dispose()


def _purge(connection: Connection, now_ms: int, reason: Reason, by: str, within: Filter) -> Purge:
    within = _allowed(now_ms, reason, by, within)
    holding = select(_h.id).where(_h.released_ms.is_(None), _h.since_ms <= _e.at_ms, _e.at_ms < _h.until_ms).exists()
    wanted = _matching(within)
    held = connection.execute(select(func.count()).where(*wanted, holding)).scalar_one()
    counts = select(func.count(), func.min(_e.at_ms), func.max(_e.at_ms)).where(*wanted, ~holding)
    removed, first_ms, last_ms = connection.execute(counts).one()
    connection.execute(t.entry.delete().where(*wanted, ~holding))
    named = [name for name in Filter._fields[:4] if getattr(within, name)]
    row = {
        "at_ms": now_ms, "reason": reason.value, "by": by, "scope": ",".join(named), "since_ms": within.since_ms,
        "until_ms": within.until_ms, "removed": removed, "held": held, "first_ms": first_ms, "last_ms": last_ms,
    }  # fmt: skip
    number = connection.execute(insert(t.purge).values(row)).inserted_primary_key
    assert number is not None
    return Purge(id=number[0], **row)


def _allowed(now_ms: int, reason: Reason, by: str, within: Filter) -> Filter:
    """The filter, with its end for retention; or NotAllowed."""
    if not by.strip():
        raise NotAllowed("no_author")
    if reason is Reason.RETENTION:
        limit_ms = now_ms - RETENTION_MS
        if within.until_ms is not None and within.until_ms > limit_ms:
            raise NotAllowed("too_early")
        return within._replace(until_ms=limit_ms if within.until_ms is None else within.until_ms)
    if within == Filter():
        raise NotAllowed("unbounded")
    return within


def _matching(wanted: Filter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.operator:
        found.append(_e.operator == wanted.operator)
    if wanted.recipient:  # only the request itself says for whom it is
        asked = t.entry.alias()
        same = select(asked.c.operator, asked.c.authorisation, asked.c.request).where(
            asked.c.recipient == wanted.recipient
        )
        found.append(tuple_(_e.operator, _e.authorisation, _e.request).in_(same))
    if wanted.request:
        found.append(_e.request == wanted.request)
    if wanted.authorisation:
        found.append(_e.authorisation == wanted.authorisation)
    if wanted.since_ms is not None:
        found.append(_e.at_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        found.append(_e.at_ms < wanted.until_ms)
    return found


def _open(path: Path | None) -> Engine:
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = sqlite_engine(path, StaticPool if path is None else QueuePool)
    with _transaction(engine) as connection:
        t.metadata.create_all(connection)
    return engine


@contextmanager
def _transaction(engine: Engine, *, writing: bool = True) -> Iterator[Connection]:
    """Committed and durable on exit; `Unavailable` where the store fails."""
    try:
        with engine.connect() as connection, connection.execution_options(reading=not writing).begin():
            yield connection
    except SQLAlchemyError as error:
        raise Unavailable(f"journal store: {type(error).__name__}") from None

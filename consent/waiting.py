"""Answers that wait to be opened (`handover: pull`, protocol §2), or for their person first (a preview, ADR 0031): what the ledger keeps of
them, and until when.

They lie here as they came, sealed to a key that a withdrawal destroys: nothing of one can be read but by `consent.releases` deciding it,
when the collectivity asks. One row for each, from the moment release meets the answer until the collectivity says that it has it, or
its time is over and its outcome told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, or_, select, update

from consent.attempts import by_request, row_key
from consent.core.facts import Answer, Awaits, Position, RequestKey, State, Submission, Verdict
from consent.core.leaves import RELEASED
from consent.core.release import Fate, Row, Seen
from consent.stores import tables as t
from consent.stores.batch import insert_values, there_is, update_values
from consent.transaction import Transaction
from exchange.core.errors import Code
from exchange.core.sealing import answer_digest

OVER_MAX = 300
"""How many of those that can wait no longer are decided together."""

_W = t.waiting.c
_COLUMNS = (
    "request", "authorisation", "operator", "digest", "provider", "tag", "sealed_key", "outer", "topic", "partition", "offset", "deadline",
    "awaits",
)  # fmt: skip
assert tuple(t.waiting.c.keys()) == _COLUMNS
_ended = and_(
    t.terminal.c.request == _W.request,
    t.terminal.c.authorisation == _W.authorisation,
    t.terminal.c.operator == _W.operator,
)


_untold = exists().where(_ended, t.terminal.c.confirmed_at.is_(None))
Item = Answer | Verdict
"""What waits; where it was erased, the person's no."""


def answers(connection: Connection, submissions: Sequence[Submission]) -> list[Item]:
    """The answers that wait for these submissions."""
    asked = {(s.key, s.digest) for s in submissions}
    rows = by_request(connection, t.waiting, [s.key.request for s in submissions])
    return [_item(row) for row in rows if (row_key(row), row.digest) in asked]


def anything(connection: Connection) -> bool:
    """Whether anything is kept here at all: asked twice a second, mostly in vain."""
    return there_is(connection, "SELECT 1 FROM waiting LIMIT 1")


def over(connection: Connection, now_ms: int) -> list[Item]:
    """Some of those that can wait no longer and of those opened, whose outcome is still to be told."""
    live = exists().where(t.authorisation.c.id == _W.authorisation, t.authorisation.c.state == State.LIVE.value)
    late = and_(undecided(), or_(~live, _W.deadline <= now_ms))
    query = select(t.waiting).where(_W.awaits != "release", or_(_untold, late))
    return [_item(row) for row in connection.execute(query.order_by(_W.deadline).limit(OVER_MAX))]


def through(connection: Connection) -> list[Item]:
    """Some of those that their person let through, and with which release has still to go on."""
    query = select(t.waiting).where(_W.awaits == "release", or_(_untold, undecided()))
    return [_item(row) for row in connection.execute(query.order_by(_W.deadline).limit(OVER_MAX))]


def undecided() -> ColumnElement[bool]:
    """Whether what waits has no terminal row yet."""
    return ~exists().where(_ended)


def pending(connection: Connection, submission: Submission) -> Any:
    """The row of what waits for its person; None where nothing does."""
    query = select(t.waiting).where(_of(submission), _W.awaits == "person", undecided())
    return connection.execute(query).first()


def let_through(tx: Transaction, submission: Submission) -> None:
    """Its person agrees: release goes on with it."""
    tx.connection.execute(update(t.waiting).where(_of(submission)).values(awaits="release"))


def passed_on(tx: Transaction, submissions: Sequence[Submission]) -> None:
    """Release has gone on with these: what is not decided waits for the collectivity."""
    awaits: Awaits = "collectivity"
    moved = [(awaits, s.key.request, s.key.authorisation, s.key.operator, s.digest) for s in submissions]
    key = ("request", "authorisation", "operator", "digest")
    update_values(tx.connection, t.waiting, ("awaits",), key, moved, "awaits = 'release'")


def erase(tx: Transaction, submission: Submission) -> None:
    """Its person says no: nothing of the answer is kept here."""
    tx.connection.execute(update(t.waiting).where(_of(submission)).values(tag=b"", sealed_key=b"", outer=b""))


def submission_of(row: Any) -> Submission:
    return Submission(row_key(row), row.digest)


def rows(connection: Connection, requests: Sequence[bytes]) -> dict[RequestKey, Row]:
    """What waits of these requests, as the rule takes it."""
    return {
        row_key(r): Row(r.digest, "waiting", "", "", answer_digest(r.tag, r.sealed_key, r.outer), False, r.awaits)
        for r in by_request(connection, t.waiting, requests)
    }


def counts(connection: Connection, authorisations: Collection[bytes]) -> dict[bytes, int]:
    """How many answers of each wait, undecided."""
    waits = _W.authorisation.in_(authorisations)
    query = select(_W.authorisation, func.count()).where(waits, undecided()).group_by(_W.authorisation)
    return {bytes(a): n for a, n in connection.execute(query)}


def keep(tx: Transaction, seen: Sequence[Seen], fates: Sequence[Fate]) -> None:
    """The answers that are to wait, as they came; one that waits already is left as it is."""
    kept = [
        _values(one.item, one.context.deadline_ms, fate.awaits)
        for one, fate in zip(seen, fates, strict=True)
        if fate.action == "wait" and isinstance(one.item, Answer) and one.context is not None
    ]
    insert_values(tx.connection, t.waiting, kept, ignore=True)


def received(tx: Transaction, submissions: Sequence[Submission]) -> None:
    """The collectivity has these answers: delivered with their key, and soon gone from here."""
    given = [(True, s.key.request, s.key.authorisation, s.key.operator, s.digest) for s in submissions]
    key = ("request", "authorisation", "operator", "digest")
    update_values(tx.connection, t.terminal, ("with_key",), key, given, f"code = '{RELEASED}'")


def opened(authorisation: Any) -> ColumnElement[bool]:
    """Whether an answer of an authorisation (an id, or a column of ids) was opened, is not known to have arrived, and may be asked for again."""
    lost = exists().where(_ended, t.terminal.c.code == RELEASED, t.terminal.c.with_key.is_not(True))
    return exists().where(_W.authorisation == authorisation, lost)


def forget(tx: Transaction) -> None:
    """Those whose outcome is told, once delivered or too late to be opened again."""
    late, done = _W.deadline <= tx.now_ms, t.terminal.c.with_key.is_(True)
    told = exists().where(_ended, t.terminal.c.confirmed_at.is_not(None), or_(late, done))
    tx.connection.execute(delete(t.waiting).where(told))


def _of(submission: Submission) -> ColumnElement[bool]:
    key = submission.key
    same = (_W.request == key.request, _W.authorisation == key.authorisation, _W.operator == key.operator)
    return and_(*same, _W.digest == submission.digest)


def _item(row: Any) -> Item:
    if not row.tag:
        return Verdict(row_key(row), row.digest, row.deadline, "refused", Code.PREVIEW_REJECTED)
    position = Position(row.topic, row.partition, row.offset)
    return Answer(row_key(row), row.provider, row.digest, row.tag, row.sealed_key, row.outer, position)


def _values(answer: Answer, deadline_ms: int, awaits: Awaits) -> tuple[Any, ...]:
    key, at = answer.key, answer.position
    return (
        key.request, key.authorisation, key.operator, answer.digest, answer.provider, answer.tag, answer.sealed_key, answer.outer,
        at.topic, at.partition, at.offset, deadline_ms, awaits,
    )  # fmt: skip

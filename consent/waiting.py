"""Answers that wait to be opened (`handover: pull`, protocol §2): what the ledger keeps of them, and until when.

They lie here as they came, sealed to a key that a withdrawal destroys: nothing of one can be read but by `consent.releases` deciding it,
when the collectivity asks. One row for each, from the moment release meets the answer until the collectivity says that it has it, or
its time is over and its outcome told.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, exists, func, or_, select

from consent.attempts import by_request, row_key
from consent.core.facts import Answer, Position, RequestKey, State, Submission
from consent.core.leaves import RELEASED
from consent.core.release import Fate, Row, Seen
from consent.stores import tables as t
from consent.stores.batch import insert_values, update_values
from consent.transaction import Transaction
from exchange.core.sealing import answer_digest

OVER_MAX = 300
"""How many of those that can wait no longer are decided together."""

_W = t.waiting.c
_COLUMNS = (
    "request", "authorisation", "operator", "digest", "provider", "tag", "sealed_key", "outer", "topic", "partition", "offset", "deadline",
)  # fmt: skip
assert tuple(t.waiting.c.keys()) == _COLUMNS
_ended = and_(
    t.terminal.c.request == _W.request,
    t.terminal.c.authorisation == _W.authorisation,
    t.terminal.c.operator == _W.operator,
)


def answers(connection: Connection, submissions: Sequence[Submission]) -> list[Answer]:
    """The answers that wait for these submissions."""
    asked = {(s.key, s.digest) for s in submissions}
    rows = by_request(connection, t.waiting, [s.key.request for s in submissions])
    return [_answer(row) for row in rows if (row_key(row), row.digest) in asked]


def over(connection: Connection, now_ms: int) -> list[Answer]:
    """Some of those that can wait no longer and of those opened, whose outcome is still to be told."""
    live = exists().where(t.authorisation.c.id == _W.authorisation, t.authorisation.c.state == State.LIVE.value)
    untold = exists().where(_ended, t.terminal.c.confirmed_at.is_(None))
    undecided = and_(~exists().where(_ended), or_(~live, _W.deadline <= now_ms))
    query = select(t.waiting).where(or_(untold, undecided)).order_by(_W.deadline).limit(OVER_MAX)
    return [_answer(row) for row in connection.execute(query)]


def rows(connection: Connection, requests: Sequence[bytes]) -> dict[RequestKey, Row]:
    """What waits of these requests, as the rule takes it."""
    return {
        row_key(r): Row(r.digest, "waiting", "", "", answer_digest(r.tag, r.sealed_key, r.outer), False)
        for r in by_request(connection, t.waiting, requests)
    }


def counts(connection: Connection, authorisations: Collection[bytes]) -> dict[bytes, int]:
    """How many answers of each wait, undecided."""
    waits = _W.authorisation.in_(authorisations)
    query = select(_W.authorisation, func.count()).where(waits, ~exists().where(_ended)).group_by(_W.authorisation)
    return {bytes(a): n for a, n in connection.execute(query)}


def keep(tx: Transaction, seen: Sequence[Seen], fates: Sequence[Fate]) -> None:
    """The answers that are to wait, as they came; one that waits already is left as it is."""
    kept = [
        _values(one.item, one.context.deadline_ms)
        for one, fate in zip(seen, fates, strict=True)
        if fate.action == "wait" and isinstance(one.item, Answer) and one.context is not None
    ]
    insert_values(tx.connection, t.waiting, kept, ignore=True)


def received(tx: Transaction, submissions: Sequence[Submission]) -> None:
    """The collectivity has these answers: delivered with their key, and soon gone from here."""
    given = [(True, s.key.request, s.key.authorisation, s.key.operator, s.digest) for s in submissions]
    key = ("request", "authorisation", "operator", "digest")
    update_values(tx.connection, t.terminal, ("with_key",), key, given, f"code = '{RELEASED}'")


def forget(tx: Transaction) -> None:
    """Those whose outcome is told, once delivered or too late to be opened again."""
    late, done = _W.deadline <= tx.now_ms, t.terminal.c.with_key.is_(True)
    told = exists().where(_ended, t.terminal.c.confirmed_at.is_not(None), or_(late, done))
    tx.connection.execute(delete(t.waiting).where(told))


def _answer(row: Any) -> Answer:
    position = Position(row.topic, row.partition, row.offset)
    return Answer(row_key(row), row.provider, row.digest, row.tag, row.sealed_key, row.outer, position)


def _values(answer: Answer, deadline_ms: int) -> tuple[Any, ...]:
    key, at = answer.key, answer.position
    return (
        key.request, key.authorisation, key.operator, answer.digest, answer.provider, answer.tag, answer.sealed_key, answer.outer,
        at.topic, at.partition, at.offset, deadline_ms,
    )  # fmt: skip

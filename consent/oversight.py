"""What data protection officers look over: one authorisation's whole life, what deserves an eye, and their own questions.

Like the other questions (`consent.queries`), each is a leaf, and answers a code where the officer may not ask.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

from sqlalchemy import func, select

from consent.core.facts import State
from consent.core.query import (
    Alerts,
    Consultation,
    Consultations,
    Count,
    Head,
    Lived,
    Use,
    delivery,
    inside,
    period,
)
from consent.grants import ASSISTED_A_DAY_MAX, DAY_MS
from consent.officers import ask
from consent.queries import among
from consent.sightings import facts, of_authorisation, rows
from consent.stores import tables as t
from consent.transaction import Transaction, row_of
from exchange.core.errors import Code

PAGE = 50
AGENTS_MAX = 20
_a, _c = t.authorisation.c, t.terminal.c


def life(tx: Transaction, officer: str, reason: str, authorisation: bytes) -> Lived | Code:
    """Of one authorisation; `NOTHING_FOUND` also where it is outside the perimeter."""
    row = row_of(tx.connection, authorisation)
    about: dict[str, object] = {"act": "life", "authorisation": authorisation.hex()}
    head = ask(tx, officer, reason, about, subject=bytes(row.subject_ref) if row else b"")
    if isinstance(head, Code):
        return head
    if row is None or not inside(row.recipient, head):
        return Code.NOTHING_FOUND
    (seen,) = rows(tx, head, [row], proofs=True)
    told = facts(tx, head, of_authorisation(tx.connection, authorisation), proofs=True, contents=True)
    return Lived(head, seen, tuple(told), tuple(_uses(tx, authorisation)))


def _uses(tx: Transaction, authorisation: bytes) -> list[Use]:
    """Requests that ended, in the order of their ends, then those that are open."""
    n = t.attempt.c
    called = tx.connection.execute(select(n.request, n.operator, n.at).where(n.authorisation == authorisation)).all()
    calls = Counter((row.request, row.operator) for row in called)
    found = [
        tx.connection.execute(select(t.terminal).where(of(authorisation))).all() for of in (t.releases, t.other_ends)
    ]
    ends = sorted(chain(*found), key=lambda row: (row.at, row.leaf_index))
    uses = [
        Use(
            r.request, r.operator, r.code, r.reason, r.provider_code, delivery(r.code, r.with_key),
            r.at, r.worker, calls.pop((r.request, r.operator), 0), r.leaf_index,
        )
        for r in ends
    ]  # fmt: skip
    first = {(row.request, row.operator): row.at for row in reversed(called)}
    return uses + [
        Use(request, operator, "", "", "", "none", first[request, operator], "", count, -1)
        for (request, operator), count in calls.items()
    ]


def alerts(tx: Transaction, officer: str, reason: str, from_ms: int, to_ms: int) -> Alerts | Code:
    """Within a period (`to_ms` excluded, 0 for no end) and the perimeter; refusals of requests under no authorisation at all are told to
    who watches over every collectivity. ValueError if it is no period."""
    period(from_ms, to_ms)
    head = ask(tx, officer, reason, {"act": "alerts", "from_ms": from_ms, "to_ms": to_ms})
    if isinstance(head, Code):
        return head
    return Alerts(
        head, _refusals(tx, head, from_ms, to_ms), _channels(tx, head, from_ms, to_ms), _agents(tx, head), ASSISTED_A_DAY_MAX
    )  # fmt: skip


def _refusals(tx: Transaction, head: Head, from_ms: int, to_ms: int) -> tuple[Count, ...]:
    where = [_c.code == "refused", _c.at >= from_ms, *([_c.at < to_ms] if to_ms else [])]
    table = t.terminal
    if head.recipients:
        table = table.join(t.authorisation, _a.id == _c.authorisation)  # type: ignore[assignment]  # what is selected from
        where.append(among(head.recipients, indexed=False))
    return _counts(tx, select(_c.reason, func.count()).select_from(table).where(*where).group_by(_c.reason))


def _channels(tx: Transaction, head: Head, from_ms: int, to_ms: int) -> tuple[Count, ...]:
    where = [_a.at >= from_ms, _a.state.not_in((State.REQUESTED.value, State.REFUSED.value))]
    where += [_a.at < to_ms] if to_ms else []
    where += [among(head.recipients)] if head.recipients else []
    return _counts(tx, select(_a.channel, func.count()).where(*where).group_by(_a.channel))


def _agents(tx: Transaction, head: Head) -> tuple[Count, ...]:
    where = [t.by_agent(_a.agent), _a.channel != "online", _a.at > tx.now_ms - DAY_MS]
    where += [among(head.recipients, indexed=False)] if head.recipients else []
    return _counts(tx, select(_a.agent, func.count()).where(*where).group_by(_a.agent))[:AGENTS_MAX]


def _counts(tx: Transaction, query: Any) -> tuple[Count, ...]:
    """The most first."""
    found = [Count(of, int(count)) for of, count in tx.connection.execute(query)]
    return tuple(sorted(found, key=lambda each: (-each.count, each.of)))


def consultations(tx: Transaction, officer: str, reason: str, before: int) -> Consultations | Code:
    """The officer's own, from the leaf `before` backwards; 0: from the last. ValueError if it is no leaf's index."""
    if before < 0:
        raise ValueError("before")
    head = ask(tx, officer, reason, {"act": "consultations"})
    if isinstance(head, Code):
        return head
    told, at = list[Consultation](), before or head.leaf_index
    while at and not told:
        k = t.leaf.c
        asked = tx.connection.execute(
            select(t.leaf).where(t.asked, k.idx < at).order_by(k.idx.desc()).limit(PAGE)
        ).all()
        told, at = _own(tx, officer, asked), asked[-1].idx if len(asked) == PAGE else 0
    return Consultations(head, tuple(told), at)


def _own(tx: Transaction, officer: str, leaves: Sequence[Any]) -> list[Consultation]:
    tx.prefetch_content({row.authorisation for row in leaves})
    opened = ((row, json.loads(tx.open_content(row)[1] or b"{}")) for row in leaves)
    return [_consultation(row, said) for row, said in opened if said.get("officer") == officer]


def _consultation(row: Any, said: dict[str, Any]) -> Consultation:
    about = {name: value for name, value in said.items() if name not in ("officer", "reason", "act", "refused")}
    return Consultation(
        row.idx, row.at, said["reason"], said.get("act", ""), json.dumps(about, sort_keys=True), said.get("refused", "")
    )

"""What a person is shown before an answer about them is handed over, and what they say to it (ADR 0031).

The answer is sealed: what is shown is all that is known of it here, never a value of it. Saying yes is a leaf and a mark on what waits:
`consent.releases` goes on with it and decides. Saying no is a leaf and the one terminal row of the request, in the same transaction, and
what waited is erased. Each is said once: said again it is the same leaf, the contrary is a conflict.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, select

from consent import releases, waiting
from consent.core.citizen import Preview
from consent.core.facts import Evidence, State, Submission, Verdict
from consent.core.release import Seen
from consent.core.rules import usable
from consent.grants import keep, terms_of
from consent.stores import tables as t
from consent.transaction import Transaction, read_scopes, row_of
from exchange.core.errors import Code
from exchange.ports import Refused

ACCEPTED, REJECTED = "preview_accepted", "preview_rejected"
"""Kinds of the two leaves."""
SHOWN_MAX = 200


def previews(connection: Connection, authorisations: Collection[bytes], now_ms: int) -> list[Preview]:
    """What waits for its person under these agreements and may still be let through, the first to end first."""
    w, a, n = t.waiting.c, t.authorisation.c, t.attempt.c
    attempted = and_(
        n.request == w.request, n.authorisation == w.authorisation, n.operator == w.operator, n.digest == w.digest,
        n.certificate_hash == a.certificate_hash,
    )  # fmt: skip
    query = (
        select(w.request, w.authorisation, w.operator, w.digest, w.deadline, n.scopes, func.max(n.at).label("at"))
        .join_from(t.waiting, t.authorisation, a.id == w.authorisation)
        .join(t.attempt, attempted)
        .where(w.authorisation.in_(authorisations), w.awaits == "person", w.deadline > now_ms, waiting.undecided())
        .where(a.state == State.LIVE.value, a.not_before <= now_ms, a.not_after > now_ms)
        .group_by(w.request, w.authorisation, w.operator, w.digest, w.deadline, n.scopes)
        .order_by(w.deadline, w.request)
        .limit(SHOWN_MAX)
    )
    return [
        Preview(waiting.submission_of(row), read_scopes(row.scopes), row.at, row.deadline)
        for row in connection.execute(query)
    ]


def say(tx: Transaction, submission: Submission, accepted: bool, evidence: Evidence) -> int:
    """The person's word on what waits; its leaf's index. `Refused`: `nothing_waits` where nothing waits for them, `conflict` where they
    said the contrary, `evidence_missing` of an agent who is nobody, or why it may not be handed over any more."""
    if evidence.channel != "online" and not evidence.agent:
        raise Refused(Code.EVIDENCE_MISSING)
    kind = ACCEPTED if accepted else REJECTED
    said = _said(tx, submission)
    if said is not None:
        if said.kind != kind:
            raise Refused(Code.CONFLICT)
        return int(said.idx)
    row, held = waiting.pending(tx.connection, submission), row_of(tx.connection, submission.key.authorisation)
    if row is None or held is None:
        raise Refused(Code.NOTHING_WAITS)
    reason = usable(State(held.state), held.not_before, held.not_after, held.uses, held.max_uses, tx.now_ms)
    if reason is not None or tx.now_ms >= row.deadline:
        raise Refused(reason or Code.DEADLINE_PASSED)
    kept = keep(tx, held.id, terms_of(held), evidence)
    content = msgspec.json.encode({"digest": submission.digest.hex(), "evidence": kept})
    leaf = tx.append(kind, held.id, content, request=submission.key.request)
    if accepted:
        waiting.let_through(tx, submission)
    else:
        _close(tx, submission, row.deadline)
    return leaf.index


def _close(tx: Transaction, submission: Submission, deadline_ms: int) -> None:
    verdict = Verdict(submission.key, submission.digest, deadline_ms, "refused", Code.PREVIEW_REJECTED)
    releases.release(tx, releases.Checked([Seen(verdict)], [0], {}), "")
    waiting.erase(tx, submission)


def _said(tx: Transaction, submission: Submission) -> Any:
    """The leaf of what was said to this very submission; None before."""
    c, key = t.leaf.c, submission.key
    query = select(t.leaf).where(t.about(key.authorisation), c.kind.in_((ACCEPTED, REJECTED)), c.request == key.request)
    for row in tx.connection.execute(query):
        _, content = tx.open_content(row)
        if content and msgspec.json.decode(content)["digest"] == submission.digest.hex():
            return row
    return None

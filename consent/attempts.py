"""T-attempt (protocol §4): before each State call the ledger registers what the answer will be bound to, or says not to call.

Each call of a request has a row of its own: two of them may differ in deadline, recipient key or certificate (an honest retry, a
rotated key, a narrowing), and the tag of an answer tells which one it is of.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from consent.core import merkle
from consent.core.facts import CALLS_MAX, Attempt, Attempted, Authorisation, RequestKey, Submission
from consent.core.leaves import RELEASED
from consent.core.rules import usable, within
from consent.register import recipient_entries
from consent.stores import tables as t
from consent.stores.batch import insert_rows, select_rows
from consent.transaction import Transaction, read_authorisations
from exchange.core import watch
from exchange.core.errors import Code
from exchange.core.sealing import bound_rule, key_id


def attempt(tx: Transaction, attempts: Sequence[Attempt], worker: str) -> list[Attempted]:
    """A row for each call allowed, one leaf for the chunk."""
    held = read_authorisations(tx.connection, [a.key.authorisation for a in attempts], tx.now_ms)
    entries = recipient_entries(tx.connection, [h.recipient for h in held.values()], tx.now_ms)
    calls, told = _calls(tx.connection, attempts), _told(tx.connection, attempts)
    results: list[Attempted] = []
    inserted: list[dict[str, Any]] = []
    for a in attempts:
        authorisation = held.get(a.key.authorisation)
        entry = entries.get((authorisation.recipient, a.key.operator)) if authorisation else None
        done = calls.get((a.key, a.digest), 0)
        reason = _may_call(a, authorisation, done, tx.now_ms) or (None if entry else Code.DELEGATION_ABSENT)
        if reason is None and entry is not None:
            calls[a.key, a.digest] = done + 1
            inserted.append(_values(a, key_id(entry.public_key), done + 1) | {"at": tx.now_ms, "worker": worker})
        results.append(Attempted(reason or "", entry if reason is None else None, a.last in told))
    if inserted:
        insert_rows(tx.connection, t.attempt, inserted)
        tx.append("attempted", b"", merkle.root([merkle.leaf_hash(v["digest"] + bytes([v["n"]])) for v in inserted]))
    return results


def _may_call(a: Attempt, held: Authorisation | None, done: int, now_ms: int) -> Code | None:
    if held is None:
        return Code.AUTHORISATION_UNKNOWN
    reason = usable(held.state, held.not_before_ms, held.not_after_ms, held.uses, held.max_uses, now_ms)
    if reason is not None:
        return reason
    if a.key.operator not in held.operators:
        return Code.DELEGATION_ABSENT
    if not within(a.scopes, held.habilitated):
        return Code.HABILITATION_ABSENT
    if a.certificate_hash != held.certificate_hash:
        return Code.CERTIFICATE_OUTDATED
    if not watch.allowed(a.watch_every_ms, 0, held.watch_every_ms):
        return Code.WATCH_EXCEEDED
    if a.rule_hash != bound_rule(held.rule_hash):
        return Code.RULE_MISMATCH
    if now_ms >= a.deadline_ms:
        return Code.DEADLINE_PASSED
    return Code.ATTEMPTS_EXHAUSTED if done >= CALLS_MAX else None


def _values(a: Attempt, recipient_key: bytes, n: int) -> dict[str, Any]:
    return key_values(a.key) | {
        "digest": a.digest, "n": n, "scopes": json.dumps(a.scopes), "schema_hash": a.schema_hash, "rule_hash": a.rule_hash,
        "certificate_hash": a.certificate_hash, "recipient_key": recipient_key, "deadline": a.deadline_ms,
    }  # fmt: skip


def _calls(connection: Connection, attempts: Sequence[Attempt]) -> dict[tuple[RequestKey, bytes], int]:
    calls: dict[tuple[RequestKey, bytes], int] = {}
    for row in by_request(connection, t.attempt, [a.key.request for a in attempts]):
        calls[row_key(row), row.digest] = max(calls.get((row_key(row), row.digest), 0), row.n)
    return calls


def _told(connection: Connection, attempts: Sequence[Attempt]) -> set[Submission | None]:
    """Which of the answers last sent of watches were released, or refused by the person who saw them: the same is not shown again."""
    asked = [a.last.key.request for a in attempts if a.last]
    rows = by_request(connection, t.terminal, asked)
    return {
        Submission(row_key(row), row.digest)
        for row in rows
        if row.code == RELEASED or row.reason == Code.PREVIEW_REJECTED
    }


def by_request(connection: Connection, table: Any, requests: Sequence[bytes]) -> Sequence[Any]:
    """All rows of a table about these request ids."""
    return select_rows(connection, table, "request", requests)


def row_key(row: Any) -> RequestKey:
    return RequestKey(row.operator, row.authorisation, row.request)


def key_values(key: RequestKey) -> dict[str, Any]:
    return {"request": key.request, "authorisation": key.authorisation, "operator": key.operator}

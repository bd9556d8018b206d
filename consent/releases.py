"""T-release (protocol §4): from a connector's answer or a verdict to an outcome. In order:
(1) without locks: tags, key openings, outer seals: what does not open is a dead letter, never terminal; (2) one transaction: lock, read, fold the pure rule, write rows, uses and leaves, commit durably; (3) only then do opened answers
leave this function, with a note signed over the chunk's leaves. Message keys live inside `exchange.sealing.open_outer` only.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, update

from consent.attempts import by_request, key_values, row_key
from consent.core import merkle, note
from consent.core.facts import (
    Answer,
    Confirmation,
    DeadLetter,
    Dropped,
    Outcome,
    RequestKey,
    Submission,
    Verdict,
)
from consent.core.leaves import RELEASED, released_content
from consent.core.release import Fate, Held, Row, Seen, fold
from consent.core.rules import Happening
from consent.keys import KeyRing
from consent.opening import Closed, Opened
from consent.register import recipient_entries
from consent.rotation import private_keys
from consent.stores import tables as t
from consent.stores.batch import insert_rows, select_rows, update_rows
from consent.transaction import Leaf, Transaction, read_authorisations, read_scopes
from consent.transitions import move
from exchange.core.encoding import join, split
from exchange.core.errors import Code
from exchange.core.sealing import Context, key_id

_KEY, _KEYED = ("request", "authorisation", "operator"), ("authorisation", "certificate_hash")
Item = Answer | Verdict
Result = Outcome | Dropped | DeadLetter


class Checked(NamedTuple):
    """A chunk after step (1): what to fold, and dead letters by position."""

    seen: list[Seen]
    places: list[int]
    dead: dict[int, DeadLetter]


def closed(connection: Connection, keys: KeyRing, mac: Callable[[str], bytes], items: Sequence[Item]) -> list[Closed]:
    """Step (1), what it takes to open the answers of a chunk: one for each, in their order."""
    answers = [item for item in items if isinstance(item, Answer)]
    contexts: dict[tuple[RequestKey, bytes], list[Context]] = {}
    for row in by_request(connection, t.attempt, [a.key.request for a in answers]):
        contexts.setdefault((row_key(row), row.digest), []).append(_context(row))
    held = private_keys(connection, keys, {key.authorisation for key, _ in contexts})
    macs = {provider: mac(provider) for provider in {a.provider for a in answers}}
    return [
        Closed(a.tag, a.sealed_key, a.outer, macs[a.provider], tuple((c, held.get(c.certificate_hash)) for c in contexts.get((a.key, a.digest), ())))
        for a in answers
    ]  # fmt: skip


def check(items: Sequence[Item], answers: Sequence[Closed], opened: Sequence[Opened]) -> Checked:
    """Step (1), what came of it."""
    checked, found = Checked([], [], {}), zip(answers, opened, strict=True)
    for place, item in enumerate(items):
        result = _checked(item, *next(found)) if isinstance(item, Answer) else Seen(item)
        if isinstance(result, DeadLetter):
            checked.dead[place] = result
        else:
            checked.seen.append(result)
            checked.places.append(place)
    return checked


def _checked(answer: Answer, sealed: Closed, opened: Opened) -> Seen | DeadLetter:
    if opened.attempt is None:
        return DeadLetter(Code.BAD_SEAL if sealed.attempts else Code.NO_ATTEMPT)
    return Seen(answer, sealed.attempts[opened.attempt][0], opened.inner)


def _context(row: Any) -> Context:
    return Context(
        row.digest,
        row.certificate_hash,
        row.recipient_key,
        row.schema_hash,
        read_scopes(row.scopes),
        row.rule_hash,
        row.deadline,
    )


def release(tx: Transaction, checked: Checked, worker: str) -> list[tuple[Seen, Fate, Leaf | None]]:
    """Step (2): the fates of a chunk, written."""
    items = [one.item for one in checked.seen]
    rows = {row_key(r): r for r in by_request(tx.connection, t.terminal, [i.key.request for i in items])}
    settled = {
        key: Row(r.digest, r.code, r.reason, r.provider_code, r.answer_digest, r.confirmed_at is not None)
        for key, r in rows.items()
    }
    held = _held(tx, items)
    fates, uses = fold(checked.seen, settled, held, tx.now_ms)
    leaves = _append_leaves(tx, checked.seen, fates)
    _write(tx, checked.seen, fates, leaves, worker)
    _count(tx, uses, held)
    made = {one.item.key: leaf for one, leaf in zip(checked.seen, leaves, strict=True) if leaf is not None}
    again = [rows[i.key] for i, fate in zip(items, fates, strict=True) if fate.action == "again" and i.key in rows]
    kept = _leaves_of(tx, again)
    told: list[tuple[Seen, Fate, Leaf | None]] = []
    for one, fate in zip(checked.seen, fates, strict=True):
        leaf = made.get(one.item.key)
        if fate.action == "again" and leaf is None:
            leaf = kept[one.item.key]
        told.append((one, fate, leaf if fate.action in ("insert", "again") else None))
    return told


def _held(tx: Transaction, items: Sequence[Item]) -> dict[bytes, Held]:
    authorisations = read_authorisations(tx.connection, [i.key.authorisation for i in items], tx.now_ms)
    entries = recipient_entries(tx.connection, [a.recipient for a in authorisations.values()], tx.now_ms)
    recipient_keys: dict[str, dict[str, bytes]] = {}
    for (recipient, operator), entry in entries.items():
        recipient_keys.setdefault(recipient, {})[operator] = key_id(entry.public_key)
    keyed: dict[bytes, set[bytes]] = {}
    for row in select_rows(tx.connection, t.release_key, "authorisation", authorisations, _KEYED):
        keyed.setdefault(row.authorisation, set()).add(row.certificate_hash)
    return {
        a.id: Held(a, recipient_keys.get(a.recipient, {}), frozenset(keyed.get(a.id, ())))
        for a in authorisations.values()
    }


def _append_leaves(tx: Transaction, seen: Sequence[Seen], fates: Sequence[Fate]) -> list[Leaf | None]:
    """A leaf for each release; one for all other fates of the chunk together."""
    leaves: list[Leaf | None] = [None] * len(seen)
    closed = [i for i, fate in enumerate(fates) if fate.action == "insert" and fate.code != "released"]
    for i, (one, fate) in enumerate(zip(seen, fates, strict=True)):
        if fate.action == "insert" and fate.code == "released" and one.context is not None:
            key = one.item.key
            leaves[i] = tx.append(
                RELEASED, key.authorisation, released_content(one.context), request=key.request, code=RELEASED
            )
    if closed:
        told = [join(seen[i].item.digest, fates[i].code.encode(), fates[i].reason.encode()) for i in closed]
        leaf = tx.append("closed", b"", merkle.root([merkle.leaf_hash(entry) for entry in told]))
        for i in closed:
            leaves[i] = leaf
    return leaves


def _write(
    tx: Transaction, seen: Sequence[Seen], fates: Sequence[Fate], leaves: Sequence[Leaf | None], worker: str
) -> None:
    inserts, conflicts, again = [], [], []
    for one, fate, leaf in zip(seen, fates, leaves, strict=True):
        item, key = one.item, key_values(one.item.key)
        if fate.action == "insert" and leaf is not None:
            position = item.position if isinstance(item, Answer) else None
            inserts.append(key | {
                "digest": item.digest, "code": fate.code, "reason": fate.reason, "provider_code": fate.provider_code,
                "answer_digest": fate.answer_digest,
                "at": tx.now_ms, "deadline": _deadline(one), "leaf_index": leaf.index,
                "handed_at": tx.now_ms, "confirmed_at": None, "with_key": None,
                "topic": position.topic if position else "", "partition": position.partition if position else -1,
                "offset": position.offset if position else -1, "worker": worker,
            })  # fmt: skip
        elif fate.action == "conflict":
            conflicts.append(key | {"digest": item.digest, "at": tx.now_ms, "confirmed_at": None})
        elif fate.action == "again":
            again.append({f"b_{k}": v for k, v in key.items()})
    insert_rows(tx.connection, t.terminal, inserts)
    insert_rows(tx.connection, t.conflict, conflicts, ignore=True)
    if again:  # a hand-over writes, so that a deposed primary cannot do it
        changes = {"handed_at": tx.now_ms, "worker": _workers(worker)}
        tx.connection.execute(update(t.terminal).where(_same(t.terminal)).values(changes), again)


def _workers(worker: str) -> Any:
    """Every worker that was handed an outcome, one a line: a breach of any of them touches it."""
    c = t.terminal.c
    return case(
        (("\n" + c.worker + "\n").contains(f"\n{worker}\n", autoescape=True), c.worker), else_=c.worker + f"\n{worker}"
    )


def _same(table: Any) -> Any:
    c = table.c
    return (
        (c.request == bindparam("b_request"))
        & (c.authorisation == bindparam("b_authorisation"))
        & (c.operator == bindparam("b_operator"))
    )


def _deadline(one: Seen) -> int:
    return one.item.deadline_ms if isinstance(one.item, Verdict) else one.context.deadline_ms if one.context else 0


def _count(tx: Transaction, uses: Mapping[bytes, int], held: Mapping[bytes, Held]) -> None:
    """Uses are `released` leaves, always; the last one retires the key."""
    update_rows(tx.connection, t.authorisation, ("id",), [{"id": i, "uses": n} for i, n in uses.items()])
    spent = [i for i, n in uses.items() if n >= held[i].authorisation.max_uses]
    move(tx, select_rows(tx.connection, t.authorisation, "id", spent), Happening.USED_UP)


def _leaves_of(tx: Transaction, rows: Sequence[Any]) -> dict[RequestKey, Leaf]:
    """The leaves of terminal rows written earlier."""
    held = {found.idx: found for found in select_rows(tx.connection, t.leaf, "idx", [row.leaf_index for row in rows])}
    leaves = ((row, held[row.leaf_index]) for row in rows)
    return {
        row_key(row): Leaf(found.idx, found.leaf, found.hash, split(bytes(found.content), 2)[0])
        for row, found in leaves
    }


def tell(keys: KeyRing, now_ms: int, told: Sequence[tuple[Seen, Fate, Leaf | None]]) -> list[Result]:
    """Step (3): outcomes, with one note signed over the leaves of the chunk."""
    leaves = sorted({leaf.index: leaf.hash for _, _, leaf in told if leaf is not None}.items())
    hashes = [h for _, h in leaves]
    places = {index: place for place, (index, _) in enumerate(leaves)}
    signed, paths = batch_note(keys, hashes) if hashes else "", merkle.inclusion_paths(hashes)
    return [
        Dropped() if fate.action == "drop"
        else _outcome(one, fate, now_ms, _batched(leaf, places[leaf.index], paths, signed) if leaf else {})
        for one, fate, leaf in told
    ]  # fmt: skip


def batch_note(keys: KeyRing, hashes: Sequence[bytes]) -> str:
    """A signed note: origin/batch, number of leaves, Merkle root."""
    text = f"{keys.origin}/batch\n{len(hashes)}\n{base64.b64encode(merkle.root(hashes)).decode()}\n"
    return note.sign(text, keys.origin, keys.log)


def _batched(leaf: Leaf, place: int, paths: Sequence[tuple[bytes, ...]], signed: str) -> dict[str, Any]:
    return {
        "leaf_index": leaf.index,
        "leaf": leaf.data,
        "leaf_salt": leaf.salt,
        "batch_place": place,
        "path": paths[place],
        "batch_note": signed,
    }


def _outcome(one: Seen, fate: Fate, now_ms: int, batched: dict[str, Any]) -> Outcome:
    item, context = one.item, one.context
    code = "conflict" if fate.action == "conflict" else fate.code
    base: dict[str, Any] = {
        "key": item.key, "digest": item.digest, "code": code, "delivery": fate.delivery, "reason": fate.reason,
        "provider_code": fate.provider_code, "decided_at_ms": now_ms, "deadline_ms": _deadline(one),
    } | batched  # fmt: skip
    if fate.code == "released" and context is not None:
        base |= {
            "certificate_hash": context.certificate_hash, "recipient_key": context.recipient_key, "schema_hash": context.schema_hash,
            "scopes": context.scopes, "rule_hash": context.rule_hash,
            "inner": one.inner if fate.delivery == "key" and one.inner is not None else b"",
        }  # fmt: skip
    return Outcome(**base)


def confirm(tx: Transaction, confirmed: Sequence[Confirmation]) -> None:
    """The broker acknowledged these outcomes. A release met again and confirmed twice keeps its first confirmation."""
    told = [key_values(c.key) | {"digest": c.digest, "confirmed_at": tx.now_ms} for c in confirmed]
    ends = [row | {"with_key": c.with_key} for row, c in zip(told, confirmed, strict=True)]
    conflicting = {row.request for row in by_request(tx.connection, t.conflict, [c.key.request for c in confirmed])}
    conflicts = [row for row in told if row["request"] in conflicting]
    for table, rows in ((t.terminal, ends), (t.conflict, conflicts)):
        update_rows(tx.connection, table, (*_KEY, "digest"), rows, "confirmed_at IS NULL")


def unconfirmed(connection: Connection, submissions: Sequence[Submission]) -> list[bool]:
    """Which submissions have no confirmed outcome: neither their own row nor a conflict of theirs."""
    requests = [s.key.request for s in submissions]
    done = {
        (row_key(row), row.digest)
        for table in (t.terminal, t.conflict)
        for row in by_request(connection, table, requests)
        if row.confirmed_at is not None
    }
    return [(s.key, s.digest) not in done for s in submissions]

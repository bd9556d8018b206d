"""T-release (protocol §4): from a connector's answer or a verdict to an outcome. Asked for by the release agent as answers come, and by the
collectivity itself where they wait for it (`handover: pull`): the same code. In order:
(1) without locks: tags, key openings, outer seals: what does not open is a dead letter, never terminal; (2) one transaction: lock, read, fold the pure rule, write rows, uses and leaves, commit durably; (3) only then do opened answers
leave this function, with a note signed over the chunk's leaves. Message keys live inside `exchange.sealing.open_outer` only.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, bindparam, case, update

from consent import waiting
from consent.attempts import by_request, key_values, row_key
from consent.core import merkle, note
from consent.core.facts import (
    Answer,
    Confirmation,
    DeadLetter,
    Dropped,
    Outcome,
    Position,
    RequestKey,
    Submission,
    Verdict,
    Waiting,
)
from consent.core.leaves import RELEASED, released_content
from consent.core.release import Fate, Held, Row, Seen, fold, pulling
from consent.core.rules import Happening
from consent.keys import KeyRing
from consent.opening import Closed, Opened, open_answers
from consent.register import recipient_entries
from consent.rotation import private_keys
from consent.stores import tables as t
from consent.stores.batch import insert_values, select_rows, update_values
from consent.transaction import Leaf, Transaction, read_authorisations, read_scopes
from consent.transitions import move
from exchange.core.encoding import join, split
from exchange.core.errors import Code
from exchange.core.sealing import Context, key_id
from exchange.data_sets import DATA_SETS

_KEY, _KEYED = ("request", "authorisation", "operator"), ("authorisation", "certificate_hash")
_ATTEMPT = (
    "operator", "authorisation", "request", "digest", "certificate_hash", "recipient_key", "schema_hash", "scopes", "rule_hash", "deadline",
)  # fmt: skip
_TERMINAL = (
    *_KEY, "digest", "code", "reason", "provider_code", "answer_digest", "at", "deadline", "leaf_index", "handed_at", "confirmed_at",
    "with_key", "topic", "partition", "offset", "worker",
)  # fmt: skip
_CONFLICT = (*_KEY, "digest", "at", "confirmed_at")
assert (tuple(t.terminal.c.keys()), tuple(t.conflict.c.keys())) == (_TERMINAL, _CONFLICT)
_NOWHERE = Position("", -1, -1)
"""Where a verdict's row says it lay."""
Item = Answer | Verdict
Result = Outcome | Waiting | Dropped | DeadLetter


class Checked(NamedTuple):
    """A chunk after step (1): what to fold, and dead letters by position."""

    seen: list[Seen]
    places: list[int]
    dead: dict[int, DeadLetter]


class Met(NamedTuple):
    """An answer as it may be opened, and the contexts of its attempts, in the same order."""

    closed: Closed
    contexts: Sequence[Context]


def met(
    connection: Connection, keys: KeyRing, mac: Callable[[str], bytes], items: Sequence[Item], *, opening: bool = True
) -> list[Met]:
    """Step (1), what it takes to open the answers of a chunk, or without `opening` to know which attempts they are of: one for each, in
    their order."""
    answers = [item for item in items if isinstance(item, Answer)]
    contexts: dict[tuple[RequestKey, bytes], list[Context]] = {}
    rows = select_rows(connection, t.attempt, "request", [a.key.request for a in answers], _ATTEMPT)
    for operator, authorisation, request, digest, certificate, recipient_key, schema, scopes, rule, deadline_ms in rows:
        context = Context(digest, certificate, recipient_key, schema, read_scopes(scopes), rule, deadline_ms)
        contexts.setdefault((RequestKey(operator, authorisation, request), digest), []).append(context)
    held = private_keys(connection, keys, {key.authorisation for key, _ in contexts}) if opening else {}
    macs = {provider: mac(provider) for provider in {a.provider for a in answers}}
    return [
        Met(Closed(a.tag, a.sealed_key, a.outer, macs[a.provider], tuple([(c, held.get(c.certificate_hash)) for c in own])), own)
        for a in answers
        for own in [contexts.get((a.key, a.digest), ())]
    ]  # fmt: skip


def check(items: Sequence[Item], answers: Sequence[Met], opened: Sequence[Opened]) -> Checked:
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


def _checked(answer: Answer, met: Met, opened: Opened) -> Seen | DeadLetter:
    if opened.attempt is None:
        return DeadLetter(Code.BAD_SEAL if met.contexts else Code.NO_ATTEMPT)
    return Seen(answer, met.contexts[opened.attempt], opened.inner, opened.transcript, opened.answer_digest)


def release(
    tx: Transaction, checked: Checked, worker: str, *, pulled: bool = False
) -> list[tuple[Seen, Fate, Leaf | None]]:
    """Step (2): the fates of a chunk, written. `pulled` answers wait no longer (but for their person), and are told again as often as they
    are asked for."""
    items = [one.item for one in checked.seen]
    requests = [i.key.request for i in items]
    rows = {row_key(r): r for r in by_request(tx.connection, t.terminal, requests)}
    settled = {
        key: Row(
            r.digest, r.code, r.reason, r.provider_code, r.answer_digest, r.confirmed_at is not None and not pulled
        )
        for key, r in rows.items()
    }
    held = _held(tx, items, rows)
    if any(one.pulling or one.preview for one in held.values()):
        settled = waiting.rows(tx.connection, requests) | settled
    fates, uses = fold(checked.seen, settled, held, tx.now_ms, pulled=pulled)
    leaves = _append_leaves(tx, checked.seen, fates)
    _write(tx, checked.seen, fates, leaves, worker)
    waiting.keep(tx, checked.seen, fates)
    if pulled and any(one.preview for one in held.values()):
        waiting.passed_on(
            tx, [Submission(i.key, i.digest) for i, f in zip(items, fates, strict=True) if f.action != "wait"]
        )
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


def _held(tx: Transaction, items: Sequence[Item], settled: Collection[RequestKey]) -> dict[bytes, Held]:
    authorisations = read_authorisations(tx.connection, [i.key.authorisation for i in items], tx.now_ms)
    entries = recipient_entries(tx.connection, [a.recipient for a in authorisations.values()], tx.now_ms)
    recipient_keys: dict[str, dict[str, bytes]] = {}
    for (recipient, operator), entry in entries.items():
        recipient_keys.setdefault(recipient, {})[operator] = key_id(entry.public_key)
    keyed: dict[bytes, set[bytes]] = {}
    for authorisation, certificate in select_rows(
        tx.connection, t.release_key, "authorisation", _met_again(items, settled), _KEYED
    ):
        keyed.setdefault(authorisation, set()).add(certificate)
    pulls = {a.id: pulling(a, DATA_SETS[a.data_set].handover) for a in authorisations.values()}
    shown = {a.id for a in authorisations.values() if DATA_SETS[a.data_set].preview}
    waits = waiting.counts(tx.connection, found) if (found := {*shown, *(i for i, of in pulls.items() if of)}) else {}
    return {
        a.id: Held(
            a, recipient_keys.get(a.recipient, {}), frozenset(keyed.get(a.id, ())), pulls[a.id], waits.get(a.id, 0),
            a.id in shown,
        )
        for a in authorisations.values()
    }  # fmt: skip


def _met_again(items: Sequence[Item], settled: Collection[RequestKey]) -> set[bytes]:
    """The authorisations of requests that have a row, or will have one before the chunk ends: whether their keys still exist matters."""
    met, again = set(settled), set[bytes]()
    for item in items:
        if item.key in met:
            again.add(item.key.authorisation)
        met.add(item.key)
    return again


def _append_leaves(tx: Transaction, seen: Sequence[Seen], fates: Sequence[Fate]) -> list[Leaf | None]:
    """A leaf for each release; one for all other fates of the chunk together."""
    leaves: list[Leaf | None] = [None] * len(seen)
    inserted = [i for i, fate in enumerate(fates) if fate.action == "insert"]
    released = [i for i in inserted if fates[i].code == RELEASED]
    closed = [i for i in inserted if fates[i].code != RELEASED]
    made = tx.append_all(RELEASED, [_released(seen[i]) for i in released], RELEASED)
    for i, leaf in zip(released, made, strict=True):
        leaves[i] = leaf
    if closed:
        told = [join(seen[i].item.digest, fates[i].code.encode(), fates[i].reason.encode()) for i in closed]
        leaf = tx.append("closed", b"", merkle.root([merkle.leaf_hash(entry) for entry in told]))
        for i in closed:
            leaves[i] = leaf
    return leaves


def _released(one: Seen) -> tuple[bytes, bytes, bytes]:
    """What the leaf of a release is of (`Transaction.append_all`)."""
    assert one.context is not None  # an answer without an attempt is a dead letter
    return one.item.key.authorisation, released_content(one.context, one.transcript), one.item.key.request


def _write(
    tx: Transaction, seen: Sequence[Seen], fates: Sequence[Fate], leaves: Sequence[Leaf | None], worker: str
) -> None:
    inserts, conflicts, again, now_ms = [], [], [], tx.now_ms
    for one, fate, leaf in zip(seen, fates, leaves, strict=True):
        item, key = one.item, one.item.key
        if fate.action == "insert" and leaf is not None:
            at = item.position if isinstance(item, Answer) else _NOWHERE
            inserts.append((
                key.request, key.authorisation, key.operator, item.digest, fate.code, fate.reason, fate.provider_code, fate.answer_digest,
                now_ms, _deadline(one), leaf.index, now_ms, None, None, at.topic, at.partition, at.offset, worker,
            ))  # fmt: skip
        elif fate.action == "conflict":
            conflicts.append((key.request, key.authorisation, key.operator, item.digest, now_ms, None))
        elif fate.action == "again":
            again.append({f"b_{k}": v for k, v in key_values(key).items()})
    insert_values(tx.connection, t.terminal, inserts)
    insert_values(tx.connection, t.conflict, conflicts, ignore=True)
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
    update_values(tx.connection, t.authorisation, ("uses",), ("id",), [(n, i) for i, n in uses.items()])
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
    root, paths = merkle.root_and_paths([hash for _, hash in leaves])
    signed = batch_note(keys, len(leaves), root) if leaves else ""
    places = {index: (place, paths[place], signed) for place, (index, _) in enumerate(leaves)}
    return [_told(one, fate, now_ms, leaf, places[leaf.index] if leaf else _NO_PLACE) for one, fate, leaf in told]


def _told(one: Seen, fate: Fate, now_ms: int, leaf: Leaf | None, batched: _Place) -> Result:
    if fate.action == "drop":
        return Dropped()
    if fate.action == "wait":
        return Waiting(one.item.key, one.item.digest, _deadline(one), fate.awaits)
    return _outcome(one, fate, now_ms, leaf, batched)


def batch_note(keys: KeyRing, size: int, root: bytes) -> str:
    """A signed note: origin/batch, number of leaves, Merkle root."""
    text = f"{keys.origin}/batch\n{size}\n{base64.b64encode(root).decode()}\n"
    return note.sign(text, keys.origin, keys.log)


_Place = tuple[int, tuple[bytes, ...], str]
_NO_PLACE: _Place = (0, (), "")
_NO_LEAF = Leaf(-1, b"", b"", b"")
_NO_CONTEXT = Context(b"", bytes(32), bytes(16), bytes(32), (), bytes(32), 0)
"""What an outcome says that shows nothing."""


def _outcome(one: Seen, fate: Fate, now_ms: int, leaf: Leaf | None, batched: _Place) -> Outcome:
    """`batched`: the leaf's place among those of the chunk, its path there, and the note over them."""
    item, told = one.item, leaf or _NO_LEAF
    shown = one.context if fate.code == "released" and one.context is not None else _NO_CONTEXT
    inner = one.inner if shown is one.context and fate.delivery == "key" else None
    return Outcome(
        item.key, item.digest, "conflict" if fate.action == "conflict" else fate.code, fate.delivery, fate.reason, fate.provider_code,
        now_ms, _deadline(one), shown.certificate_hash, shown.recipient_key, shown.schema_hash, shown.scopes, shown.rule_hash,
        inner or b"", told.index, told.data, told.salt, *batched,
    )  # fmt: skip


def over(tx: Transaction, mac: Callable[[str], bytes], worker: str) -> list[Outcome]:
    """The outcomes of answers that can wait no longer, and of those that were opened: told to all, without their keys. Nothing is opened
    here, so nothing is released."""
    items = waiting.over(tx.connection, tx.now_ms)
    answers = met(tx.connection, tx.keys, mac, items, opening=False)
    checked = check(items, answers, open_answers([one.closed for one in answers]))
    results = tell(tx.keys, tx.now_ms, release(tx, checked, worker, pulled=True))
    return [
        msgspec.structs.replace(told, delivery="none") if told.delivery == "cut" else told
        for told in results
        if isinstance(told, Outcome)
    ]


def confirm(tx: Transaction, confirmed: Sequence[Confirmation]) -> None:
    """The broker acknowledged these outcomes. A release met again and confirmed twice keeps its first confirmation; one that was pulled
    says itself whether it has its key."""
    requests, now_ms, only = [c.key.request for c in confirmed], tx.now_ms, "confirmed_at IS NULL"
    conflicting = {row.request for row in select_rows(tx.connection, t.conflict, "request", requests, ("request",))}
    ends = [(now_ms, c.with_key, c.key.request, c.key.authorisation, c.key.operator, c.digest) for c in confirmed]
    conflicts = [(at, *told) for at, _, *told in ends if told[0] in conflicting]
    pulled = [(at, *told) for at, with_key, *told in ends if with_key is None]
    sent = [told for told in ends if told[1] is not None]
    update_values(tx.connection, t.terminal, ("confirmed_at", "with_key"), (*_KEY, "digest"), sent, only)
    update_values(tx.connection, t.terminal, ("confirmed_at",), (*_KEY, "digest"), pulled, only)
    update_values(tx.connection, t.conflict, ("confirmed_at",), (*_KEY, "digest"), conflicts, only)


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


def overdue(connection: Connection, submissions: Sequence[Submission], before_ms: int) -> list[bool]:
    """Which submissions were released before `before_ms` without anybody having said that it was published."""
    rows = by_request(connection, t.terminal, [s.key.request for s in submissions])
    late = {
        (row_key(row), row.digest)
        for row in rows
        if row.code == RELEASED and row.confirmed_at is None and row.at < before_ms
    }
    return [(s.key, s.digest) in late for s in submissions]

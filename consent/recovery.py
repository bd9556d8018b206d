"""Recovering: a store restored from an old backup catches up with the log it published (protocol §8, row 20).

While its log is behind a head that others hold, the ledger answers nothing and writes nothing but withdrawals, which it puts aside:
the keys are destroyed at once, the leaf and the acknowledgement come later. The missing leaves are read from the static files of the
public log, against a head signed by our key, in chunks. Each chunk is one transaction, proved a prefix of that head before it is
committed; a crash leaves a longer prefix, and the same call goes on from there. The chunk that reaches the head also applies what was
put aside and invalidates the agreements whose terms are lost: there is no moment at which the ledger serves without it.

What a leaf cannot give back, and what follows:
- Terms (given, narrowed, renewed, rebound after the backup): the agreement is invalidated, the person is asked again.
- Which answers were released: uses are counted, the key they may have used is destroyed and another made. An answer released after
  the backup is never released again. It can still meet a second *fate* here (its deadline, or an outdated certificate): the row that
  knew it is lost, the collectivity keeps the first outcome it read (`exchange.sdk`), whose leaf is the earlier one.
- Who may ask: if a leaf of the register was lost, all of it is dropped and entered again (`accord ledger introduce`), for a
  revocation may be among them; officers likewise.
- Acknowledgements given after the backup are made anew for who asks, naming the requests the store still knows.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from consent import heads, publish, withdrawals
from consent.changes import rekey
from consent.core import lost, merkle, tiles
from consent.core.facts import REGISTER, Acknowledgement, Evidence, State
from consent.core.leaves import commit
from consent.core.lost import Recovered
from consent.core.rules import Happening, Keys, step
from consent.core.tiles import Tile, Tree
from consent.keys import KeyRing
from consent.stores import tables as t
from consent.transaction import Transaction, transaction
from consent.transitions import destroy, forget, move, unsettle
from consent.withdrawals import Closing
from exchange.core.encoding import split
from exchange.core.errors import Code
from exchange.ports import Refused
from exchange.schemas import catalogue

CHUNK_LEAVES = 1_000
_USABLE = (State.LIVE.value, State.EXPIRED.value, State.USED_UP.value)


class Span(msgspec.Struct, frozen=True):
    """What the leaf of a recovery commits to: the leaves `first` to `stop` were read back, their contents are lost."""

    first: int
    stop: int


class Recovery:
    """Catches up, step by step. Not two at once in one process; between processes the lock of the log decides."""

    def __init__(self, engine: Engine, keys: KeyRing) -> None:
        self._engine, self._keys = engine, keys
        self._known: dict[bytes, bytes] = {}

    def step(self, folder: Path, clock_ms: int) -> Recovered:
        """At most one chunk of leaves from this copy of the public log, or of new keys. `Refused(LOG_UNUSABLE)` if it does not lead
        from this store to a head of ours; nothing is changed then."""
        try:
            head = self._head(folder)
            with transaction(self._engine, self._keys, clock_ms) as tx:
                if head is not None and head.size > tx.size:
                    return self._read_back(tx, publish.Files(folder), head)
                self._known = {}
                if behind := heads.missing(tx.connection):
                    return Recovered(missing=behind)
                heads.require_whole(tx.connection)
                return Recovered(rekeyed=_rekey(tx), applied=_apply_aside(tx))
        except (ValueError, OSError):
            raise Refused(Code.LOG_UNUSABLE) from None

    def _head(self, folder: Path) -> heads.Head | None:
        """The largest head of ours in the folder, whichever way it is kept there."""
        texts = [publish.published(folder, name) for name in (publish.CHECKPOINT, publish.OFFERED)]
        found = [heads.read(text, self._keys.verifier) for text in texts if text is not None]
        return max(found, key=lambda head: head.size, default=None)

    def _read_back(self, tx: Transaction, files: publish.Files, head: heads.Head) -> Recovered:
        stop = min(tx.size + CHUNK_LEAVES, head.size)
        leaves = _leaves(files, tx.size, stop, head.size)
        _prove(tx, files, head, leaves)
        dropped = _restore(tx, leaves, self._locators(tx))
        tx.sequence += head.size  # beyond whatever the lost outbox has told
        tx.emit(REGISTER, 0, "")
        tx.finish()
        told = Recovered(len(leaves), 0, bool(dropped & lost.REGISTER), lost.OFFICER in dropped)
        if stop < head.size:
            heads.remember(tx.connection, head)
        else:
            heads.caught_up(tx, head)
        behind = heads.missing(tx.connection)
        if behind:
            return Recovered(told.reread, behind, told.register_lost, told.officers_lost)
        applied = _apply_aside(tx)
        done = Recovered(told.reread, 0, told.register_lost, told.officers_lost, _invalidate(tx), applied=applied)
        tx.append("recovered", b"", msgspec.json.encode(Span(_first(tx, stop), stop)))
        return done

    def _locators(self, tx: Transaction) -> dict[bytes, bytes]:
        """Locator → id of all that the store knows: nothing is added while it recovers."""
        if not self._known:
            ids = tx.connection.execute(select(t.authorisation.c.id)).scalars()
            self._known = {tx.locator(identifier): identifier for identifier in map(bytes, ids)}
        return self._known


def close(
    tx: Transaction, authorisation: bytes, happening: Happening, evidence: Evidence | None
) -> Acknowledgement | Closing | None:
    """`consent.withdrawals.close`; while the ledger recovers, None once it is recorded aside and its keys are destroyed. What an older
    store knows as closed is closed: nothing opens it again."""
    state = tx.connection.execute(select(t.authorisation.c.state).where(t.authorisation.c.id == authorisation)).scalar()
    closed = state is not None and step(State(state), happening) is None
    if closed or heads.whole(tx.connection):
        return withdrawals.close(tx, authorisation, happening, evidence)
    _put_aside(tx, authorisation, happening)
    return None


def _put_aside(tx: Transaction, authorisation: bytes, happening: Happening) -> None:
    """The last word is an erasure, else the first."""
    c = t.aside.c
    before = tx.connection.execute(select(c.happening).where(c.authorisation == authorisation)).scalar()
    if before is None or happening is Happening.ERASED:
        tx.connection.execute(delete(t.aside).where(c.authorisation == authorisation))
        tx.connection.execute(
            insert(t.aside).values(authorisation=authorisation, happening=happening.value, at=tx.now_ms)
        )
    destroy(tx, [authorisation])
    if happening is Happening.ERASED:
        forget(tx, authorisation)


def spans(connection: Connection) -> list[range]:
    """The leaves that were read back, by the leaves that say so."""
    rows = connection.execute(select(t.leaf.c.leaf, t.leaf.c.content).where(t.leaf.c.kind == "recovered")).all()
    found = []
    for row in rows:
        salt, content = split(row.content, 2)
        if catalogue().codec("ledger-fact").decode(row.leaf)["commitment"] == commit(salt, content):
            span = msgspec.json.decode(content, type=Span)
            found.append(range(span.first, span.stop))
    return found


def _first(tx: Transaction, stop: int) -> int:
    """Where the leaves read back begin: those before have their content."""
    kept = select(func.max(t.leaf.c.idx)).where(t.leaf.c.idx < stop, t.leaf.c.content != b"")
    last = tx.connection.execute(kept).scalar()
    return 0 if last is None else int(last) + 1


def _leaves(files: publish.Files, start: int, stop: int, size: int) -> list[bytes]:
    """Entries `start` to `stop` of a published log of `size` leaves."""
    found: list[bytes] = []
    for number in range(start // tiles.WIDTH, (stop - 1) // tiles.WIDTH + 1):
        width = min(tiles.WIDTH, size - number * tiles.WIDTH)
        first = number * tiles.WIDTH
        found += files.entries(Tile(0, number, width))[max(0, start - first) : stop - first]
    return found


def _prove(tx: Transaction, files: publish.Files, head: heads.Head, leaves: Sequence[bytes]) -> None:
    """ValueError unless the log, with these leaves, is a prefix of the head (RFC 9162 §2.1.4)."""
    size, tree = tx.size + len(leaves), Tree(head.size, files.hashes)
    frontier = merkle.append(tx.frontier, tx.size, [merkle.leaf_hash(leaf) for leaf in leaves])
    path = tree.consistency(size) if size < head.size else []
    merkle.verify_consistency(size, head.size, path, merkle.frontier_root(frontier), head.root)


def _restore(tx: Transaction, leaves: Sequence[bytes], known: dict[bytes, bytes]) -> frozenset[str]:
    """The leaves in their places, and what they did; the parts of the register that were dropped."""
    decode = catalogue().codec("ledger-fact").decode
    facts = [decode(leaf) for leaf in leaves]
    ids = {known[fact["locator"]] for fact in facts if fact["locator"] in known}
    rows = {i: _Row(tx, i) for i in ids}
    for fact, leaf in zip(facts, leaves, strict=True):
        locator = fact["locator"] if any(fact["locator"]) else b""
        authorisation = known.get(locator, locator)
        tx.restore(leaf, fact["kind"], fact["at_ms"], authorisation)
        if authorisation in rows:
            rows[authorisation].apply(fact["kind"])
    for row in rows.values():
        row.write(tx)
    return _drop(tx, {fact["kind"] for fact in facts})


class _Row:
    """One authorisation while leaves are applied to it."""

    def __init__(self, tx: Transaction, authorisation: bytes) -> None:
        a = t.authorisation.c
        row = tx.connection.execute(select(a.state, a.version, a.uses).where(a.id == authorisation)).one()
        self.id, self.state, self.version, self.uses = authorisation, State(row.state), row.version, row.uses
        self.keys, self.changed, self.columns = set[Keys](), False, dict[str, Any]()

    def apply(self, kind: str) -> None:
        change = lost.reread(self.state, kind)
        if change is None:
            return
        self.changed, self.state, self.uses = True, change.state, self.uses + change.uses
        self.version += change.moved
        self.keys.add(change.keys)
        if change.keys is Keys.DESTROY:
            self.columns |= {"certificate_hash": b""} | ({} if change.terms else {"certificate": b""})

    def write(self, tx: Transaction) -> None:
        if not self.changed:
            return
        values = self.columns | {"state": self.state.value, "version": self.version, "uses": self.uses}
        tx.connection.execute(update(t.authorisation).where(t.authorisation.c.id == self.id).values(values))
        if self.keys & {Keys.DESTROY, Keys.DESTROY_ALL}:
            destroy(tx, [self.id])
        if Keys.DESTROY_ALL in self.keys:
            forget(tx, self.id)
        if Keys.RETIRE in self.keys:
            unsettle(tx, [self.id])


def _drop(tx: Transaction, kinds: set[str]) -> frozenset[str]:
    """A revocation may be among the facts lost: whoever stood in the register is entered again."""
    if kinds & lost.REGISTER:
        for table in (t.habilitation, t.delegation, t.directory):
            tx.connection.execute(delete(table))
    if lost.OFFICER in kinds:
        tx.connection.execute(delete(t.officer))
    return frozenset(kinds & (lost.REGISTER | {lost.OFFICER}))


def _invalidate(tx: Transaction) -> int:
    """Agreements that go on under terms nobody knows any more."""
    a = t.authorisation.c
    unknown = select(a.id, a.state, a.version).where(
        a.state.in_(_USABLE), a.certificate_hash == b"", a.certificate == b""
    )
    return len(move(tx, tx.connection.execute(unknown).all(), Happening.INVALIDATED))


def _rekey(tx: Transaction) -> int:
    """Live agreements whose key may have served in the lost time get another; some at a time."""
    a = t.authorisation.c
    keyless = select(a.id).where(a.state == State.LIVE.value, a.certificate_hash == b"").limit(CHUNK_LEAVES)
    ids = list(map(bytes, tx.connection.execute(keyless).scalars()))
    for authorisation in ids:
        rekey(tx, authorisation)
    return len(ids)


def _apply_aside(tx: Transaction) -> int:
    """What was put aside, in the order it came: each gets its leaf. What the ledger never knew leaves no trace."""
    rows = tx.connection.execute(select(t.aside).order_by(t.aside.c.at)).all()
    applied = 0
    for row in rows:
        try:
            withdrawals.close(tx, row.authorisation, Happening(row.happening))
            applied += 1
        except Refused:
            continue
    if rows:
        tx.connection.execute(delete(t.aside))
    return applied

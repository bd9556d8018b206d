"""Whether what queries read agrees with the log: an authorisation hidden, added, or given another state is found (I12)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from sqlalchemy import Connection, select

from consent.core.facts import State
from consent.core.rules import Happening, replay
from consent.recovery import spans
from consent.stores import tables as t

_HAPPENINGS = frozenset(happening.value for happening in Happening)
_ID_BYTES = 16
"""A leaf read back from the public log stands under its locator until somebody names its authorisation (`consent.adoption`)."""
_FIRST = frozenset({"requested", "given", "refused"})


def problems(connection: Connection) -> Iterator[str]:
    """What does not hold: each authorisation has its leaves and the state they lead to, each release its leaf, uses are releases."""
    lives: dict[bytes, list[Happening]] = {}
    firsts: dict[int, bytes] = {}
    released: Counter[bytes] = Counter()
    for leaf in connection.execute(
        select(t.leaf.c.idx, t.leaf.c.kind, t.leaf.c.authorisation)
        .where(t.leaf.c.authorisation != b"")
        .order_by(t.leaf.c.idx)
    ):
        if len(leaf.authorisation) != _ID_BYTES:
            continue
        if leaf.kind in _FIRST:
            firsts[leaf.idx] = leaf.authorisation
            lives.setdefault(leaf.authorisation, [])
        if leaf.kind == "released":
            released[leaf.authorisation] += 1
        elif leaf.kind in _HAPPENINGS:
            lives.setdefault(leaf.authorisation, []).append(Happening(leaf.kind))
    c = t.authorisation.c
    for row in connection.execute(select(c.id, c.state, c.uses, c.grant_leaf)):
        life = lives.pop(row.id, None)
        if life is None or firsts.get(row.grant_leaf) != row.id:
            yield f"authorisation {row.id.hex()}: no leaf"
        elif replay(life) is not State(row.state):
            yield f"authorisation {row.id.hex()}: state"
        elif row.uses != released[row.id]:
            yield f"authorisation {row.id.hex()}: uses"
    yield from (f"authorisation {identifier.hex()}: hidden" for identifier in lives)
    yield from _releases(connection)


def _releases(connection: Connection) -> Iterator[str]:
    c, leaf, lost = t.terminal.c, t.leaf.c, spans(connection)
    told = {
        row.leaf_index: row.request
        for row in connection.execute(select(c.leaf_index, c.request).where(c.code == "released"))
    }
    for row in connection.execute(
        select(leaf.idx, leaf.request).where(leaf.kind == "released", leaf.authorisation != b"")
    ):
        if not row.request and any(row.idx in span for span in lost):
            continue
        if told.pop(row.idx, None) != row.request:
            yield f"leaf {row.idx}: release hidden"
    yield from (f"leaf {index}: no release" for index in told)

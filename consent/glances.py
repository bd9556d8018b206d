"""Authorisations as the gate remembers them (`consent.core.glance`): a third of what `read_authorisations` costs, and no certificate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection

from consent.core.facts import State
from consent.core.glance import NUMBERS, ROW, UNKNOWN, Glance, Roster, Shared
from consent.stores import tables as t
from consent.stores.batch import read, select_values
from consent.transaction import read_rights, read_scopes
from exchange.core.rule import rule_hash

_ALIKE = ("recipient", "provider", "data_set", "purpose", "scopes", "rule", "watch_every_ms")
_OWN = ("id", "version", "not_before", "not_after", "certificate_hash", "state", "uses", "max_uses")
_STATE = 1 + _OWN.index("state")
_NUMBERS = {state.value: number for state, number in NUMBERS.items()}


def glance(connection: Connection, ids: Sequence[bytes], now_ms: int) -> Glance:
    """What there is of these ids, with the operators delegated and the scopes habilitated at `now_ms`."""
    shared, rows = _glanced(connection, select_values(connection, t.authorisation, "id", ids, _OWN + _ALIKE), now_ms)
    return Glance(shared, b"".join([rows.get(id, UNKNOWN) for id in ids]))


def roster(connection: Connection, after: bytes, limit: int, now_ms: int) -> Roster:
    """The next `limit` authorisations in the order of the store, less those that do not stand; `after`: the place before the first, as the
    last page has it."""
    place, begin = ("id", after) if connection.dialect.name == "postgresql" else ("rowid", int.from_bytes(after))
    columns = ", ".join((place, *_OWN, *_ALIKE))
    query = f"SELECT {columns} FROM authorisation WHERE {place} > ? ORDER BY {place} LIMIT ?"  # noqa: S608  # names of our own
    found = read(connection, query, begin, limit)
    shared, rows = _glanced(connection, (row[1:] for row in found if row[_STATE] == State.LIVE.value), now_ms)
    last = b"" if len(found) < limit else found[-1][0]
    return Roster(
        b"".join(rows),
        Glance(shared, b"".join(rows.values())),
        last.to_bytes(8) if isinstance(last, int) else bytes(last),
    )


def _glanced(
    connection: Connection, found: Iterable[tuple[Any, ...]], now_ms: int
) -> tuple[tuple[Shared, ...], dict[bytes, bytes]]:
    """What rows of `_OWN` and `_ALIKE` have alike, and a row (`ROW`) by id."""
    numbers, rows, pack = dict[tuple[Any, ...], int](), dict[bytes, bytes](), ROW.pack
    last, number, own = (), 0, len(_OWN)
    for row in found:
        if (alike := row[own:]) != last:
            last, number = alike, numbers.setdefault(alike, len(numbers) + 1)
        id, version, not_before, not_after, certificate_hash, state, uses, max_uses = row[:own]
        rows[id] = pack(number, version, not_before, not_after, certificate_hash[:16], _NUMBERS[state], uses < max_uses)
    rights = read_rights(connection, {alike[0] for alike in numbers}, now_ms)
    shared = tuple(
        Shared(
            recipient, provider, data_set, purpose, read_scopes(scopes), rights.delegated.get(recipient, ()),
            rights.habilitated.get((recipient, data_set, purpose), ()), rule_hash(rule), watch,
        )
        for recipient, provider, data_set, purpose, scopes, rule, watch in numbers
    )  # fmt: skip
    return shared, rows

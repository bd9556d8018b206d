"""Authorisations as the gate remembers them (`consent.core.glance`): a third of what `read_authorisations` costs, and no certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from consent.core.glance import NUMBERS, ROW, UNKNOWN, Glance, Shared
from consent.stores import tables as t
from consent.stores.batch import select_values
from consent.transaction import read_rights, read_scopes
from exchange.core.rule import rule_hash

_ALIKE = ("recipient", "provider", "data_set", "purpose", "scopes", "rule", "watch_every_ms")
_OWN = ("id", "version", "not_before", "not_after", "certificate_hash", "state", "uses", "max_uses")
_NUMBERS = {state.value: number for state, number in NUMBERS.items()}


def glance(connection: Connection, ids: Sequence[bytes], now_ms: int) -> Glance:
    """What there is of these ids, with the operators delegated and the scopes habilitated at `now_ms`."""
    numbers, rows, pack = dict[tuple[Any, ...], int](), dict[bytes, bytes](), ROW.pack
    last, number, own = (), 0, len(_OWN)
    for row in select_values(connection, t.authorisation, "id", ids, _OWN + _ALIKE):
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
    return Glance(shared, b"".join([rows.get(id, UNKNOWN) for id in ids]))

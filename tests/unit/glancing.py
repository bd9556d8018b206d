"""Authorisations told to the gate's memory, as the ledger tells them (`consent.glances`, held to this in tests/ledger/test_glances.py)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from consent.core.facts import Authorisation
from consent.core.glance import NUMBERS, ROW, UNKNOWN, Glance, Shared
from exchange.core.memory import Memory


def shared(one: Authorisation) -> Shared:
    return Shared(
        one.recipient, one.provider, one.data_set, one.purpose, one.scopes, one.operators, one.habilitated, one.rule_hash, one.watch_every_ms
    )  # fmt: skip


def glanced(found: Sequence[Authorisation | None]) -> Glance:
    alike = list(dict.fromkeys(shared(one) for one in found if one))
    rows = [
        UNKNOWN if one is None else ROW.pack(
            alike.index(shared(one)) + 1, one.version, one.not_before_ms, one.not_after_ms, one.certificate_hash[:16], NUMBERS[one.state],
            one.uses < one.max_uses,
        )
        for one in found
    ]  # fmt: skip
    return Glance(tuple(alike), b"".join(rows))


def learn(memory: Memory, found: Iterable[Authorisation], now_ms: int = 0, named: Collection[bytes] = ()) -> None:
    known = list(found)
    memory.learn([one.id for one in known], glanced(known), now_ms, named)


def ledgers(
    holdings: st.SearchStrategy[Authorisation], rights: st.SearchStrategy[dict[str, Any]]
) -> st.SearchStrategy[list[Authorisation]]:
    """What a ledger may hold: who may ask is of the register, so that agreements under the same terms have it alike."""
    return st.builds(
        lambda some, own: [msgspec.structs.replace(one, **own) for one in some], st.lists(holdings, max_size=3), rights
    )

"""What the gate may remember of many authorisations, in one answer: what they have alike once, and a row of 42 bytes of each."""

from __future__ import annotations

import struct

from consent.core.facts import State, Value

ROW = struct.Struct(">IIqq16sBB")
"""Number of what it has alike with others, 0 for an authorisation that is unknown; version; `not_before_ms`, `not_after_ms`; the first
half of the certificate's hash; state (`NUMBERS`); 1 if a use is left."""
UNKNOWN = bytes(ROW.size)
ROSTER_MAX = 2_000
"""Authorisations a page: what the ledger reads in some 10 ms."""
NUMBERS = {state: number for number, state in enumerate(State)}


class Shared(Value, frozen=True):
    """What many authorisations have alike (fields as in `Authorisation`)."""

    recipient: str
    provider: str
    data_set: str
    purpose: str
    scopes: tuple[str, ...]
    operators: tuple[str, ...]
    habilitated: tuple[str, ...]
    rule_hash: bytes
    watch_every_ms: int


class Glance(Value, frozen=True):
    """`shared` from number 1 on; `rows`: a `ROW` for each authorisation asked for, in that order."""

    shared: tuple[Shared, ...]
    rows: bytes


class Roster(Value, frozen=True):
    """A page of all that stands: `ids`, 16 bytes each, and a glance at them; `after` is where the next page begins, empty behind the last."""

    ids: bytes
    glance: Glance
    after: bytes

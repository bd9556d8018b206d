"""People, agreements and rows for the ledger's bench: real keys and wraps, certificates and persons of a likely size."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from random import Random  # noqa: TID251  # a load drawn from a seed
from typing import Any

from sqlalchemy import Engine, func, select

from consent.core.facts import State
from consent.keys import KeyRing
from consent.stores import tables as t
from consent.stores.batch import insert_rows
from consent.transaction import Transaction
from exchange.core.encoding import join
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import LEGAL_REFERENCE, PURPOSES

CHUNK = 1_000
LEAVES_PER_AGREEMENT = 5
DAY_MS, START_MS = 86_400_000, 1_700_000_000_000
YEAR_DAYS = 365
OFFICER = "dpo.bench"
_RECIPIENTS = [f"{n:014}" for n in range(21_000_000_000_000, 21_000_000_000_100)]
_SCOPES = json.dumps(sorted(QUOTIENT_FAMILIAL.scopes))
_CERTIFICATE_BYTES, _PERSON_BYTES, _CONTENT_BYTES, _LEAF_BYTES = 420, 180, 150, 71

Row = dict[str, Any]


class People:
    """Who agreed so far: `ids` of agreements, one or two a person."""

    def __init__(self, keys: KeyRing, draw: Random) -> None:
        self._keys, self._draw = keys, draw
        self.ids: list[bytes] = []
        self._about: list[tuple[bytes, str, int]] = []

    def join(self, tx: Transaction, count: int) -> None:
        """So many agreements more, each with its leaf."""
        subjects, contents, agreements = [], [], []
        for number in range(count):
            if number % 2 == 0:
                subject, outer, recipient = os.urandom(32), os.urandom(32), self._draw.choice(_RECIPIENTS)
                wrapped = self._keys.wrap_subject_key(subject, outer)
                subjects.append({"subject": subject, "kek_epoch": self._keys.content.newest, "wrapped": wrapped})
            authorisation, at_ms = os.urandom(16), START_MS + self._draw.randrange(YEAR_DAYS * DAY_MS)
            wrapped = self._keys.seal(outer, os.urandom(32), join(authorisation))
            contents.append({"authorisation": authorisation, "subject": subject, "wrapped": wrapped})
            agreements.append((authorisation, subject, recipient, at_ms))
        insert_rows(tx.connection, t.subject_key, subjects)
        insert_rows(tx.connection, t.content_key, contents)
        tx.prefetch_content([a for a, *_ in agreements])
        leaves = [tx.append("given", a, os.urandom(_CONTENT_BYTES)).index for a, *_ in agreements]
        insert_rows(
            tx.connection, t.authorisation, [_row(*a, leaf) for a, leaf in zip(agreements, leaves, strict=True)]
        )
        self.ids += [a for a, *_ in agreements]
        self._about += [about for _, *about in agreements]  # type: ignore[misc]  # the rest of the tuple

    def subjects(self, draw: Random, count: int) -> list[bytes]:
        """People to ask about."""
        return [draw.choice(self._about)[0] for _ in range(count)]

    def days(self, draw: Random, count: int) -> list[tuple[str, int]]:
        """A recipient and a day on which it collected something."""
        drawn = [draw.choice(self._about) for _ in range(count)]
        return [(recipient, at_ms - (at_ms - START_MS) % DAY_MS) for _, recipient, at_ms in drawn]


def _row(authorisation: bytes, subject: bytes, recipient: str, at_ms: int, leaf: int) -> Row:
    return {
        "id": authorisation, "version": 1, "state": State.LIVE.value, "recipient": recipient, "provider": QUOTIENT_FAMILIAL.provider,
        "data_set": QUOTIENT_FAMILIAL.name, "purpose": PURPOSES[0], "scopes": _SCOPES, "basis": "consent",
        "legal_reference": LEGAL_REFERENCE, "notice_hash": bytes(32), "notice_version": "1", "data_life_days": 365,
        "assurance_required": "eidas1", "assurance": "eidas1", "channel": "online", "agent": "", "operator": recipient[:9],
        "representation": "", "representative_ref": b"", "not_before": at_ms, "not_after": at_ms + YEAR_DAYS * DAY_MS, "uses": 0,
        "max_uses": 100, "subject_ref": subject, "commitment": os.urandom(32), "person": os.urandom(_PERSON_BYTES), "epoch": 1,
        "certificate": os.urandom(_CERTIFICATE_BYTES), "certificate_hash": os.urandom(32), "grant_leaf": leaf, "at": at_ms, "rule": b"",
        "watch_every_ms": 0,
    }  # fmt: skip


class Rows:
    """Rows like a leaf's, without anything to compute. `content` is what each leaf commits to."""

    content = os.urandom(_CONTENT_BYTES)

    def __init__(self, draw: Random) -> None:
        self._draw, self._next = draw, 0

    def next(self, count: int) -> Sequence[Row]:
        places = range(self._next, self._next + count)
        self._next += count
        sealed = 12 + 16 + 4 + 32 + 4 + _CONTENT_BYTES
        return [
            {"idx": idx, "kind": "released", "at": START_MS, "authorisation": os.urandom(16), "request": os.urandom(16), "code": "released",
             "leaf": os.urandom(_LEAF_BYTES), "hash": os.urandom(32), "content": os.urandom(sealed)}
            for idx in places
        ]  # fmt: skip


def leaf_size_bytes(engine: Engine) -> int:
    """What the last leaf's row holds, without indexes."""
    c = t.leaf.c
    sizes = (func.length(column) for column in (c.kind, c.authorisation, c.request, c.code, c.leaf, c.hash, c.content))
    query = select(sum(sizes, start=func.length(b""))).where(c.kind == "released").limit(1)
    with engine.connect() as connection:
        return int(connection.execute(query).scalar_one()) + 16

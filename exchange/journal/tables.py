"""The journal's tables (SQLAlchemy Core), apart from the ledger's. Ids are raw bytes, times ms since 1970 UTC."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

metadata = MetaData()


def _text(name: str) -> Column[str]:
    return Column(name, String, nullable=False)


def _int(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null)


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


entry = Table(
    "entry", metadata, _id(), _text("step"), _int("at_ms"), _text("operator"), _text("recipient"), _text("origin"),
    Column("request", LargeBinary, nullable=False), Column("authorisation", LargeBinary, nullable=False), _text("data_set"),
    _text("purpose"), _text("code"), _text("reason"), _text("topic"), _int("partition"), _int("offset"),
    UniqueConstraint("topic", "partition", "offset", "at_ms"),
)  # fmt: skip
"""One message seen. The broker's append time is part of its place: a topic made anew counts its offsets from zero again."""
Index("entry_by_time", entry.c.at_ms)
Index("entry_by_operator", entry.c.operator, entry.c.at_ms)
Index("entry_by_recipient", entry.c.recipient, entry.c.at_ms)
Index("entry_by_request", entry.c.request)
Index("entry_by_authorisation", entry.c.authorisation)

hold = Table(
    "hold", metadata, _id(), _int("at_ms"), _int("since_ms"), _int("until_ms"), _text("why"), _text("by"),
    _int("released_ms", null=True), _text("released_by"),
)  # fmt: skip
"""Periods that nothing may purge: `until_ms` excluded, `released_ms` null while it holds."""

purge = Table(
    "purge", metadata, _id(), _int("at_ms"), _text("reason"), _text("by"), _text("scope"), _int("since_ms", null=True),
    _int("until_ms", null=True), _int("removed"), _int("held"), _int("first_ms", null=True), _int("last_ms", null=True),
)  # fmt: skip
"""What was removed: how many, from when to when, why and by whom; `held` is how many a hold kept."""

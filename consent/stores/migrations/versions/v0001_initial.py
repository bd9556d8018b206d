"""Every table of the ledger, one line each."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None

_TYPES: dict[str, Any] = {
    "integer": sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
    "text": sa.String(),
    "bytes": sa.LargeBinary(),
    "boolean": sa.Boolean(),
}

# fmt: off
_TABLES = {
    "log": "id integer key, size integer, last_time integer, sequence integer, frontier bytes",
    "leaf": (
        "idx integer key, kind text, at integer, authorisation bytes, request bytes, code text, leaf bytes, hash "
        "bytes, content bytes"
    ),
    "node": "level integer key, number integer key, hash bytes",
    "tile": "level integer key, number integer key, hashes bytes",
    "checkpoint": "size integer key, root bytes, note text, cosignatures text",
    "authorisation": (
        "id bytes key, version integer, state text, recipient text, provider text, data_set text, purpose text, "
        "scopes text, basis text, legal_reference text, notice_hash bytes, notice_version text, data_life_days "
        "integer, assurance_required text, assurance text, channel text, agent text, operator text, representation "
        "text, representative_ref bytes, not_before integer, not_after integer, uses integer, max_uses integer, "
        "subject_ref bytes, commitment bytes, person bytes, epoch integer, certificate bytes, certificate_hash "
        "bytes, grant_leaf integer, at integer, rule bytes, watch_every_ms integer"
    ),
    "release_key": (
        "authorisation bytes key, epoch integer key, certificate_hash bytes, kek_epoch integer, suite text, wrapped "
        "bytes, at integer"
    ),
    "subject_key": "subject bytes key, kek_epoch integer, wrapped bytes",
    "content_key": "authorisation bytes key, subject bytes, wrapped bytes",
    "attempt": (
        "request bytes key, authorisation bytes key, operator text key, digest bytes key, n integer key, scopes "
        "text, schema_hash bytes, rule_hash bytes, certificate_hash bytes, recipient_key bytes, deadline integer, "
        "at integer, worker text"
    ),
    "terminal": (
        "request bytes key, authorisation bytes key, operator text key, digest bytes, code text, reason text, "
        "provider_code text, answer_digest bytes, at integer, deadline integer, leaf_index integer, handed_at "
        "integer, confirmed_at integer null, with_key boolean null, topic text, partition integer, offset integer, "
        "worker text"
    ),
    "conflict": (
        "request bytes key, authorisation bytes key, operator text key, digest bytes key, at integer, confirmed_at "
        "integer null"
    ),
    "acknowledgement": "authorisation bytes key, state text key, body bytes",
    "outbox": "sequence integer key, authorisation bytes, version integer, state text, at integer",
    "habilitation": (
        "recipient text key, data_set text key, purpose text key, scopes text, legal_reference text, not_after "
        "integer"
    ),
    "delegation": "recipient text key, operator text key, not_after integer",
    "directory": "key_id bytes key, kind text, organisation text, operator text, at integer, entry bytes",
    "officer": "name text key, recipients text, not_after integer",
    "nonce": "nonce bytes key, at integer",
    "aside": "authorisation bytes key, happening text, at integer",
}

_INDEXES = {
    "leaf_by_authorisation": ("leaf", "authorisation, kind", False, "(kind <> 'released' OR length(request) = 0)"),
    "authorisation_by_agent": ("authorisation", "agent, at", False, "agent <> ''"),
    "authorisation_by_operator": ("authorisation", "operator, at", False, ""),
    "authorisation_by_processing": ("authorisation", "recipient, data_set, purpose, state, basis, data_life_days", False, ""),
    "authorisation_by_recipient": ("authorisation", "recipient, at", False, ""),
    "authorisation_by_representative": ("authorisation", "representative_ref", False, ""),
    "authorisation_by_subject": ("authorisation", "subject_ref", False, ""),
    "authorisation_by_time": ("authorisation", "at", False, ""),
    "release_key_by_kek_epoch": ("release_key", "kek_epoch", False, ""),
    "content_key_by_subject": ("content_key", "subject", False, ""),
    "attempt_by_authorisation": ("attempt", "authorisation", False, ""),
    "attempt_by_time": ("attempt", "at", False, ""),
    "terminal_by_authorisation": ("terminal", "authorisation", False, "code <> 'released'"),
    "terminal_by_time": ("terminal", "at", False, ""),
    "directory_by_organisation": ("directory", "organisation", False, ""),
}
# fmt: on
"""Name → table, columns, whether unique, and of which rows."""

_BY_KEY = ("tile", "subject_key", "content_key")
"""Kept in the order of their keys by SQLite (WITHOUT ROWID)."""


def upgrade() -> None:
    for name, columns in _TABLES.items():
        op.create_table(name, *map(_column, columns.split(", ")), sqlite_with_rowid=name not in _BY_KEY)
    for name, (table, columns, unique, rows) in _INDEXES.items():
        where = sa.text(rows) if rows else None
        op.create_index(name, table, columns.split(", "), unique=unique, sqlite_where=where, postgresql_where=where)


def _column(text: str) -> sa.Column[Any]:
    name, kind, *marks = text.split()
    return sa.Column(name, _TYPES[kind], primary_key="key" in marks, nullable="null" in marks, autoincrement=False)

"""The ledger's tables, for SQLite and PostgreSQL alike (SQLAlchemy Core). Ids and hashes are raw bytes, times ms since 1970 UTC."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    and_,
    literal_column,
    select,
    text,
)

metadata = MetaData()
_BIG = BigInteger().with_variant(Integer, "sqlite")


def _bytes(name: str, *, key: bool = False, null: bool = False) -> Column[bytes]:
    return Column(name, LargeBinary, primary_key=key, nullable=null)


def _int(name: str, *, key: bool = False, null: bool = False) -> Column[int]:
    return Column(name, _BIG, primary_key=key, nullable=null, autoincrement=False)


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String, primary_key=key, nullable=False)


log = Table(
    "log", metadata, _int("id", key=True), _int("size"), _int("last_time"), _int("sequence"), _bytes("frontier")
)

leaf = Table(
    "leaf", metadata, _int("idx", key=True), _text("kind"), _int("at"), _bytes("authorisation"), _bytes("request"),
    _text("code"), _bytes("leaf"), _bytes("hash"), _bytes("content"),
)  # fmt: skip
_sought = text("(kind <> 'released' OR length(request) = 0)")
"""A release is found by its row of `terminal`, unless that is lost: in an index by authorisation each would cost a page of its own."""
Index("leaf_by_authorisation", leaf.c.authorisation, leaf.c.kind, sqlite_where=_sought, postgresql_where=_sought)

asked = text("kind = 'queried'")
"""Leaves of what officers and agents asked: few of all, and told to who asked, newest first."""
Index("leaf_by_question", leaf.c.idx, sqlite_where=asked, postgresql_where=asked)


def about(authorisation: Any) -> ColumnElement[bool]:
    """The leaves of an authorisation (an id, or a column of ids), but for its releases."""
    return and_(leaf.c.authorisation == authorisation, _sought)


node = Table("node", metadata, _int("level", key=True), _int("number", key=True), _bytes("hash"))
"""Hashes of tiles above level 0, which is `leaf.hash`: one row for 256 of the level below, never changed."""

tile = Table(
    "tile", metadata, _int("level", key=True), _int("number", key=True), _bytes("hashes"), sqlite_with_rowid=False
)
"""The 256 hashes of each full tile together: a proof reads three of these, not the rows of 768 leaves and nodes."""

checkpoint = Table("checkpoint", metadata, _int("size", key=True), _bytes("root"), _text("note"), _text("cosignatures"))
"""Heads signed: the last one, the last cosigned one, and those not yet published."""

authorisation = Table(
    "authorisation", metadata, _bytes("id", key=True), _int("version"), _text("state"), _text("recipient"), _text("provider"),
    _text("data_set"), _text("purpose"), _text("scopes"), _text("basis"), _text("legal_reference"), _bytes("notice_hash"),
    _text("notice_version"), _int("data_life_days"), _text("assurance_required"), _text("assurance"), _text("channel"), _text("agent"),
    _text("operator"), _text("representation"), _bytes("representative_ref"), _int("not_before"), _int("not_after"), _int("uses"),
    _int("max_uses"), _bytes("subject_ref"), _bytes("commitment"), _bytes("person"), _int("epoch"), _bytes("certificate"),
    _bytes("certificate_hash"), _int("grant_leaf"), _int("at"), _bytes("rule"), _int("watch_every_ms"),
)  # fmt: skip
"""`rule` is the signed rule, empty for the data themselves; `at` is when it was last requested, given, refused or renewed; `operator` who collected that; `representative_ref` a pairwise
reference like `subject_ref`, empty where nobody spoke for the person."""
Index("authorisation_by_subject", authorisation.c.subject_ref)
Index("authorisation_by_recipient", authorisation.c.recipient, authorisation.c.at)
Index("authorisation_by_time", authorisation.c.at)
Index("authorisation_by_representative", authorisation.c.representative_ref)
Index("authorisation_by_operator", authorisation.c.operator, authorisation.c.at)
_assisted = text("agent <> ''")
Index(
    "authorisation_by_agent",
    authorisation.c.agent,
    authorisation.c.at,
    sqlite_where=_assisted,
    postgresql_where=_assisted,
)

_ending = text("state IN ('live', 'requested')")
Index("authorisation_by_end", authorisation.c.not_after, sqlite_where=_ending, postgresql_where=_ending)


def ended(now_ms: int) -> ColumnElement[bool]:
    """The authorisations, live or asked for, whose validity is over."""
    return and_(authorisation.c.not_after <= now_ms, _ending)


def by_agent(agent: Any) -> ColumnElement[bool]:
    """The authorisations an agent (a reference, or a column of them) recorded: few of all, most are given online by the person."""
    return and_(authorisation.c.agent == agent, _assisted)


_a = authorisation.c
Index("authorisation_by_processing", _a.recipient, _a.data_set, _a.purpose, _a.state, _a.basis, _a.data_life_days)
"""The register of processing reads nothing else: 11 times the speed at a million."""

release_key = Table(
    "release_key", metadata, _bytes("authorisation", key=True), _int("epoch", key=True), _bytes("certificate_hash"),
    _int("kek_epoch"), _text("suite"), _bytes("wrapped"), _int("at"),
)  # fmt: skip
"""`at` is when the key was made; `kek_epoch` names the KEK it lies under."""
Index("release_key_by_kek_epoch", release_key.c.kek_epoch)

subject_key = Table(
    "subject_key", metadata, _bytes("subject", key=True), _int("kek_epoch"), _bytes("wrapped"), sqlite_with_rowid=False
)
"""A person's key under a content KEK: it wraps the content keys of all they agreed to with one recipient."""

content_key = Table(
    "content_key",
    metadata,
    _bytes("authorisation", key=True),
    _bytes("subject"),
    _bytes("wrapped"),
    sqlite_with_rowid=False,
)
Index("content_key_by_subject", content_key.c.subject)

attempt = Table(
    "attempt", metadata, _bytes("request", key=True), _bytes("authorisation", key=True), _text("operator", key=True),
    _bytes("digest", key=True), _int("n", key=True), _text("scopes"), _bytes("schema_hash"), _bytes("rule_hash"),
    _bytes("certificate_hash"), _bytes("recipient_key"), _int("deadline"), _int("at"), _text("worker"),
)  # fmt: skip
Index("attempt_by_time", attempt.c.at)
Index("attempt_by_authorisation", attempt.c.authorisation)

terminal = Table(
    "terminal", metadata, _bytes("request", key=True), _bytes("authorisation", key=True), _text("operator", key=True),
    _bytes("digest"), _text("code"), _text("reason"), _text("provider_code"), _bytes("answer_digest"), _int("at"),
    _int("deadline"), _int("leaf_index"), _int("handed_at"), _int("confirmed_at", null=True),
    Column("with_key", Boolean, nullable=True), _text("topic"), _int("partition"), _int("offset"), _text("worker"),
)  # fmt: skip
"""`worker` are the processes that asked for the release, one a line: a breach query starts from them."""
_fated = text("code <> 'released'")
Index("terminal_by_authorisation", terminal.c.authorisation, sqlite_where=_fated, postgresql_where=_fated)
Index("terminal_by_time", terminal.c.at)


def releases(authorisation: Any) -> ColumnElement[bool]:
    """The released requests of an authorisation (an id, or a column of ids): found by their attempts, which each of them has. In the
    index by authorisation each would cost a page of its own, a quarter of what its rows cost."""
    c, n = terminal.c, attempt.c
    asked = select(n.request).where(n.authorisation == authorisation).correlate_except(attempt)
    return and_(c.authorisation == authorisation, c.code == "released", c.request.in_(asked))


def other_ends(authorisation: Any) -> ColumnElement[bool]:
    """Its other terminal rows."""
    return and_(terminal.c.authorisation == authorisation, terminal.c.code != literal_column("'released'"))


conflict = Table(
    "conflict", metadata, _bytes("request", key=True), _bytes("authorisation", key=True), _text("operator", key=True),
    _bytes("digest", key=True), _int("at"), _int("confirmed_at", null=True),
)  # fmt: skip

acknowledgement = Table(
    "acknowledgement", metadata, _bytes("authorisation", key=True), _text("state", key=True), _bytes("body")
)

outbox = Table(
    "outbox", metadata, _int("sequence", key=True), _bytes("authorisation"), _int("version"), _text("state"), _int("at")
)

habilitation = Table(
    "habilitation", metadata, _text("recipient", key=True), _text("data_set", key=True), _text("purpose", key=True),
    _text("scopes"), _text("legal_reference"), _int("not_after"),
)  # fmt: skip

waiting = Table(
    "waiting", metadata, _bytes("request", key=True), _bytes("authorisation", key=True), _text("operator", key=True),
    _bytes("digest"), _text("provider"), _bytes("tag"), _bytes("sealed_key"), _bytes("outer"), _text("topic"), _int("partition"),
    _int("offset"), _int("deadline"), Column("awaits", String, nullable=False, server_default="collectivity"),
)  # fmt: skip
"""Answers that wait, sealed as they came, for whom `awaits` says (`consent.core.facts.Awaits`). Without a tag: erased, its person having
said no."""
Index("waiting_by_authorisation", waiting.c.authorisation)

delegation = Table(
    "delegation",
    metadata,
    _text("recipient", key=True),
    _text("operator", key=True),
    _int("not_after"),
    _text("handover"),
)
Index("habilitation_by_end", habilitation.c.not_after)
Index("delegation_by_end", delegation.c.not_after)

directory = Table(
    "directory", metadata, _bytes("key_id", key=True), _text("kind"), _text("organisation"), _text("operator"), _int("at"),
    _bytes("entry"),
)  # fmt: skip
Index("directory_by_organisation", directory.c.organisation)

officer = Table("officer", metadata, _text("name", key=True), _text("recipients"), _int("not_after"))
"""Data protection officers and their perimeter: the recipients (SIRET) whose records they may query."""

nonce = Table("nonce", metadata, _bytes("nonce", key=True), _int("at"))
"""Nonces of identity tokens already used for a grant."""

short_code = Table("short_code", metadata, _bytes("digest", key=True), _bytes("authorisation"))
"""The SHA-256 of each code printed on a receipt: a copy of the store opens nothing."""

aside = Table("aside", metadata, _bytes("authorisation", key=True), _text("happening"), _int("at"))
"""Withdrawals recorded while the log is recovering, to be appended once it has caught up."""

unsettled = Table("unsettled", metadata, _bytes("authorisation", key=True))
"""Authorisations a sweep has to look at again: a retired key that lives on, or a withdrawal whose second leaf is still to come. Without
this list it would have to look at all there ever were."""

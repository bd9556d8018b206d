"""What both kinds of artefact lead to: names mapped to ours, reasons gathered, terms built."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec

from consent.core.facts import Channel, Terms
from exchange.core.decision import DataSet

USES_MAX = 10_000
"""More than that over a validity is no limit any more."""
DATA_LIFE_MAX_DAYS = 36_500
DAY_MS = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Objection(StrEnum):
    """Why a consent given elsewhere is not honoured here."""

    NOT_AN_ARTEFACT = "not_an_artefact"
    PROFILE_UNKNOWN = "profile_unknown"
    NOT_GIVEN = "not_given"
    BASIS_NOT_CONSENT = "basis_not_consent"
    EXPIRED = "expired"
    VALIDITY = "validity"
    RECIPIENT_UNKNOWN = "recipient_unknown"
    RECIPIENT_OTHER = "recipient_other"
    DATA_SET_UNKNOWN = "data_set_unknown"
    PURPOSE_UNKNOWN = "purpose_unknown"
    SCOPE_UNKNOWN = "scope_unknown"
    SCOPE_MISSING = "scope_missing"
    MODE = "mode"
    FREQUENCY = "frequency"
    USED_UP = "used_up"
    DATA_LIFE = "data_life"
    DATA_FILTER = "data_filter"
    DATA_RANGE = "data_range"
    ACCOUNTS = "accounts"
    NOTICE_MISSING = "notice_missing"
    REPRESENTED = "represented"
    ASSURANCE = "assurance"
    SIGNATURE_UNREADABLE = "signature_unreadable"


class Reason(NamedTuple):
    """An objection and the field of the artefact it is about."""

    code: Objection
    field: str


class Names(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names elsewhere → ours; a name that is not here stands for itself. A name may stand for several scopes."""

    purposes: dict[str, str] = {}
    data_sets: dict[str, str] = {}
    scopes: dict[str, list[str]] = {}
    recipients: dict[str, str] = {}


class Known(NamedTuple):
    """What an import is held against: the collectivity it is for (SIRET), its purposes, the catalogue, and the time."""

    recipient: str
    purposes: Collection[str]
    data_sets: Mapping[str, DataSet]
    now_ms: int


class Draft(NamedTuple):
    """One agreement to record. `signed`: the artefact carries a signature, which nobody here can check."""

    terms: Terms
    channel: Channel
    signed: bool


class Imported(NamedTuple):
    """`format` is empty where none is recognised; no draft where there is a reason against one."""

    format: str
    drafts: tuple[Draft, ...]
    reasons: tuple[Reason, ...]


class Reasons:
    """Gathers objections, each once."""

    def __init__(self) -> None:
        self.found: list[Reason] = []

    def against(self, code: Objection, field: str = "") -> None:
        if (reason := Reason(code, field)) not in self.found:
            self.found.append(reason)


class Part(NamedTuple):
    """What an artefact says of one data set and purpose, in our words."""

    data_set: str
    purpose: str
    scopes: tuple[str, ...]


class Bounds(NamedTuple):
    """How long, how often, and how long answers are kept."""

    not_before_ms: int
    not_after_ms: int
    max_uses: int
    data_life_days: int


def terms(part: Part, bounds: Bounds, known: Known, notice_hash: bytes = b"", notice_version: str = "") -> Terms:
    """Terms of a part; its data set is known."""
    return Terms(
        known.recipient, known.data_sets[part.data_set].provider, part.data_set, part.purpose, part.scopes, bounds.not_before_ms,
        bounds.not_after_ms, bounds.max_uses, notice_hash=notice_hash, notice_version=notice_version, data_life_days=bounds.data_life_days,
    )  # fmt: skip


def recipient(candidates: Iterable[str], names: Names, known: Known, field: str, reasons: Reasons) -> None:
    """Object unless one of these parties is the collectivity the import is for."""
    ours = [names.recipients.get(name, name.rpartition(":")[2]) for name in candidates]
    if not any(len(number) == 14 and number.isdigit() for number in ours):
        reasons.against(Objection.RECIPIENT_UNKNOWN, field)
    elif known.recipient not in ours:
        reasons.against(Objection.RECIPIENT_OTHER, field)


def purpose(candidates: Iterable[str], names: Names, known: Known, field: str, reasons: Reasons) -> str:
    """The first of an artefact's names for one purpose that is a purpose of ours; empty and an objection if none is."""
    mapped = (names.purposes.get(name, name) for name in candidates)
    if not (found := next((name for name in mapped if name in known.purposes), "")):
        reasons.against(Objection.PURPOSE_UNKNOWN, field)
    return found


def scopes(
    candidates: Iterable[Iterable[str]], among: Collection[str], names: Names, field: str, reasons: Reasons
) -> set[str]:
    """Which scopes `among` some these data stand for; each is given by all its names, one of which must stand for one at least."""
    found: set[str] = set()
    for alternatives in candidates:
        mapped = [set(names.scopes.get(name, [name])) & set(among) for name in alternatives]
        if not (ours := next((group for group in mapped if group), None)):
            reasons.against(Objection.SCOPE_UNKNOWN, field)
        else:
            found |= ours
    return found


def validity(start_ms: int | None, end_ms: int | None, known: Known, fields: tuple[str, str], reasons: Reasons) -> None:
    """Object to a period that is missing, reversed, or over."""
    for value, field in zip((start_ms, end_ms), fields, strict=True):
        if value is None:
            reasons.against(Objection.VALIDITY, field)
    if start_ms is None or end_ms is None:
        return
    if start_ms >= end_ms:
        reasons.against(Objection.VALIDITY, fields[1])
    elif end_ms <= known.now_ms:
        reasons.against(Objection.EXPIRED, fields[1])


def time_ms(value: object) -> int | None:
    """ISO 8601 (RFC 3339) as ms since 1970; without zone it is UTC. None for anything else, and before 1970."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        found = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    zoned = found if found.tzinfo else found.replace(tzinfo=UTC)
    ms = (zoned - _EPOCH) // timedelta(milliseconds=1)
    return ms if ms >= 0 else None


def whole(value: object, least: int, most: int) -> int | None:
    """A whole number within bounds; `True` is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most else None


def as_list(value: Any) -> list[Any]:
    """One or several, as several; nothing as none."""
    return value if isinstance(value, list) else [] if value is None else [value]

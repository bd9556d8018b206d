"""An agreement that an agent records for somebody: what is settled so far, which step comes next, and what is recorded in the end. Pure.

The person answers before saying who they are: who refuses is never named.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from consent.core.facts import Assurance, Channel, Evidence, Representation, Terms, Tokens
from exchange.core.errors import Code
from portal.core.language import Language
from portal.core.plain import Names, script

Step = Literal["lecture", "personne", "representant", "recapitulatif", "confirmation"]
Speaks = Literal["self", "parent", "mandate"]
CHANNELS: tuple[Channel, ...] = ("counter", "phone", "paper")
LIFE_DAYS: Mapping[Channel, int] = {"counter": 365, "paper": 365, "phone": 183}
"""How long an agreement is asked for: less where nobody was seen."""
USES = 100
"""Of a renewal, beside those already made."""
NOTICE = "guichet-1"
"""Version of the words read aloud (`portal.core.plain.script`)."""
EVIDENCE_MAX_BYTES = 1 << 20
_DAY_MS = 86_400_000
_HASH = re.compile(r"[0-9a-f]{64}")


class Draft(msgspec.Struct, frozen=True):
    """One agreement being collected, or being renewed. `asked`: its terms are those that the collectivity asked for under this id, or that
    are to be renewed; else they are made of `data_set`, `purpose` and `scopes`. `recipient` is the SIRET of whom the agent acts for, the person's. `person` and `speaker` are
    forms (`portal.core.person`), `evidence` and `mandate` SHA-256 in hexadecimal; `random` covers the agent's login for these terms."""

    id: str
    recipient: str
    at_ms: int
    channel: Channel
    language: Language = "fr"
    interpreted: bool = False
    speaks: Speaks = "self"
    act: Literal["give", "renew"] = "give"
    asked: bool = False
    data_set: str = ""
    purpose: str = ""
    scopes: tuple[str, ...] = ()
    agreed: bool = False
    person: dict[str, Any] = {}
    speaker: dict[str, Any] = {}
    level: Assurance = "eidas1"
    evidence: str = ""
    mandate: str = ""
    ready: bool = False
    random: str = ""

    @property
    def authorisation(self) -> bytes:
        return bytes.fromhex(self.id)


def steps(draft: Draft) -> tuple[Step, ...]:
    """The steps of this draft, in order."""
    if draft.act == "renew":
        return ("lecture", "recapitulatif", "confirmation")
    if draft.speaks == "self":
        return ("lecture", "personne", "recapitulatif", "confirmation")
    return ("lecture", "personne", "representant", "recapitulatif", "confirmation")


def next_step(draft: Draft, *, person: bool, speaker: bool) -> Step:
    """The first step that is not done; `person` and `speaker`: whether their forms designate somebody."""
    done: dict[Step, bool] = {
        "lecture": draft.agreed,
        "personne": person,
        "representant": speaker,
        "recapitulatif": draft.ready,
    }
    return next((step for step in steps(draft) if not done.get(step, False)), "confirmation")


def terms_of(draft: Draft, base: Terms, names: Names) -> Terms:
    """What is agreed to: `base` is what was asked for, what is held already, or the usual terms of the data set."""
    days = LIFE_DAYS[draft.channel]
    if draft.act == "renew":
        until_ms = draft.at_ms + days * _DAY_MS
        return msgspec.structs.replace(base, not_before_ms=draft.at_ms, not_after_ms=until_ms, max_uses=USES)
    if draft.asked:
        return msgspec.structs.replace(base, scopes=_kept(draft, base.scopes))
    whole = msgspec.structs.replace(base, not_before_ms=draft.at_ms, not_after_ms=draft.at_ms + days * _DAY_MS)
    given = msgspec.structs.replace(whole, scopes=_kept(draft, base.scopes))
    version = f"{NOTICE}-{draft.language}" + ("-interprete" if draft.interpreted else "")
    return msgspec.structs.replace(given, notice_hash=_heard(whole, names, draft.language), notice_version=version)


def _kept(draft: Draft, scopes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(scopes) & set(draft.scopes))) if draft.scopes else tuple(sorted(scopes))


def _heard(terms: Terms, names: Names, language: Language) -> bytes:
    """The hash of what was read aloud: of everything that was asked for, whatever part was given."""
    return hashlib.sha256("\n".join(script(terms, names, language)).encode()).digest()


def evidence_of(draft: Draft, agent: str, speaker: bytes = b"", tokens: Tokens | None = None) -> Evidence:
    """How it was collected. `speaker` is the canonical identity of who spoke for the person."""
    spoke = None
    if draft.speaks != "self" and speaker:
        kind: Literal["parent", "mandate"] = "parent" if draft.speaks == "parent" else "mandate"
        spoke = Representation(kind, speaker, bytes.fromhex(draft.mandate))
    return Evidence(draft.channel, agent, bytes.fromhex(draft.evidence), draft.level, spoke, tokens)


def missing(draft: Draft, required: Assurance) -> dict[str, Code]:
    """What the recap still lacks, by field."""
    found = {}
    if not draft.evidence:
        found["evidence"] = Code.EVIDENCE_MISSING
    if draft.level < required:
        found["level"] = Code.ASSURANCE_TOO_LOW
    if draft.speaks == "mandate" and draft.act == "give" and not draft.mandate:
        found["mandate"] = Code.REPRESENTATION_INVALID
    return found


def fingerprint(file: bytes, typed: str) -> str:
    """SHA-256, in hexadecimal, of a file that is kept elsewhere, or as it was typed; empty for neither, ValueError for what is none."""
    if file:
        return hashlib.sha256(file).hexdigest()
    text = "".join(typed.split()).lower()
    if text and not _HASH.fullmatch(text):
        raise ValueError("not a SHA-256")
    return text


def number(text: str) -> str:
    """The id of an agreement, as 32 hexadecimal digits, however it was copied; empty if it is none."""
    plain = "".join(c for c in text.lower() if c not in "- \u202f\u00a0\t")
    return plain if re.fullmatch(r"[0-9a-f]{32}", plain) else ""

"""What an agreement must hold to be recorded, and what may become of it: values only (protocol §6, §7)."""

from __future__ import annotations

from datetime import UTC, datetime

from consent.core.facts import Evidence, Representation, Terms
from exchange.core.encoding import digest, join, strings
from exchange.core.errors import Code
from exchange.core.identity import BadIdentity, Identity, read

ASSURANCES = ("eidas1", "eidas2", "eidas3")
ADULT_YEARS = 18


def reference_of(issuer: str, subject: str) -> str:
    """By what an agent or an officer is known here, 32 hexadecimal digits: a subject is its issuer's own (OpenID Connect Core 1.0 §2), so
    both count. It names nobody, and a display name, which anybody may share or change, plays no part."""
    return digest(b"accord.login.v1", issuer.encode(), subject.encode()).hex()[:32]


def objection(terms: Terms, evidence: Evidence, identity: bytes, now_ms: int) -> Code | None:
    """Why these terms, so collected, cannot be recorded; None if they can. `identity` is canonical, empty where nobody is known yet."""
    if terms.not_before_ms >= terms.not_after_ms or terms.max_uses < 1 or terms.data_life_days < 0:
        return Code.NOT_YET_VALID
    if terms.basis == "legal" and not (terms.legal_reference and terms.notice_hash and terms.notice_version):
        return Code.NOTICE_MISSING
    if ASSURANCES.index(evidence.assurance) < ASSURANCES.index(terms.assurance):
        return Code.ASSURANCE_TOO_LOW
    if evidence.channel != "online" and not (evidence.agent and evidence.evidence_hash):
        return Code.EVIDENCE_MISSING
    if evidence.representation is not None and not _represents(
        evidence.representation, identity, now_ms, online=evidence.channel == "online"
    ):
        return Code.REPRESENTATION_INVALID
    return None


def _represents(representation: Representation, identity: bytes, now_ms: int, *, online: bool) -> bool:
    """A parent speaks for a minor, a helper under a mandate that was kept; nobody represents themselves. Online, where nobody looks at
    a paper, the parent is of age, and the child's year of birth is known."""
    try:
        speaker = read(representation.identity)
        person = read(identity) if identity else None
    except BadIdentity:
        return False
    if representation.identity == identity:
        return False
    if representation.kind == "mandate":
        return bool(representation.evidence_hash)
    if online and (minor(speaker, now_ms) or (person is not None and person.date_naissance.startswith("0000"))):
        return False
    return person is None or minor(person, now_ms)


def minor(person: Identity, now_ms: int) -> bool:
    """Whether a person may still be under 18: an unknown day or month is the latest it may be, an unknown year leaves it open."""
    year, month, day = (int(part) for part in person.date_naissance.split("-"))
    today = datetime.fromtimestamp(now_ms / 1000, UTC)
    if not year:
        return True
    return (today.year, today.month, today.day) < (year + ADULT_YEARS, month or 12, day or 31)


def told_is_enough(terms: Terms, evidence: Evidence) -> bool:
    """Whether the recipient's word is all the evidence there has to be: the law is the basis, its text and notice are in the terms
    (protocol §7), and nobody is said to have been identified."""
    return terms.basis == "legal" and evidence.channel == "online" and evidence.assurance == ASSURANCES[0]


def fits(asked: Terms, given: Terms) -> bool:
    """Whether what is given is what was asked for, or less: fewer scopes, a shorter life, fewer uses; nothing else differs."""
    narrower = (
        set(given.scopes) <= set(asked.scopes)
        and asked.not_before_ms <= given.not_before_ms
        and given.not_after_ms <= asked.not_after_ms
        and given.max_uses <= asked.max_uses
        and given.data_life_days <= asked.data_life_days
        and ASSURANCES.index(given.assurance) >= ASSURANCES.index(asked.assurance)
        and _watched_less(asked, given)
    )
    return narrower and _kind(asked) == _kind(given)


def extends(held: Terms, renewed: Terms) -> bool:
    """Whether a renewal asks for nothing new but time and uses."""
    return (
        set(renewed.scopes) <= set(held.scopes)
        and _kind(held)[:6] == _kind(renewed)[:6]
        and _watched_less(held, renewed)
    )


def _watched_less(one: Terms, other: Terms) -> bool:
    """Whether `other` lets a change be looked for no more often than `one`; 0 is never."""
    return not other.watch_every_ms or 0 < one.watch_every_ms <= other.watch_every_ms


def _kind(terms: Terms) -> tuple[object, ...]:
    t = terms
    return (
        t.recipient,
        t.provider,
        t.data_set,
        t.purpose,
        t.rule,
        t.basis,
        t.legal_reference,
        t.notice_hash,
        t.notice_version,
    )


def terms_bytes(terms: Terms) -> bytes:
    """The one encoding of terms that an identity token's nonce covers (protocol §7)."""
    t = terms
    texts = (t.recipient, t.provider, t.data_set, t.purpose, t.basis, t.legal_reference, t.notice_version, t.assurance)
    numbers = (t.not_before_ms, t.not_after_ms, t.max_uses, t.data_life_days, t.watch_every_ms)
    scopes = strings(tuple(sorted(t.scopes)))
    return join(strings(texts), scopes, t.rule_hash, *(number.to_bytes(8, "big") for number in numbers))


def grant_nonce(terms: Terms, authorisation: bytes, random: bytes) -> str:
    """The `nonce` that binds a login to these terms: H("grant" ‖ terms ‖ notice hash ‖ A ‖ random), hexadecimal (protocol §7)."""
    return digest(b"grant", terms_bytes(terms), terms.notice_hash, authorisation, random).hex()

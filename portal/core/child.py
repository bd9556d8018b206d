"""A parent who answers online for their child: what they declare, and whom they may name. Pure."""

from __future__ import annotations

from hashlib import sha256

from consent.core.agreement import minor
from consent.core.facts import Evidence, Representation
from exchange.core.identity import Identity, canonical
from portal.core.language import Language, translator
from portal.core.person import Text

BOND = "enfant-1"
"""Version of the words declared (`bond`)."""
_NO_YEAR: Text = (
    "Donnez au moins l'année de naissance de l'enfant. Si elle n'est pas connue, adressez-vous au guichet.",
    "Give the child's year of birth at least. If it is not known, go to the counter.",
)
_OF_AGE: Text = (
    "Cette personne est majeure : elle seule peut répondre, en s'identifiant elle-même.",
    "This person is of age: they alone may answer, by logging in themselves.",
)


def bond(language: Language) -> str:
    """What the parent declares."""
    return translator(language)(
        "Je déclare exercer l'autorité parentale sur cet enfant mineur, et répondre en son nom.",
        "I declare that I hold parental authority over this child, who is a minor, and that I answer in their name.",
    )


def bond_hash(language: Language) -> bytes:
    """SHA-256 of the words and their version: what the agreement keeps of the declaration."""
    return sha256(f"{BOND}-{language}\n{bond(language)}".encode()).digest()


def unfit(child: Identity, now_ms: int) -> Text | None:
    """Why nobody answers for this person here; None where a parent may."""
    if child.date_naissance.startswith("0000"):
        return _NO_YEAR
    return None if minor(child, now_ms) else _OF_AGE


def spoken_for(evidence: Evidence, parent: bytes, language: Language) -> Evidence:
    """The evidence of the parent's login (canonical identity `parent`), with their declaration."""
    said = Representation("parent", parent, bond_hash(language))
    return Evidence(evidence.channel, assurance=evidence.assurance, representation=said, tokens=evidence.tokens)


def act(authorisation: bytes, child: Identity, language: Language) -> str:
    """What a login is made for: this agreement, this child, these words. Another child is another act."""
    named = sha256(canonical(child) + bond_hash(language)).hexdigest()
    return f"child:{authorisation.hex()}:{named}"

"""Is an answer about the person asked? The last guard against a wrong look-up (protocol §6, limits)."""

from __future__ import annotations

import unicodedata
from difflib import SequenceMatcher
from itertools import pairwise

from msgspec import UnsetType

from connectors.contract import Identity
from connectors.core.family import Family, Person

CLOSE = 0.7
"""Least ``difflib`` ratio of two given names held to be one: the State itself answers to phonetic variants."""

LIGATURES = str.maketrans({"Œ": "OE", "œ": "oe", "Æ": "AE", "æ": "ae"})


def is_about(family: Family, identity: Identity) -> bool:
    """Whether the person asked is among the allocataires.

    A family name must be equal, and either the first given name is close to one of the answer's, or the birth
    date agrees in all its known parts. One of the two may be wrong in the State's own file (its sandbox answers
    1978 to 1987), not both. An answer without allocataires, because the token lacks that scope, cannot be checked.
    """
    if isinstance(family.allocataires, UnsetType):
        return True
    return any(_same(person, identity) for person in family.allocataires)


def plain(name: object) -> str:
    """A name in its bare letters: no accent, upper case, no space, hyphen or apostrophe."""
    if not isinstance(name, str):
        return ""
    decomposed = unicodedata.normalize("NFKD", name.translate(LIGATURES))
    return "".join(char for char in decomposed.upper() if char.isalpha())


def _same(person: Person, identity: Identity) -> bool:
    asked = {plain(identity.nom_naissance), plain(identity.nom_usage)} - {""}
    if asked.isdisjoint({plain(person.nom_naissance), plain(person.nom_usage)}):
        return False
    return _given_name_close(person, identity) or _birth_agrees(person, identity)


def _given_name_close(person: Person, identity: Identity) -> bool:
    first = plain(identity.prenoms[0]) if identity.prenoms else ""
    if not first or not isinstance(person.prenoms, str):
        return False
    names = [plain(name) for name in person.prenoms.split()]
    compound = [left + right for left, right in pairwise(names)]
    return any(SequenceMatcher(None, first, name).ratio() >= CLOSE for name in names + compound)


def _birth_agrees(person: Person, identity: Identity) -> bool:
    """All parts known of the date asked; year alone proves too little, two spouses often share it."""
    if not isinstance(person.date_naissance, str):
        return False
    pairs = zip(identity.date_naissance.split("-"), person.date_naissance.split("-"), strict=False)
    known = [(asked, answered) for asked, answered in pairs if asked.strip("0")]
    return len(known) >= 2 and all(asked == answered for asked, answered in known)

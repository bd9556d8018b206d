"""Is an answer about the one asked? The last guard against a wrong look-up (protocol §6, limits)."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any

from connectors.contract import Identity
from connectors.core.call import values
from connectors.core.description import About, Person, Same
from connectors.core.documented import MISSING, pick, texts

CLOSE = 0.7
"""Least ``difflib`` ratio of two given names held to be one: the State itself answers to phonetic variants."""

LIGATURES = str.maketrans({"Œ": "OE", "œ": "oe", "Æ": "AE", "æ": "ae"})


def is_about(about: About, record: Mapping[str, Any], identity: Identity) -> bool:
    """Whether the one asked is among those the answer names.

    Of people, a family name must be equal, and either the first given name is close to one of the answer's, or the birth
    date agrees in all its known parts. One of the two may be wrong in the State's own file (its sandbox answers
    1978 to 1987), not both. An answer that names nobody, because its data set never does or the token lacks that scope,
    cannot be checked; nor can a name, where the one asked was designated by a number alone.
    """
    if about is None:
        return True
    if isinstance(about, Same):
        named = [text.casefold() for path in about.paths for text in texts(record, path)]
        return not named or any(asked.casefold() in named for asked in values(about.source, identity))
    if not identity.nom_naissance:
        return True
    if isinstance(about, tuple):
        named_people = [who for who in about if record.get(who.nom_naissance) or record.get(who.nom_usage)]
        return not named_people or any(_same(who, record, identity) for who in named_people)
    people = pick(record, about.at)
    if people is MISSING or people is None:
        return True
    return any(_same(about, person, identity) for person in (people if isinstance(people, list) else [people]))


def plain(name: object) -> str:
    """A name in its bare letters: no accent, upper case, no space, hyphen or apostrophe."""
    if not isinstance(name, str):
        return ""
    decomposed = unicodedata.normalize("NFKD", name.translate(LIGATURES))
    return "".join(char for char in decomposed.upper() if char.isalpha())


def _same(about: Person, person: Mapping[str, Any], identity: Identity) -> bool:
    asked = {plain(identity.nom_naissance), plain(identity.nom_usage)} - {""}
    if asked.isdisjoint({plain(person.get(about.nom_naissance)), plain(person.get(about.nom_usage))}):
        return False
    return _given_name_close(person.get(about.prenoms), identity) or _birth_agrees(
        person.get(about.date_naissance), identity
    )


def _given_name_close(answered: object, identity: Identity) -> bool:
    """``answered`` is one text, names apart by a space, or a list of texts."""
    first = plain(identity.prenoms[0]) if identity.prenoms else ""
    given = " ".join(answered) if isinstance(answered, list) else answered
    if not first or not isinstance(given, str):
        return False
    names = [plain(name) for name in given.split()]
    compound = [left + right for left, right in pairwise(names)]
    return any(SequenceMatcher(None, first, name).ratio() >= CLOSE for name in names + compound)


def _birth_agrees(answered: object, identity: Identity) -> bool:
    """All parts known of the date asked; year alone proves too little, two spouses often share it."""
    if not isinstance(answered, str):
        return False
    pairs = zip(identity.date_naissance.split("-"), answered.split("-"), strict=False)
    known = [(asked, said) for asked, said in pairs if asked.strip("0")]
    return len(known) >= 2 and all(asked == said for asked, said in known)

"""Finding a place of birth by its name, as of a date: nobody knows the code of their own town. Pure: the table is given."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from exchange.core.cog import FIRST, FRANCE, LAST, Cog, Nature, Place

FOUND_MAX = 12
_OVERSEAS = ("97", "98")


class Found(NamedTuple):
    """A place that may be meant: its code, name, département (or collectivity overseas; empty abroad), and the years between which the
    code meant it, empty where there is no bound."""

    code: str
    name: str
    departement: str
    since: str
    until: str


class Matches(NamedTuple):
    """What was found, the likeliest first; `more` where the name fits others too."""

    found: tuple[Found, ...]
    more: bool


class Gazetteer:
    """The dated table of places, ready to be searched by name."""

    def __init__(self, table: Cog) -> None:
        self.table = table
        self._names: dict[Nature, tuple[tuple[str, Place], ...]] = {
            "commune": tuple(_named(table.communes.values())),
            "pays": tuple(_named(table.countries.values())),
        }

    def communes(self, text: str, born: str) -> Matches:
        """Communes of that name, or of that code, that had it at a birth (YYYY-MM-DD, 00 for what is not known)."""
        return self._search("commune", text, born)

    def countries(self, text: str, born: str) -> Matches:
        """Countries but France that a birth may be recorded in."""
        return self._search("pays", text, born)

    def _search(self, nature: Nature, text: str, born: str) -> Matches:
        wanted = folded(text)
        known = self.table.commune if nature == "commune" else self.table.country
        ranked = [
            (rank, name, place)
            for name, place in self._names[nature]
            if (rank := _rank(wanted, name, place)) is not None
            and place.code != FRANCE
            and known(place.code, born)
            and _standing(place, born, nature)
        ]
        seen = dict.fromkeys(
            _found(place) for _, _, place in sorted(ranked, key=lambda each: (each[0], each[1], each[2]))
        )
        return Matches(tuple(seen)[:FOUND_MAX], len(seen) > FOUND_MAX)


def folded(text: str) -> str:
    """A name as it is compared: no accents, case or punctuation; `St` and `Ste` are spelt out."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().casefold()
    words = "".join(c if c.isalnum() else " " for c in plain).split()
    return " ".join({"st": "saint", "ste": "sainte"}.get(word, word) for word in words)


def _named(places: Iterable[tuple[Place, ...]]) -> Iterable[tuple[str, Place]]:
    return ((folded(place.name), place) for each in places for place in each)


def _rank(wanted: str, name: str, place: Place) -> int | None:
    """0 for the very name or code, 1 where it begins with what is sought, 2 where a word of it does; None elsewhere."""
    if not wanted:
        return None
    if wanted in (name, place.code.casefold()):
        return 0
    if name.startswith(wanted):
        return 1
    return 2 if f" {wanted}" in name else None


def _standing(place: Place, born: str, nature: Nature) -> bool:
    """Whether the code had this very name then; a country may have begun after the birth."""
    year, month, day = born.split("-")
    if year == "0000":
        return True
    latest = born if day != "00" else f"{year}-{month}-99" if month != "00" else f"{year}-99-99"
    earliest = f"{year}-{month}-{day}"
    return earliest <= place.end and (nature == "pays" or place.start <= latest)


def _found(place: Place) -> Found:
    abroad = place.nature == "pays"
    departement = "" if abroad else place.code[:3] if place.code.startswith(_OVERSEAS) else place.code[:2]
    return Found(
        place.code,
        place.name,
        departement,
        "" if place.start == FIRST else place.start[:4],
        "" if place.end == LAST else place.end[:4],
    )

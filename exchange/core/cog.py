"""INSEE's codes of communes and countries (code officiel géographique). A code means a place at a date: communes merge, countries
vanish, codes are used again. So nothing here answers for a code alone.

A commune must have had its code at the birth: that is what the State looks up by `anneeDateNaissance` (API Particulier). A country
must not have ended before the birth; one that began after it may stand, because the register names present countries for old births.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, NamedTuple

from exchange.core.identity import Identity

FRANCE = "99100"
FIRST, LAST = "0000-00-00", "9999-99-99"
_TABLE_STARTS = "1943-01-01"
_OVERSEAS = ("975", "977", "978", "98")
Nature = Literal["commune", "pays"]
COLUMNS = ("nature", "code", "debut", "fin", "libelle")
EXCERPT = ("extrait", "", "", "", "")


class BadReferential(ValueError):
    """Not a table of places; names the file or the line, and what is missing."""


class Place(NamedTuple):
    """A code from a day to another (YYYY-MM-DD, both included: on the day of a change either code is written)."""

    nature: Nature
    code: str
    start: str
    end: str
    name: str


class Cog(NamedTuple):
    """Every place a code has meant, by code."""

    communes: Mapping[str, tuple[Place, ...]]
    countries: Mapping[str, tuple[Place, ...]]
    partial: bool = False
    """An excerpt: what it does not hold is not judged."""

    @classmethod
    def of(cls, places: Iterable[Place], *, partial: bool = False) -> Cog:
        found: dict[str, dict[str, list[Place]]] = {"commune": {}, "pays": {}}
        for place in places:
            found[place.nature].setdefault(place.code, []).append(place)
        communes, countries = ({c: tuple(p) for c, p in kind.items()} for kind in found.values())
        return cls(communes, countries, partial)

    def commune(self, code: str, born: str) -> bool:
        """Whether a commune had this code at a birth of which day, month or year may be 00. Overseas collectivities, which have a file of
        their own, are not judged without it."""
        if code not in self.communes and (self.partial or code.startswith(_OVERSEAS)):
            return self.partial or not self._covers(code[:3])
        earliest, latest = _span(born)
        return any(place.start <= latest and earliest <= place.end for place in self.communes.get(code, ()))

    def country(self, code: str, born: str) -> bool:
        earliest, _ = _span(born)
        if self.partial and code not in self.countries:
            return True
        return any(earliest <= place.end for place in self.countries.get(code, ()))

    def departement(self, code: str, born: str) -> bool:
        """Whether some commune of this département had its code at that birth."""
        if self.partial or (code.startswith(_OVERSEAS) and not self._covers(code)):
            return True
        return len(code) >= 2 and any(self.commune(known, born) for known in self.communes if known.startswith(code))

    def _covers(self, prefix: str) -> bool:
        return any(known.startswith(prefix) for known in self.communes)


def check(identity: Identity, cog: Cog) -> list[str]:
    """The fields of an identity that name no place as of the birth, in order; never their values. What was not given is not judged."""
    born, problems = identity.date_naissance, []
    for field, known in (
        ("code_cog_insee_pays_naissance", cog.country),
        ("code_cog_insee_commune_naissance", cog.commune),
        ("code_cog_insee_departement_naissance", cog.departement),
    ):
        code = getattr(identity, field)
        if code and not known(code, born):
            problems.append(field)
    abroad = identity.code_cog_insee_pays_naissance not in ("", FRANCE)
    if abroad and identity.code_cog_insee_commune_naissance and "code_cog_insee_commune_naissance" not in problems:
        problems.append("code_cog_insee_commune_naissance")
    return problems


def _span(born: str) -> tuple[str, str]:
    """The first and the last day a birth may have been on."""
    year, month, day = born.split("-")
    if year == "0000":
        return FIRST, LAST
    if month == "00":
        return f"{year}-00-00", f"{year}-99-99"
    return (f"{year}-{month}-00", f"{year}-{month}-99") if day == "00" else (born, born)


# INSEE's files, and our table made of them


def official(
    lines: Iterable[str], nature: Nature, columns: tuple[str, str], only: tuple[str, str] = ("", "")
) -> Iterator[Place]:
    """The places of one of INSEE's CSV files; `columns` name code and label, `only` a column and the value it must have. A file without
    dates holds for ever. BadReferential if a column or a date is not there."""
    reader = csv.DictReader(lines)
    needed = {*columns, *filter(None, only[:1])}
    if not needed <= set(reader.fieldnames or ()):
        raise BadReferential(", ".join(sorted(needed)))
    for row in reader:
        if not only[0] or row[only[0]] == only[1]:
            code, name = row[columns[0]] or "", row[columns[1]] or ""
            start, end = _date(row.get("DATE_DEBUT"), FIRST), _date(row.get("DATE_FIN"), LAST)
            if not 2 <= len(code) <= 5:
                raise BadReferential(f"{reader.line_num}: {columns[0]}")
            yield Place(nature, code, FIRST if start <= _TABLE_STARTS else start, end, name)


def etalab(history: Iterable[Mapping[str, str]], present: Iterable[Mapping[str, str]]) -> Iterator[Place]:
    """The communes of Etalab's « découpage administratif » (`historique-communes.json`, `communes.json`), itself made of INSEE's files: those
    that were communes in their own right, with their dates; arrondissements, and communes overseas, have no history there. BadReferential
    if it has another shape."""
    try:
        for row in history:
            if row["type"] == "COM":
                start, end = _date(row.get("dateDebut"), FIRST), _date(row.get("dateFin"), LAST)
                yield Place("commune", row["code"], start, end, row["nom"])
        for row in present:
            overseas = row["type"] == "commune-actuelle" and row["code"].startswith(_OVERSEAS)
            if overseas or row["type"] == "arrondissement-municipal":
                yield Place("commune", row["code"], FIRST, LAST, row["nom"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BadReferential(type(error).__name__) from None


def _date(text: str | None, absent: str) -> str:
    if not text:
        return absent
    parts = text.split("-")
    if [len(p) for p in parts] != [4, 2, 2] or not all(p.isascii() and p.isdigit() for p in parts):
        raise BadReferential("DATE_DEBUT, DATE_FIN")
    return text


def rows(places: Iterable[Place], *, partial: bool = False) -> Iterator[tuple[str, ...]]:
    """Our table, header first, then the line that says it is an excerpt, where it is one; in one order whatever the order of the files."""
    yield COLUMNS
    if partial:
        yield EXCERPT
    yield from sorted(set(places))


def read(lines: Iterable[str]) -> Cog:
    """Our table; BadReferential if it is not one, or holds no commune or no country."""
    reader = csv.reader(lines)
    try:
        if tuple(next(reader, ())) != COLUMNS:
            raise BadReferential(",".join(COLUMNS))
        first = next(reader, [])
        partial = tuple(first) == EXCERPT
        rest = ([] if partial or not first else [_place(first, 2)]) + [_place(row, reader.line_num) for row in reader]
        cog = Cog.of(rest, partial=partial)
    except csv.Error:
        raise BadReferential("csv") from None
    if not cog.communes or not cog.countries:
        raise BadReferential("commune, pays")
    return cog


def _place(row: list[str], line: int) -> Place:
    match row:
        case ["commune" | "pays" as nature, str(code), str(start), str(end), str(name)] if len(start) == len(end) == 10:
            return Place(nature, code, start, end, name)
    raise BadReferential(str(line))

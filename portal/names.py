"""How the parties of an agreement are called, and where people are born: what the spaces read of the data directory."""

from __future__ import annotations

from pathlib import Path

from consent.core.facts import Terms
from consent.receipts import ORGANISATIONS, PARTIES, read_parties, words_of
from exchange.core.cog import BadReferential
from exchange.core.errors import Code
from exchange.places import Places
from exchange.referentials import TABLE, load
from portal.core.gazetteer import Gazetteer
from portal.core.plain import Names, siret
from portal.web.pages import Problem


def party(places: Places, number: str) -> tuple[str, str, str]:
    """Name, address and contact of an organisation (SIRET, SIREN or provider); its number for a name where nothing says it."""
    found = {**PARTIES, **read_parties(places.root / ORGANISATIONS)}.get(number)
    name = found.name if found and found.name else siret(number) if number.isdigit() else number.upper()
    return name, found.address if found else "", found.contact if found else ""


def names_of(places: Places, terms: Terms) -> Names:
    """Of the parties and the data of some terms."""
    return Names(party(places, terms.recipient)[0], party(places, terms.provider)[0], words_of(terms.data_set)[1])


class Atlas:
    """The gazetteer of a data directory, read again once its table has changed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen: float | None = None
        self._held: Gazetteer | None = None

    def __call__(self) -> Gazetteer | None:
        """None where there is no table; the problem says so where it cannot be read."""
        path = self._root / TABLE
        stamp = path.stat().st_mtime if path.exists() else None
        if stamp != self._seen:
            try:
                table = load(self._root)
            except BadReferential:
                raise Problem(Code.BAD_REFERENTIAL, 503) from None
            self._held, self._seen = Gazetteer(table) if table else None, stamp
        return self._held

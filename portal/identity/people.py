"""Fictitious people who may log in at the identity sandbox: the families of the State API's sandbox, cases at the edge of what an identity
may be, and public agents."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from connectors.core.cases import Case
from exchange.core.identity import BadIdentity, Identity

_FILE = Path(__file__).with_name("people.json")
_SEX = {"M": "male", "F": "female"}


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Somebody to log in as: what they are an example of, in French and English, and the claims their login gives."""

    id: str
    fr: str
    en: str
    claims: dict[str, str]

    @property
    def name(self) -> str:
        named = (self.claims.get(part, "") for part in ("given_name", "family_name", "usual_name"))
        return " ".join(part for part in named if part)


class People(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everybody the sandbox knows."""

    citizens: tuple[Person, ...]
    agents: tuple[Person, ...]


def people(cases: Iterable[Case]) -> People:
    """The people of the file, after those whom these cases of the State API's sandbox are about: one for each whole pivot identity."""
    known = msgspec.json.decode(_FILE.read_bytes(), type=People)
    found: dict[Identity, Person] = {}
    for case in cases:
        who = _asked(case)
        if who is not None and who not in found:
            words = case.description or case.name
            found[who] = Person(f"case-{len(found) + 1}", words, words, _pivot(who))
    return People((*found.values(), *known.citizens), known.agents)


def _asked(case: Case) -> Identity | None:
    """The person a case asks about, as FranceConnect would know them; None where the case does not say enough."""
    try:
        who = Identity.from_wire({name: value for name, value in case.wire.items() if name in _DESIGNATES})
    except (BadIdentity, ValueError, TypeError):
        return None
    placed = who.code_cog_insee_pays_naissance and not who.nom_commune_naissance
    whole = who.nom_naissance and who.prenoms and not who.date_naissance.startswith("0000") and who.sexe_etat_civil
    return who if whole and placed else None


_DESIGNATES = frozenset(
    [
        "nomNaissance",
        "prenoms",
        "anneeDateNaissance",
        "moisDateNaissance",
        "jourDateNaissance",
        "sexeEtatCivil",
        "codeCogInseePaysNaissance",
        "codeCogInseeCommuneNaissance",
        "nomCommuneNaissance",
    ]
)


def _pivot(who: Identity) -> dict[str, str]:
    return {
        "family_name": who.nom_naissance, "given_name": " ".join(who.prenoms), "birthdate": who.date_naissance,
        "gender": _SEX[who.sexe_etat_civil], "birthplace": who.code_cog_insee_commune_naissance,
        "birthcountry": who.code_cog_insee_pays_naissance,
    }  # fmt: skip

"""The form of a person: what an agent or an officer types of somebody's identity, what is wrong with it, field by field, and the
identity it designates. Pure: fields and the table of places in, values out."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from exchange.core.cog import FRANCE, check
from exchange.core.identity import BadIdentity, Identity
from exchange.core.rendering import paris
from portal.core.gazetteer import Gazetteer, Matches

Text = tuple[str, str]
"""In French and in English."""

FIELDS = (
    "nom_naissance", "nom_usage", "prenoms", "jour", "mois", "annee", "sexe", "ne_en", "lieu", "code", "numero_fiscal", "ine",
    "identifiant_france_travail",
)  # fmt: skip
ABROAD = "etranger"
_UNKNOWN = "inconnu"
_CODE = re.compile(r"\d[0-9AB]\d{3}", re.ASCII)
_NAME_OR_FIRST: Text = (
    "Donnez un nom ou un prénom. Une personne peut n'avoir que l'un des deux.",
    "Give a name or a first name. A person may have one of them only.",
)
_MENDS: dict[str, tuple[str, Text]] = {
    "nom_naissance": ("nom_naissance", ("200 caractères au plus.", "200 characters at most.")),
    "nom_usage": ("nom_usage", ("200 caractères au plus.", "200 characters at most.")),
    "prenoms": ("prenoms", ("200 caractères au plus.", "200 characters at most.")),
    "sexe_etat_civil": ("sexe", ("Choisissez une réponse.", "Choose an answer.")),
    "numero_fiscal": ("numero_fiscal", ("13 chiffres, sans espace : en haut de l'avis d'impôt.", "13 digits: at the top of a tax notice.")),
    "ine": ("ine", ("11 lettres et chiffres : sur la carte d'étudiant.", "11 letters and digits: on the student card.")),
    "identifiant_france_travail": ("identifiant_france_travail", ("200 caractères au plus.", "200 characters at most.")),
    "code_cog_insee_commune_naissance": ("lieu", (
        "Ce lieu n'était pas une commune à la date de naissance. Vérifiez la date, ou cherchez la commune de l'époque.",
        "This place was no commune at the date of birth. Check the date, or search for the commune of the time.")),
    "code_cog_insee_pays_naissance": ("lieu", (
        "Ce pays n'existait plus à la date de naissance. Vérifiez la date, ou cherchez le pays d'aujourd'hui.",
        "This country had ended at the date of birth. Check the date, or search for today's country.")),
}  # fmt: skip
"""Of a field of an identity that will not do: the field of the form, and how to mend it."""


@dataclass(frozen=True)
class Typed:
    """What was typed, by field of `FIELDS`, and whether it was sent for good: only then is anything wrong with it."""

    fields: Mapping[str, str]
    sent: bool = False

    def __getitem__(self, name: str) -> str:
        return self.fields.get(name, "")

    def joined(self, form: Mapping[str, str], *, sent: bool) -> Typed:
        """After another form came in. A place chosen for another name or date than those typed now is chosen no more."""
        now = {name: " ".join(form.get(name, "").split())[:300] for name in FIELDS}
        moved = any(now[name] != self[name] for name in ("ne_en", "lieu", "jour", "mois", "annee"))
        return Typed(now | ({"code": ""} if moved and now["code"] == self["code"] else {}), sent)


@dataclass(frozen=True)
class Read:
    """What a form comes to: the identity, None where something is wrong; what is wrong, by field; the places that may be meant."""

    identity: Identity | None
    problems: Mapping[str, Text]
    places: Matches


def read(typed: Typed, gazetteer: Gazetteer | None, now_ms: int) -> Read:
    """The identity that was typed. Without a gazetteer, or where its table does not hold the place, the code is typed itself, and not
    judged."""
    born, problems = _born(typed, now_ms)
    abroad = typed["ne_en"] == ABROAD
    places = _places(typed, gazetteer, born, abroad=abroad)
    code = typed["code"] or _only(places) or _code_typed(typed, gazetteer, places)
    if not typed["nom_naissance"] and not typed["prenoms"]:
        problems["nom_naissance"] = _NAME_OR_FIRST
    if typed["sexe"] not in ("F", "M", _UNKNOWN):
        problems["sexe"] = _MENDS["sexe_etat_civil"][1]
    if not code and (typed["lieu"] or not abroad):
        problems["lieu"] = _place_problem(typed, places)
    if problems:
        return Read(None, problems, places)
    try:
        identity = _identity(typed, born, code, abroad=abroad)
    except BadIdentity as error:
        field, text = _MENDS.get(str(error), ("nom_naissance", _NAME_OR_FIRST))
        return Read(None, {field: text}, places)
    wrong = check(identity, gazetteer.table) if gazetteer else []
    if wrong:
        field, text = _MENDS.get(wrong[0], _MENDS["code_cog_insee_commune_naissance"])
        return Read(None, {field: text}, places)
    return Read(identity, {}, places)


def _identity(typed: Typed, born: str, code: str, *, abroad: bool) -> Identity:
    """Who was born in France was born in 99100; who was born abroad, in a country."""
    return Identity(
        typed["nom_naissance"],
        typed["nom_usage"],
        tuple(typed["prenoms"].replace(",", " ").split()),
        born,
        typed["sexe"] if typed["sexe"] != _UNKNOWN else "",
        code if abroad else FRANCE,
        "" if abroad else code,
        numero_fiscal=typed["numero_fiscal"].replace(" ", ""),
        ine=typed["ine"].replace(" ", ""),
        identifiant_france_travail=typed["identifiant_france_travail"].replace(" ", ""),
    )


def _places(typed: Typed, gazetteer: Gazetteer | None, born: str, *, abroad: bool) -> Matches:
    if gazetteer is None or not typed["lieu"]:
        return Matches((), more=False)
    return gazetteer.countries(typed["lieu"], born) if abroad else gazetteer.communes(typed["lieu"], born)


def _only(places: Matches) -> str:
    return places.found[0].code if len(places.found) == 1 and not places.more else ""


def _code_typed(typed: Typed, gazetteer: Gazetteer | None, places: Matches) -> str:
    """What was typed as a code: anything without a table, five characters beside a table that is not whole."""
    text = typed["lieu"].upper()
    if gazetteer is None:
        return text
    return text if gazetteer.table.partial and not places.found and _CODE.fullmatch(text) else ""


def _place_problem(typed: Typed, places: Matches) -> Text:
    if not typed["lieu"]:
        return ("Cherchez la commune de naissance.", "Search for the commune of birth.")
    if places.found:
        return ("Plusieurs lieux portent ce nom : choisissez.", "Several places bear this name: choose.")
    return (
        "Aucun lieu de ce nom à la date de naissance. Vérifiez le nom et la date ; une commune a pu en absorber une autre.",
        "No place of that name at the date of birth. Check the name and the date; communes may have merged.",
    )


def _born(typed: Typed, now_ms: int) -> tuple[str, dict[str, Text]]:
    """YYYY-MM-DD with 00 for what is not known, and what is wrong with it."""
    limits = (("annee", 4, 9999), ("mois", 2, 12), ("jour", 2, 31))
    parts = []
    for name, width, most in limits:
        value = typed[name] or "0"
        if not (value.isascii() and value.isdigit() and int(value[:9]) <= most):
            return "0000-00-00", {"jour": ("Des chiffres : jour, mois, année.", "Digits: day, month, year.")}
        parts.append(value[-width:].zfill(width) if len(value) > width else value.zfill(width))
    year, month, day = (int(part) for part in parts)
    born = "-".join(parts)
    if (day and not month) or (month and not year):
        return born, {"jour": (
            "Un jour sans mois, ou un mois sans année, ne veut rien dire : laissez vide ce qui n'est pas connu.",
            "A day without a month, or a month without a year, means nothing: leave empty what is not known.")}  # fmt: skip
    if day and day > calendar.monthrange(year or 2000, month)[1]:
        return born, {"jour": ("Ce mois n'a pas autant de jours.", "That month has fewer days.")}
    if year and (year < 1890 or date(year, month or 1, day or 1) > paris(now_ms).date()):
        return born, {"jour": ("Vérifiez l'année sur quatre chiffres, et que la date est passée.", "Check the year, in four digits, and that the date is past.")}  # fmt: skip
    return born, {}


def shown(typed: Typed, gazetteer: Gazetteer | None, now_ms: int) -> dict[str, Any]:
    """What a page shows of a form: what was typed, what is wrong once it was sent, and the places to choose from once one was sought."""
    found = read(typed, gazetteer, now_ms)
    asked = bool(typed["lieu"])
    problems = (
        found.problems
        if typed.sent
        else {name: found.problems[name] for name in ("lieu",) if asked and name in found.problems}
    )
    return {
        "typed": {name: typed[name] for name in FIELDS},
        "problems": {name: list(text) for name, text in problems.items()},
        "places": [place._asdict() for place in found.places.found],
        "more_places": found.places.more,
        "has_table": gazetteer is not None,
        "partial": gazetteer is not None and gazetteer.table.partial,
    }


def lines(identity: Identity, typed: Typed, gazetteer: Gazetteer | None) -> list[tuple[str, str, str]]:
    """An identity as it is read back: French label, English label, value. What was not given is not listed."""
    code = identity.code_cog_insee_commune_naissance or identity.code_cog_insee_pays_naissance
    named = [
        ("Nom de naissance", "Birth name", identity.nom_naissance),
        ("Nom d'usage", "Usage name", identity.nom_usage),
        ("Prénoms", "First names", " ".join(identity.prenoms)),
        ("Date de naissance", "Date of birth", _date(identity.date_naissance)),
        ("Sexe à l'état civil", "Sex in the civil register", identity.sexe_etat_civil),
        ("Lieu de naissance", "Place of birth", _place(typed, gazetteer, identity.date_naissance, code)),
        ("Numéro fiscal", "Tax number", identity.numero_fiscal),
        ("INE", "INE", identity.ine),
        ("Identifiant France Travail", "France Travail number", identity.identifiant_france_travail),
    ]
    return [(fr, en, value) for fr, en, value in named if value]


def _date(born: str) -> str:
    """JJ/MM/AAAA, question marks for what is not known."""
    year, month, day = born.split("-")
    return "/".join("?" * len(part) if not int(part) else part for part in (day, month, year))


def _place(typed: Typed, gazetteer: Gazetteer | None, born: str, code: str) -> str:
    found = _places(typed, gazetteer, born, abroad=typed["ne_en"] == ABROAD)
    name = next((place.name for place in found.found if place.code == code), "")
    return f"{name} ({code})" if name else code


def of(held: Mapping[str, Any] | None) -> Typed:
    """A form as a session keeps it; an empty one for None."""
    found = held or {}
    return Typed(dict(found.get("fields", {})), bool(found.get("sent", False)))


def kept(typed: Typed) -> dict[str, Any]:
    """What a session keeps of a form."""
    return {"fields": dict(typed.fields), "sent": typed.sent}

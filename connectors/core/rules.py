"""The sandbox's own refusals, by API Particulier's contract: who may call, how often, with which parameters.

Source of codes and words: ``siade/config/errors.yml``; of the checks: ``siade/app/interactors/cnav/validate_*.rb``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from stdnum.fr import siren, siret

COMMUNE = re.compile(r"([013-9]\d|2[AB1-9])\d{3}", re.ASCII)
COUNTRY = re.compile(r"99\d{3}", re.ASCII)
DEPARTEMENT = re.compile(r"\d{2,3}|2[AB]", re.ASCII)
NUMBER = re.compile(r"\d{1,4}", re.ASCII)

UNREADABLE = "Entité non traitable"


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer: HTTP status, the State's 5-character code and its words."""

    status: int
    code: str
    title: str
    detail: str
    parameter: str = ""
    provider: str = ""

    @property
    def body(self) -> bytes:
        """``{"errors": [{code, title, detail, source, meta}]}`` as UTF-8 JSON."""
        source = {"parameter": self.parameter} if self.parameter else None
        meta = {"provider": self.provider} if self.provider else {}
        item = {"code": self.code, "title": self.title, "detail": self.detail, "source": source, "meta": meta}
        return json.dumps({"errors": [item]}, ensure_ascii=False).encode()


NO_TOKEN = Refusal(401, "00101", "Interdit", "Votre token n'est pas valide ou n'est pas renseigné", "token")
CONFLICT = Refusal(
    409, "00015", "Conflit", "Une requête associée à votre jeton est déjà en cours de traitement pour ces paramètres."
)
TOO_MANY = Refusal(429, "00429", "Trop de requêtes", "Vous avez effectué trop de requêtes")
TIMED_OUT = Refusal(
    504, "37002", "Intermédiaire hors-délai", "Temps d’attente d’une réponse du fournisseur écoulé.", provider="CNAV"
)
NOT_FOUND = Refusal(
    404,
    "35003",
    "Allocataire non référencé",
    "L'allocataire n'est pas référencé auprès des caisses éligibles",
    provider="CNAF & MSA",
)
NOT_FOUND_AT = {
    "cnous": Refusal(
        404, "26003", "Entité non trouvée", "Aucun étudiant boursier n'a pu être trouvé.", provider="CNOUS"
    ),
    "france_travail": Refusal(
        404, "24003", "Entité non trouvée", "Aucune situation n'a pu être trouvée.", provider="France Travail"
    ),
    "insee": Refusal(404, "01003", "Entité non trouvée", "L'identifiant indiqué n'existe pas.", provider="INSEE"),
    "dgfip": Refusal(
        404, "03003", "Entité non trouvée", "L'identifiant indiqué n'est pas connu.", provider="DGFIP - Adélie"
    ),
    "urssaf": Refusal(
        404, "04003", "Entité non trouvée", "Le siret ou siren indiqué n'est pas connu.", provider="ACOSS"
    ),
}
"""By the word its route has; ``NOT_FOUND`` elsewhere (CNAF and MSA)."""
ABSENT = tuple(
    Refusal(
        404,
        code,
        f"Dossier allocataire absent {fund}",
        f"Le dossier allocataire n'a pas été trouvé auprès de la {fund}.",
        provider=fund,
    )
    for code, fund in (("37003", "CNAV"), ("23003", "CNAF"), ("10003", "MSA"))
)
UNKNOWN_ANSWER = Refusal(
    502,
    "37999",
    "Erreur inconnue du fournisseur de données",
    "La réponse retournée par le fournisseur de données est invalide et inconnue de notre service. L'équipe technique a "
    "été notifiée de cette erreur pour investigation.",
    provider="CNAV",
)
UNAVAILABLE = Refusal(
    504,
    "37001",
    "Service non disponible",
    "Service du fournisseur de données temporairement indisponible ou en maintenance.",
    provider="CNAV",
)
CONTEXT_MISSING = Refusal(422, "00201", UNREADABLE, "Le paramètre context est obligatoire", "context")
OBJECT_MISSING = Refusal(422, "00202", UNREADABLE, "Le paramètre object est obligatoire", "object")
SELF = Refusal(422, "00211", UNREADABLE, "Le paramètre recipient est identique à l'entreprise appelée", "recipient")
SIREN_INVALID = Refusal(422, "00301", UNREADABLE, "Le numéro de siren n'est pas correctement formatté", "siren")
SIRET_INVALID = Refusal(422, "00302", UNREADABLE, "Le numéro de siret n'est pas correctement formatté", "siret")
RECIPIENT_MISSING = Refusal(422, "00203", UNREADABLE, "Le paramètre recipient est obligatoire", "recipient")
RECIPIENT_INVALID = Refusal(422, "00210", UNREADABLE, "Le paramètre recipient n'est pas un siret valide", "recipient")
NAME = Refusal(422, "00361", UNREADABLE, "Le nom de famille est manquant")
GIVEN_NAMES = Refusal(422, "00367", UNREADABLE, "Le ou les prénoms sont manquants.")
BIRTH_DATE = Refusal(422, "00363", UNREADABLE, "La date de naissance n'est pas correctement formatée")
SEX = Refusal(422, "00427", UNREADABLE, "Le sexe de l'état civil est manquant")
BIRTH_COUNTRY = Refusal(422, "00400", UNREADABLE, "Le code pays INSEE n'est pas correctement formaté")
BIRTH_PLACE = Refusal(422, "00365", UNREADABLE, "Le lieu de naissance n'est pas correctement formaté")
BIRTH_DEPARTEMENT = Refusal(
    422, "00428", UNREADABLE, "Le code cog du département de naissance est manquant ou invalide"
)
YEAR = Refusal(422, "00353", UNREADABLE, "L'année demandée n'est pas correctement formatée ou est dans le futur.")
YEAR_TOO_OLD = Refusal(422, "00356", UNREADABLE, "L'année demandée doit être l'année en cours (N), N-1 ou N-2.")
MONTH = Refusal(422, "00354", UNREADABLE, "Le mois demandé est incorrect ou est dans le futur.")

UNIDENTIFIED = Refusal(
    422,
    "00355",
    "Impossible d'identifier l'allocataire",
    "Les paramètres fournis ne permettent pas d'identifier un allocataire.",
)
REFUSALS = (NOT_FOUND, *NOT_FOUND_AT.values(), *ABSENT, UNIDENTIFIED, TIMED_OUT, UNAVAILABLE, UNKNOWN_ANSWER)
"""What the State says of an absence, a refusal or a failure, in its words (OpenAPI, examples)."""


def check_recipient(recipient: str) -> Refusal | None:
    """The SIRET of the public body that will use the data: required, with a valid key."""
    if not recipient:
        return RECIPIENT_MISSING
    return None if recipient.isascii() and recipient.isdigit() and siret.is_valid(recipient) else RECIPIENT_INVALID


def not_found(route: str) -> Refusal:
    """Nobody of that name, or no such company, in the words of the provider a route belongs to."""
    return next((refusal for word, refusal in NOT_FOUND_AT.items() if f"/{word}/" in route), NOT_FOUND)


def check_request(values: Mapping[str, str]) -> Refusal | None:
    """What API Entreprise wants beside a company: a context, an object, and a recipient that is not the company."""
    if not values.get("context"):
        return CONTEXT_MISSING
    if not values.get("object"):
        return OBJECT_MISSING
    company = values.get("siret") or values.get("siren", "")
    return SELF if values.get("recipient", "").startswith(company) else None


def check_company(values: Mapping[str, str]) -> Refusal | None:
    """The company's number: its digits and its key."""
    if "siret" in values:
        return None if siret.is_valid(values["siret"]) else SIRET_INVALID
    return None if siren.is_valid(values.get("siren", "")) else SIREN_INVALID


def check_identity(query: Sequence[tuple[str, str]], today: date) -> Refusal | None:
    """The first fault of an ``/identite`` query of the CNAV routes, or ``None``."""
    values = dict(query)
    prenoms = [value for name, value in query if name == "prenoms[]"]
    if not values.get("nomNaissance"):
        return NAME
    if not 1 <= len(prenoms) <= 3 or not all(prenoms):
        return GIVEN_NAMES
    if not _is_birth_date(values, today):
        return BIRTH_DATE
    if values.get("sexeEtatCivil", "").upper() not in ("M", "F"):
        return SEX
    return _check_place(values) or check_period(values, today)


def _is_birth_date(values: Mapping[str, str], today: date) -> bool:
    """Parts may be absent, but one given is a number in its range: the State refuses a month ``0``."""
    bounds = (("annee", 1, today.year), ("mois", 1, 12), ("jour", 1, 31))
    given = [(values.get(f"{name}DateNaissance", ""), low, high) for name, low, high in bounds]
    if not all(NUMBER.fullmatch(text) and low <= int(text) <= high for text, low, high in given if text):
        return False
    if not all(text for text, _, _ in given):
        return True
    try:
        born = date(*(int(text) for text, _, _ in given))
    except ValueError:
        return False
    return date(1900, 1, 1) <= born < today


def _check_place(values: Mapping[str, str]) -> Refusal | None:
    country = values.get("codeCogInseePaysNaissance", "")
    if not COUNTRY.fullmatch(country):
        return BIRTH_COUNTRY
    commune = values.get("codeCogInseeCommuneNaissance", "")
    if commune or country != "99100":
        return None if not commune or COMMUNE.fullmatch(commune) else BIRTH_PLACE
    if not values.get("nomCommuneNaissance") or not values.get("anneeDateNaissance"):
        return BIRTH_PLACE
    departement = values.get("codeCogInseeDepartementNaissance", "")
    return None if DEPARTEMENT.fullmatch(departement) else BIRTH_DEPARTEMENT


def check_period(values: Mapping[str, str], today: date) -> Refusal | None:
    """Year N, N-1 or N-2, and a month not to come."""
    year, month = values.get("annee") or str(today.year), values.get("mois") or str(today.month)
    if not re.fullmatch(r"[0-9]{4}", year) or int(year) > today.year:
        return YEAR
    if int(year) < today.year - 2:
        return YEAR_TOO_OLD
    if not NUMBER.fullmatch(month) or not 1 <= int(month) <= 12:
        return MONTH
    return MONTH if (int(year), int(month)) > (today.year, today.month) else None


@dataclass(frozen=True, slots=True)
class Window:
    """The calls of one token in one second (the State's throttle: 20 a second for the whole group)."""

    second: int = 0
    calls: int = 0

    def after(self, now_s: int) -> Window:
        """The window once a call at ``now_s`` (Unix seconds) is counted."""
        return Window(now_s, self.calls + 1 if self.second == now_s else 1)

    def headers(self, limit: int) -> dict[str, str]:
        """``RateLimit-*`` as API Particulier sends them; ``Retry-After`` once over the limit."""
        left = {"ratelimit-limit": str(limit), "ratelimit-remaining": str(max(0, limit - self.calls))}
        over = {"retry-after": "1"} if self.calls > limit else {}
        return {**left, "ratelimit-reset": str(self.second + 1), **over}

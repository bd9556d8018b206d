"""The first page: what this is, a door for each kind of person, and in a sandbox what is in it and what to try; and the plan of the site."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from starlette.routing import BaseRoute

from connectors.core.cases import QUOTIENT_FAMILIAL
from connectors.sandbox import FAMILIES, load_cases
from consent.core.wording import Words
from portal.console.vitals import sandbox, vitals
from portal.parts import Parts
from portal.web.pages import Asked, Page, Pages


class Door(NamedTuple):
    """Where one kind of person goes in."""

    path: str
    who: Words
    does: Words


DOORS = (
    Door("/mes-accords", Words("Je suis citoyen", "I am a citizen"), Words("Voir mes accords et ce qui en a été fait, en donner, en retirer un en un bouton.", "See my agreements and what was done with them, give one, withdraw one with one button.")),
    Door("/guichet", Words("Je suis agent d'accueil", "I am a counter agent"), Words("Recueillir un accord au guichet, par téléphone ou sur papier, pour qui ne va pas en ligne.", "Record an agreement at the counter, by phone or on paper, for those who do not go online.")),
    Door("/dpo", Words("Je suis délégué à la protection des données", "I am a data protection officer"), Words("Savoir sur quelle base chaque réponse est partie, avec la preuve ; droits d'accès et d'effacement.", "Know on what basis each answer left, with its proof; rights of access and erasure.")),
    Door("/v1/openapi.json", Words("Je développe une application", "I develop an application"), Words("L'API HTTP, avec sa description OpenAPI ; le SDK Python fait la même chose sur Kafka.", "The HTTP API and its OpenAPI description; the Python SDK does the same over Kafka.")),
    Door("/console", Words("J'exploite le bus", "I operate the bus"), Words("Suivre une demande pas à pas, voir les retards, renvoyer ce qui est au rebut.", "Follow a request step by step, see what lags, send dead letters again.")),
)  # fmt: skip
PEOPLE_MAX = 6


class Entry(NamedTuple):
    """A page of the plan: those that hold nothing of one agreement, one request or one person."""

    path: str
    title: Words


PLAN: dict[str, tuple[Entry, ...]] = {
    "/": (
        Entry("/", Words("Accueil", "Home")),
        Entry("/plan", Words("Plan du site", "Site map")),
        Entry("/deconnexion", Words("Se déconnecter", "Log out")),
    ),
    "/mes-accords": (Entry("/mes-accords", Words("Mes accords, et l'entrée par le code d'un reçu", "My agreements, and the way in by a receipt's code")),),
    "/guichet": (
        Entry("/guichet", Words("Guichet", "Counter")),
        Entry("/guichet/nouveau", Words("Nouvel accord", "New agreement")),
    ),
    "/dpo": (
        Entry("/dpo", Words("Bureau du délégué", "The officer's room")),
        Entry("/dpo/motif", Words("Motif de la consultation", "Reason for consulting")),
        Entry("/dpo/recherche", Words("Rechercher des accords", "Search agreements")),
        Entry("/dpo/demandes", Words("Base d'une réponse", "Basis of an answer")),
        Entry("/dpo/personne", Words("Une personne : dossier, effacement", "A person: dossier, erasure")),
        Entry("/dpo/registre", Words("Registre des traitements", "Register of processing")),
        Entry("/dpo/violation", Words("Violation de données", "Data breach")),
        Entry("/dpo/alertes", Words("Alertes", "Alerts")),
        Entry("/dpo/consultations", Words("Mes consultations", "My own reads")),
    ),
    "/console": (
        Entry("/console", Words("Vue d'ensemble", "Overview")),
        Entry("/console/requests", Words("Demandes", "Requests")),
        Entry("/console/topics", Words("Files", "Topics")),
        Entry("/console/dead-letters", Words("Rebut", "Dead letters")),
    ),
    "/v1/openapi.json": (Entry("/v1/openapi.json", Words("Description OpenAPI", "OpenAPI description")),),
}  # fmt: skip
"""By door; the first for everybody."""


def routes(parts: Parts, pages: Pages) -> list[BaseRoute]:
    """`/` and `/plan`."""

    async def home(asked: Asked) -> Page:
        doors = [{"path": door.path, "who": list(door.who), "does": list(door.does)} for door in DOORS]
        here = sandbox(parts)
        return Page("home.html", {"doors": doors, "sandbox": await _inside(parts, here) if here else None})

    async def plan(asked: Asked) -> Page:
        titles = {door.path: door.who for door in DOORS} | {"/": Words("Pour tous", "For everybody")}
        shown = [
            {"who": list(titles[at]), "pages": [{"path": path, "title": list(title)} for path, title in entries]}
            for at, entries in PLAN.items()
        ]
        return Page("plan.html", {"plan": shown})

    return [*pages.page("/", home), *pages.page("/plan", plan)]


async def _inside(parts: Parts, here: dict[str, str]) -> dict[str, Any]:
    """What a sandbox shows besides its doors. Its people are invented: they may be named."""
    well = await vitals(parts)
    ill = [each["name"] for each in (*well["processes"], *well["providers"]) if not each["ok"]]
    ill += [name for name in ("ledger", "broker") if not well[name]["ok"]]
    return {
        "people": people(),
        "recipient": parts.settings.recipient,
        "demarche": here.get("demarche", ""),
        "kafka": here.get("kafka", ""),
        "facade": here.get("facade", ""),
        "leaves": well["ledger"]["leaves"],
        "ill": ill,
    }


@lru_cache(maxsize=1)
def people() -> list[str]:
    """The first few fictitious people, by name, of those whose quotient familial the sandbox knows."""
    known = (case for case in load_cases(FAMILIES) if case.status == 200 and case.operation == QUOTIENT_FAMILIAL)
    named = (case.wire for case in known if case.wire.get("nomNaissance"))
    found = dict.fromkeys(f"{' '.join(wire.get('prenoms') or ())} {wire['nomNaissance']}" for wire in named)
    return list(found)[:PEOPLE_MAX]

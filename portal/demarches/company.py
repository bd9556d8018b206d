"""A company applies for a public contract with its SIRET alone: the law is the basis, the notice is shown, the State answers."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core.facts import Evidence
from exchange.core.errors import CATALOGUE, Code
from exchange.core.identity import Identity, canonical
from exchange.core.referentials import is_siret
from exchange.data_sets import DATA_SETS
from exchange.introduction import terms
from exchange.sdk import Bus
from portal.demarches.asking import agree, ask
from portal.demarches.kinds import DAY_MS, LEGAL_REFERENCE, NOTICE, NOTICE_VERSION
from portal.web.pages import Asked, Page, Pages

DATA_SET, PURPOSE, AT = "marche-public.candidature.v1", "marche-public", "/demarche/marche"
OBJECT_MAX = 50


def routes(pages: Pages, bus: Bus) -> list[BaseRoute]:
    """The two pages: the form with its notice, and the answers."""
    company = Company(bus)
    return [
        *pages.page(AT, company.start),
        *pages.action(AT, company.apply),
        *pages.page(f"{AT}/reponse", company.answer),
        *pages.action(f"{AT}/reponse", company.ask_again),
    ]


class Company:
    """The démarche of a company."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def start(self, asked: Asked) -> Page:
        return self._form(asked, "", "", wrong="")

    async def apply(self, asked: Asked) -> Page | Response:
        siret, tender = "".join(asked.text("siret").split()), asked.text("tender")
        if not is_siret(siret):
            return self._form(asked, siret, tender, wrong="siret")
        if not 0 < len(tender) <= OBJECT_MAX or not tender.isprintable():
            return self._form(asked, siret, tender, wrong="tender")
        authorisation, now_ms = os.urandom(16), self._bus.clock.now_ms()
        said = {
            "legal_reference": LEGAL_REFERENCE,
            "notice_hash": sha256(NOTICE.fr.encode()).digest(),
            "notice_version": NOTICE_VERSION,
        }
        agreed = terms(
            self._bus.wallet.recipient,
            now_ms,
            DATA_SET,
            basis="legal",
            not_after_ms=now_ms + 180 * DAY_MS,
            max_uses=5,
            **said,
        )
        await agree(self._bus, authorisation, agreed, canonical(Identity(siret=siret)), Evidence("online"))
        asked.session.put("marche", {"siret": siret, "tender": tender, "agreement": authorisation.hex()})
        return await self.ask_again(asked)

    async def ask_again(self, asked: Asked) -> Response:
        if file := asked.session.data.get("marche"):
            parameters = {"context": "marchés publics", "object": file["tender"]}
            scopes = sorted(DATA_SETS[DATA_SET].scopes)
            file["answer"] = await ask(
                self._bus, bytes.fromhex(file["agreement"]), DATA_SET, PURPOSE, scopes, parameters
            )
            asked.session.put("marche", file)
        return asked.see(f"{AT}/reponse")

    async def answer(self, asked: Asked) -> Page | Response:
        file = asked.session.data.get("marche") or {}
        if "answer" not in file:
            return asked.see(AT)
        told = file["answer"]
        entry = CATALOGUE[Code(told["code"])] if told["status"] in ("later", "stopped") else None
        texts = {"cause": entry.cause(asked.language), "todo": entry.todo(asked.language)} if entry else {}
        parts = [
            {"name": name, "status": part["status"], "code": part["code"], "title": part["title"]}
            for name, part in (told.get("data") or {}).items()
        ]
        shown = {
            "siret": file["siret"],
            "tender": file["tender"],
            "status": told["status"],
            "leaf": told.get("leaf", ""),
            "company": _name(told),
        }
        return Page("demarches/company_answer.html", shown | {"parts": parts, "texts": texts})

    def _form(self, asked: Asked, siret: str, tender: str, *, wrong: str) -> Page:
        shown = {"siret": siret[:20], "tender": tender[: OBJECT_MAX + 1], "wrong": wrong, "notice": None}
        legal = {"notice_text": list(NOTICE), "notice_version": NOTICE_VERSION, "legal_reference": LEGAL_REFERENCE}
        return Page("demarches/company.html", shown | legal, 400 if wrong else 200)


def _name(told: dict[str, Any]) -> str:
    unit = ((told.get("data") or {}).get("unite_legale") or {}).get("data") or {}
    return (unit.get("personne_morale_attributs") or {}).get("raison_sociale") or ""

"""A company applies for a public contract with its SIRET alone: the law is the basis, the notice is shown, the State answers."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from exchange.core.identity import Identity
from exchange.core.referentials import is_siret
from exchange.data_sets import DATA_SETS
from exchange.introduction import terms
from exchange.sdk import Bus
from portal.demarches.asking import ask, trouble
from portal.demarches.kinds import DAY_MS, LEGAL_REFERENCE, NOTICE, NOTICE_HASH, NOTICE_VERSION
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
        now_ms = self._bus.clock.now_ms()
        law: dict[str, object] = {"basis": "legal", "legal_reference": LEGAL_REFERENCE, "notice_hash": NOTICE_HASH}
        law |= {"notice_version": NOTICE_VERSION, "not_after_ms": now_ms + 180 * DAY_MS, "max_uses": 5}
        agreed = terms(self._bus.wallet.recipient, now_ms, DATA_SET, **law)
        authorisation = await self._bus.record(agreed, Identity(siret=siret))
        asked.session.put("marche", {"siret": siret, "tender": tender, "agreement": authorisation.hex()})
        return await self.ask_again(asked)

    async def ask_again(self, asked: Asked) -> Response:
        if file := asked.session.data.get("marche"):
            parameters = {"context": "marchés publics", "object": file["tender"]}
            scopes = sorted(DATA_SETS[DATA_SET].scopes)
            agreement = bytes.fromhex(file["agreement"])
            file["answer"] = await ask(self._bus, agreement, DATA_SET, PURPOSE, scopes, parameters)
            asked.session.put("marche", file)
        return asked.see(f"{AT}/reponse")

    async def answer(self, asked: Asked) -> Page | Response:
        file = asked.session.data.get("marche") or {}
        if "answer" not in file:
            return asked.see(AT)
        told = file["answer"]
        parts = [
            {name: part[name] for name in ("status", "code", "title")} | {"name": root}
            for root, part in (told.get("data") or {}).items()
        ]
        shown = {name: file[name] for name in ("siret", "tender")} | {
            "status": told["status"],
            "leaf": told.get("leaf"),
        }
        return Page(
            "demarches/company_answer.html", shown | {"company": _name(told), "parts": parts} | trouble(told, asked)
        )

    def _form(self, asked: Asked, siret: str, tender: str, *, wrong: str) -> Page:
        shown = {"siret": siret[:20], "tender": tender[: OBJECT_MAX + 1], "wrong": wrong}
        legal = {"notice_text": list(NOTICE), "notice_version": NOTICE_VERSION, "legal_reference": LEGAL_REFERENCE}
        return Page("demarches/company.html", shown | legal, 400 if wrong else 200)


def _name(told: dict[str, Any]) -> str:
    unit = ((told.get("data") or {}).get("unite_legale") or {}).get("data") or {}
    return (unit.get("personne_morale_attributs") or {}).get("raison_sociale") or ""

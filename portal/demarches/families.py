"""Enrolling a child with no supporting document: who you are, what is needed and why, your agreement, the answer, the price."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Engine, Integer, String, Table, insert
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from consent.core.agreement import grant_nonce
from consent.core.facts import Evidence, Terms, Tokens
from exchange.core.errors import Code
from exchange.core.identity import read
from exchange.sdk import Bus
from portal.core.login import NotLoggedIn
from portal.demarches.asking import ask, trouble
from portal.demarches.kinds import FAMILIES, Demarche
from portal.identity.logins import Logins
from portal.store import metadata
from portal.web.pages import Asked, Handler, Page, Pages, Problem

enrolment = Table(
    "enrolment", metadata, Column("number", Integer, primary_key=True), Column("demarche", String, nullable=False),
    Column("child", String, nullable=False), Column("cents", Integer, nullable=False), Column("agreement", String, nullable=False),
    Column("leaf", Integer, nullable=False), Column("at_ms", Integer, nullable=False),
)  # fmt: skip
"""What the town keeps: the child, the price, and what proves where it comes from. Not the answer itself."""


def routes(pages: Pages, logins: Logins, bus: Bus, store: Engine, portal: Callable[[], str]) -> list[BaseRoute]:
    """Each family démarche's pages, in the order in which they are met."""
    found = list[BaseRoute]()
    for demarche in FAMILIES:
        steps, at = Steps(demarche, logins, bus, store, portal), f"/demarche/{demarche.slug}"
        shown: dict[str, Handler] = {
            "": steps.start,
            "/identite": steps.identify,
            "/identite/{name}": steps.leave,
            "/accord": steps.agreement,
        }
        shown |= {"/papier": steps.paper, "/reponse": steps.answer, "/inscription": steps.enrolled}
        done: dict[str, Handler] = {
            "/enfant": steps.child,
            "/accord": steps.agree,
            "/refus": steps.refuse,
            "/reponse": steps.ask_again,
        }
        done |= {"/inscription": steps.enrol}
        found += [route for path, step in shown.items() for route in pages.page(f"{at}{path}", step)]
        found += [route for path, step in done.items() for route in pages.action(f"{at}{path}", step)]
    return found


class Steps:
    """One démarche. What is under way is in the browser's session, which its cookie alone opens."""

    def __init__(self, demarche: Demarche, logins: Logins, bus: Bus, store: Engine, portal: Callable[[], str]) -> None:
        self._it, self._logins, self._bus, self._store, self._portal = demarche, logins, bus, store, portal
        self._at = f"/demarche/{demarche.slug}"

    async def start(self, asked: Asked) -> Page:
        return self._page(asked, "start", {})

    async def child(self, asked: Asked) -> Response:
        child, now_ms = asked.text("child"), self._bus.clock.now_ms()
        if not 0 < len(child) <= 80:
            raise Problem(Code.BAD_FORM)
        agreement, random = os.urandom(16).hex(), os.urandom(16).hex()
        file = {"child": child, "agreement": agreement, "random": random, "from_ms": now_ms}
        asked.session.put(self._it.slug, file)
        return asked.see(f"{self._at}/identite")

    async def identify(self, asked: Asked) -> Page | Response:
        if not self._file(asked):
            return asked.see(self._at)
        providers = [{"name": name, "label": label} for name, label in self._logins.choices("citizen")]
        return self._page(asked, "identify", {"providers": providers})

    async def leave(self, asked: Asked) -> Response:
        """To the identity provider, with a nonce that binds this login to these very terms (protocol §7)."""
        file = self._file(asked)
        if not file:
            return asked.see(self._at)
        authorisation, random = bytes.fromhex(file["agreement"]), bytes.fromhex(file["random"])
        bound = {"nonce": grant_nonce(self._terms(file), authorisation, random), "subject": file["agreement"]}
        try:
            then = f"{self._at}/accord"
            address = await self._logins.leave(asked.session, "citizen", asked.path["name"], then, **bound)
        except NotLoggedIn as refused:
            raise Problem(refused.code, 503) from None
        return RedirectResponse(address, 303)

    async def agreement(self, asked: Asked) -> Page | Response:
        file, login = self._file(asked), asked.session.login("citizen")
        if not file or login is None or login["for"] != file["agreement"]:
            return asked.see(f"{self._at}/identite" if file else self._at)
        who, terms = read(base64.b64decode(login["identity"])), self._terms(file)
        names = " ".join((*who.prenoms, who.nom_naissance))
        person = {"names": names, "until_ms": terms.not_after_ms, "uses": terms.max_uses}
        return self._page(asked, "agreement", person)

    async def agree(self, asked: Asked) -> Response:
        file, login = self._file(asked), asked.session.login("citizen")
        if not file or login is None or login["for"] != file["agreement"]:
            return asked.see(self._at)
        tokens = Tokens(login["id_token"], login["userinfo"], bytes.fromhex(file["random"]))
        evidence = Evidence("online", assurance=login["assurance"], tokens=tokens)
        agreement, who = bytes.fromhex(file["agreement"]), read(base64.b64decode(login["identity"]))
        await self._bus.record(self._terms(file), who, evidence, agreement)
        return await self.ask_again(asked)

    async def ask_again(self, asked: Asked) -> Response:
        if file := self._file(asked):
            it, agreement = self._it, bytes.fromhex(file["agreement"])
            file["answer"] = await ask(self._bus, agreement, it.data_set, it.purpose, it.scopes, {})
            asked.session.put(it.slug, file)
        return asked.see(f"{self._at}/reponse")

    async def refuse(self, asked: Asked) -> Response:
        """A no is recorded, where something was asked, and closes nothing else: the démarche goes on with a paper."""
        if file := self._file(asked):
            await self._bus.refuse(self._terms(file), bytes.fromhex(file["agreement"]))
        asked.session.put(self._it.slug, None)
        return asked.see(f"{self._at}/papier")

    async def paper(self, asked: Asked) -> Page:
        return self._page(asked, "paper", {})

    async def answer(self, asked: Asked) -> Page | Response:
        told = self._file(asked).get("answer")
        if told is None:
            return asked.see(self._at)
        tariff = self._it.tariff(told["data"]) if told["status"] == "found" else None
        shown = {name: told.get(name, "") for name in ("status", "code", "title", "leaf", "request")} | trouble(
            told, asked
        )
        return self._page(asked, "answer", shown | {"tariff": tariff._asdict() if tariff else None})

    async def enrol(self, asked: Asked) -> Response:
        file = self._file(asked)
        told = file.get("answer", {})
        tariff = self._it.tariff(told["data"]) if told.get("status") == "found" else None
        if tariff is None:
            return asked.see(self._at)
        row = {"demarche": self._it.slug, "child": file["child"], "cents": tariff.cents}
        row |= {"agreement": file["agreement"], "leaf": told["leaf"], "at_ms": self._bus.clock.now_ms()}
        with self._store.begin() as connection:
            kept = connection.execute(insert(enrolment).values(row)).inserted_primary_key
        asked.session.put(self._it.slug, None)
        asked.session.put(f"{self._it.slug}.done", row | {"number": kept[0] if kept else 0, "tariff": tariff._asdict()})
        return asked.see(f"{self._at}/inscription")

    async def enrolled(self, asked: Asked) -> Page | Response:
        done = asked.session.data.get(f"{self._it.slug}.done")
        return self._page(asked, "enrolled", done) if done else asked.see(self._at)

    def _file(self, asked: Asked) -> dict[str, Any]:
        found: dict[str, Any] = asked.session.data.get(self._it.slug) or {}
        return found

    def _terms(self, file: dict[str, Any]) -> Terms:
        return self._it.terms(self._bus.wallet.recipient, file["from_ms"])

    def _page(self, asked: Asked, name: str, data: dict[str, Any]) -> Page:
        texts = {name: list(getattr(self._it, name)) for name in ("title", "needs", "why", "paper")}
        common: dict[str, Any] = {
            "slug": self._it.slug,
            "recipient": self._bus.wallet.recipient,
            "portal": self._portal(),
        }
        common |= {"texts_of": texts, "child": self._file(asked).get("child", "")}
        return Page(f"demarches/{name}.html", common | data)

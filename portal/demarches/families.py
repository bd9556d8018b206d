"""Enrolling a child with no supporting document: who you are, what is needed and why, your agreement, the answer, the price."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

from sqlalchemy import Column, Engine, Integer, String, Table, insert
from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core.agreement import grant_nonce
from consent.core.facts import Evidence, Terms, Tokens
from exchange.core.errors import Code
from exchange.core.identity import read
from exchange.introduction import terms
from exchange.sdk import Bus
from portal.demarches.asking import ask
from portal.demarches.kinds import DAY_MS, FAMILIES, Demarche
from portal.identity.logins import Logins
from portal.identity.routes import leave
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
        it, at = Steps(demarche, logins, bus, store, portal), f"/demarche/{demarche.slug}"
        for path, needs, shown, done in it.table():
            found += pages.page(f"{at}{path}", it.after(needs, shown)) if shown else []
            found += pages.action(f"{at}{path}", it.after(needs, done)) if done else []
    return found


class Steps:
    """One démarche. What is under way is in the browser's session, which its cookie alone opens."""

    def __init__(self, demarche: Demarche, logins: Logins, bus: Bus, store: Engine, portal: Callable[[], str]) -> None:
        self._it, self._logins, self._bus, self._store, self._portal = demarche, logins, bus, store, portal
        self._at = f"/demarche/{demarche.slug}"

    def table(self) -> tuple[tuple[str, str, Handler | None, Handler | None], ...]:
        """Path, what must be under way there, what shows it, what is done there."""
        return (
            ("", "", self.shown("start"), None),
            ("/enfant", "", None, self.child),
            ("/identite", "child", self.identify, None),
            ("/identite/{name}", "child", self.leave, None),
            ("/accord", "login", self.agreement, self.agree),
            ("/refus", "", None, self.refuse),
            ("/papier", "", self.shown("paper"), None),
            ("/reponse", "answer", self.answer, self.ask_again),
            ("/inscription", "done", self.shown("enrolled", "done"), None),
            ("/inscription", "answer", None, self.enrol),
        )

    def after(self, needs: str, step: Handler) -> Handler:
        """The step, where what it needs is there; else the one that makes it."""

        async def guarded(asked: Asked) -> Page | Response:
            if needs and not (self._login(asked) if needs == "login" else self._file(asked).get(needs)):
                return asked.see(f"{self._at}/identite" if needs == "login" and self._file(asked) else self._at)
            return await step(asked)

        return guarded

    def shown(self, name: str, what: str = "") -> Handler:
        """The page of this name, which shows this of what is under way."""

        async def page(asked: Asked) -> Page:
            return self._page(asked, name, self._file(asked).get(what, {}))

        return page

    async def child(self, asked: Asked) -> Response:
        if not 0 < len(child := asked.text("child")) <= 80:
            raise Problem(Code.BAD_FORM)
        ids = {"agreement": os.urandom(16).hex(), "random": os.urandom(16).hex()}
        asked.session.put(self._it.slug, ids | {"child": child, "from_ms": self._bus.clock.now_ms()})
        return asked.see(f"{self._at}/identite")

    async def identify(self, asked: Asked) -> Page:
        providers = [{"name": name, "label": label} for name, label in self._logins.choices("citizen")]
        return self._page(asked, "identify", {"providers": providers})

    async def leave(self, asked: Asked) -> Response:
        """To the identity provider, with a nonce that binds this login to these very terms (protocol §7)."""
        file = self._file(asked)
        agreement, random = bytes.fromhex(file["agreement"]), bytes.fromhex(file["random"])
        bound = {"nonce": grant_nonce(self._terms(file), agreement, random), "subject": file["agreement"]}
        return await leave(self._logins, asked, "citizen", asked.path["name"], f"{self._at}/accord", **bound)

    async def agreement(self, asked: Asked) -> Page:
        who, agreed = read(base64.b64decode(self._login(asked)["identity"])), self._terms(self._file(asked))
        person = {"names": " ".join((*who.prenoms, who.nom_naissance))}
        return self._page(asked, "agreement", person | {"until_ms": agreed.not_after_ms, "uses": agreed.max_uses})

    async def agree(self, asked: Asked) -> Response:
        file, login = self._file(asked), self._login(asked)
        tokens = Tokens(login["id_token"], login["userinfo"], bytes.fromhex(file["random"]))
        evidence = Evidence("online", assurance=login["assurance"], tokens=tokens)
        agreement, who = bytes.fromhex(file["agreement"]), read(base64.b64decode(login["identity"]))
        await self._bus.record(self._terms(file), who, evidence, agreement)
        return await self.ask_again(asked)

    async def ask_again(self, asked: Asked) -> Response:
        file, it = self._file(asked), self._it
        told = await ask(self._bus, bytes.fromhex(file["agreement"]), it.data_set, it.purpose, it.scopes, {})
        asked.session.put(it.slug, file | {"answer": told})
        return asked.see(f"{self._at}/reponse")

    async def refuse(self, asked: Asked) -> Response:
        """A no is recorded, where something was asked, and closes nothing else: the démarche goes on with a paper."""
        if "agreement" in (file := self._file(asked)):
            await self._bus.refuse(self._terms(file), bytes.fromhex(file["agreement"]))
        asked.session.put(self._it.slug, None)
        return asked.see(f"{self._at}/papier")

    async def answer(self, asked: Asked) -> Page:
        told = self._file(asked)["answer"]
        shown = {name: told.get(name, "") for name in ("status", "code", "title", "texts", "leaf", "request")}
        return self._page(asked, "answer", shown | {"tariff": self._tariff(told)})

    async def enrol(self, asked: Asked) -> Response:
        """The town keeps one row; what was under way is over."""
        file = self._file(asked)
        if (tariff := self._tariff(file["answer"])) is None:
            return asked.see(self._at)
        row = {"demarche": self._it.slug, "child": file["child"], "agreement": file["agreement"]}
        row |= {"cents": tariff["cents"], "leaf": file["answer"]["leaf"], "at_ms": self._bus.clock.now_ms()}
        with self._store.begin() as connection:
            kept = connection.execute(insert(enrolment).values(row)).inserted_primary_key
        asked.session.put(self._it.slug, {"done": row | {"number": kept[0] if kept else 0, "tariff": tariff}})
        return asked.see(f"{self._at}/inscription")

    def _file(self, asked: Asked) -> dict[str, Any]:
        found: dict[str, Any] = asked.session.data.get(self._it.slug) or {}
        return found

    def _login(self, asked: Asked) -> dict[str, Any]:
        """The login made for what is under way; empty where there is none."""
        login = asked.session.login("citizen") or {}
        return login if login and login["for"] == self._file(asked).get("agreement") else {}

    def _tariff(self, told: dict[str, Any]) -> dict[str, Any] | None:
        tariff = self._it.tariff(told["data"]) if told["status"] == "found" else None
        return tariff._asdict() if tariff else None

    def _terms(self, file: dict[str, Any]) -> Terms:
        """What the person is asked to agree to: one school year, twelve uses."""
        it, until_ms = self._it, file["from_ms"] + 365 * DAY_MS
        asked = {"purpose": it.purpose, "scopes": it.scopes, "not_after_ms": until_ms, "max_uses": 12}
        return terms(self._bus.wallet.recipient, file["from_ms"], it.data_set, **asked)

    def _page(self, asked: Asked, name: str, data: dict[str, Any]) -> Page:
        texts = {name: list(getattr(self._it, name)) for name in ("title", "needs", "why", "paper")}
        common: dict[str, Any] = {"slug": self._it.slug, "portal": self._portal(), "texts_of": texts}
        common |= {"recipient": self._bus.wallet.recipient, "child": self._file(asked).get("child", "")}
        return Page(f"demarches/{name}.html", common | data)

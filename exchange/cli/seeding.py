"""A sandbox with something in it: a few fictitious agreements, each met in another way, so that no page of a first visit is empty.

Runs beside a bus that works. An agreement that is known already is left as it is: a second start adds nothing.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from connectors.sandbox import FAMILIES, load_cases
from consent.core.facts import Channel, Evidence
from consent.core.query import Officer
from consent.door import Door
from exchange.cli.story import read_case
from exchange.core import topics
from exchange.core.identity import Identity, canonical
from exchange.core.referentials import purposes_of
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import KEY_LIFE_MS, LEGAL_REFERENCE, PURPOSES, record, terms
from exchange.outcomes import ExchangeError
from exchange.ports import Message
from exchange.recording import ONLINE
from exchange.sdk import Bus
from exchange.wallet import Capsule

CRECHE, CANDIDATURE = "cnaf.participation-familiale-eaje.v1", "marche-public.candidature.v1"
BURSARY = "cnous.etudiant-boursier.v2"
WAIT_S = 40.0


@dataclass(frozen=True)
class Seed:
    """One bus to fill, as its collectivity and as the owner of its ledger."""

    ledger: Door
    bus: Bus

    async def sow(self) -> int:
        """Every agreement that is not known yet; how many were new. `Unavailable`."""
        stories: dict[str, Callable[[bytes], Awaitable[None]]] = {
            "used twice": self.used_twice,
            "at the counter": self.at_the_counter,
            "refused by phone": self.refused_by_phone,
            "withdrawn": self.withdrawn,
            "on paper": self.on_paper,
            "asked for": self.asked_for,
            "a company": self.company,
            "a preview": self.a_preview,
        }
        ids = [sha256(f"accord seed: {name}".encode()).digest()[:16] for name in stories]
        known = await self.ledger.lookup(ids)
        new = [(tell, one) for tell, one, held in zip(stories.values(), ids, known, strict=True) if held is None]
        if len(new) == len(stories):  # leaves no agreement by which it could be known again
            new.append((self.nobody_agreed, os.urandom(16)))
        for tell, authorisation in new:
            with suppress(ExchangeError):  # a refusal, an absence and an outage are part of the tale
                await tell(authorisation)
        return len(new)

    async def appoint(self, officer: str) -> None:
        """The data protection officer of the collectivity, by reference."""
        until_ms = self.bus.clock.now_ms() + KEY_LIFE_MS
        await self.ledger.appoint(Officer(officer, (self.bus.wallet.recipient,), until_ms))

    async def used_twice(self, authorisation: bytes) -> None:
        await self._give(authorisation, "TREVARIN", "online")
        await self._ask(authorisation, annee="2026", mois="3")
        await self._ask(authorisation, annee="2026", mois="3")

    async def at_the_counter(self, authorisation: bytes) -> None:
        await self._give(authorisation, "VILLEDRIN", "counter", data_set=CRECHE)
        await self._ask(authorisation, CRECHE)

    async def refused_by_phone(self, authorisation: bytes) -> None:
        asked = self._terms(PURPOSES[1])
        await self.ledger.request(authorisation, asked, ONLINE, self.bus.wallet.operator)
        await self.ledger.refuse(authorisation, asked, _evidence("phone"))

    async def withdrawn(self, authorisation: bytes) -> None:
        await self._give(authorisation, "CAZELMAS", "phone")
        await self._ask(authorisation, annee="2026", mois="3")
        await self.ledger.withdraw(authorisation, "withdrawn", ONLINE)
        await self._ask(authorisation, annee="2026", mois="3")

    async def on_paper(self, authorisation: bytes) -> None:
        nobody = Identity("FAUVERGNE", prenoms=("Ondine",), date_naissance="1984-06-17", sexe_etat_civil="F", code_cog_insee_pays_naissance="99100", code_cog_insee_commune_naissance="35238")  # fmt: skip
        await record(self.ledger, self.bus.wallet, authorisation, self._terms(PURPOSES[0]), nobody, _evidence("paper"))
        await self._ask(authorisation, annee="2026", mois="3")

    async def asked_for(self, authorisation: bytes) -> None:
        await self.ledger.request(authorisation, self._terms(PURPOSES[0]), ONLINE, self.bus.wallet.operator)

    async def company(self, authorisation: bytes) -> None:
        law = {
            "basis": "legal",
            "legal_reference": LEGAL_REFERENCE,
            "notice_hash": sha256(b"notice").digest(),
            "notice_version": "demo-1",
        }
        agreed = terms(self.bus.wallet.recipient, self.bus.clock.now_ms(), CANDIDATURE, **law)
        company = Identity(siret="90000001900019")
        await record(self.ledger, self.bus.wallet, authorisation, agreed, company, ONLINE)
        await self._ask(authorisation, CANDIDATURE, context="marchés publics", object="demo-2026-1")

    async def a_preview(self, authorisation: bytes) -> None:
        """An answer that waits for its person, who may log in and say yes or no."""
        who = Identity("DELESTRADE", prenoms=("Nina",), date_naissance="2006-04-03", sexe_etat_civil="F", code_cog_insee_pays_naissance="99100", code_cog_insee_commune_naissance="35238")  # fmt: skip
        agreed = self._terms(purposes_of(BURSARY)[0], BURSARY)
        await record(self.ledger, self.bus.wallet, authorisation, agreed, who, ONLINE)
        request = await self.bus.request(BURSARY, consent=authorisation, purpose=agreed.purpose)
        await request.awaits_person(WAIT_S)

    async def nobody_agreed(self, authorisation: bytes) -> None:
        """A request without any agreement, refused; and bytes that are no request, for the dead letters."""
        topic = topics.requests(self.bus.wallet.operator)
        await self.bus.outbox.send({(topic, 0): [Message(authorisation, b"not a request", [("ce_id", b"seed")])]})
        capsule = Capsule(canonical(Identity("PERSONNE", prenoms=("Inventée",))), os.urandom(32), b"")
        request = await self.bus.request(
            QUOTIENT_FAMILIAL.name, consent=authorisation, purpose=PURPOSES[0], ttl_s=60, capsule=capsule
        )
        await request.answer(WAIT_S)

    def _terms(self, purpose: str, data_set: str = QUOTIENT_FAMILIAL.name) -> Any:
        return terms(self.bus.wallet.recipient, self.bus.clock.now_ms(), data_set, purpose=purpose)

    async def _give(
        self, authorisation: bytes, family: str, channel: Channel, data_set: str = QUOTIENT_FAMILIAL.name
    ) -> None:
        agreed = self._terms(purposes_of(data_set)[0], data_set)
        await record(self.ledger, self.bus.wallet, authorisation, agreed, person(family), _evidence(channel))

    async def _ask(self, authorisation: bytes, data_set: str = QUOTIENT_FAMILIAL.name, **parameters: str) -> None:
        asked = {"consent": authorisation, "purpose": purposes_of(data_set)[0], "parameters": parameters, "ttl_s": 60}
        await (await self.bus.request(data_set, **asked)).answer(WAIT_S)  # type: ignore[arg-type]  # as `request` has them


def person(family: str) -> Identity:
    """The first fictitious person of this birth name."""
    return read_case(next(case for case in load_cases(FAMILIES) if case.wire.get("nomNaissance") == family))[0]


def _evidence(channel: Channel) -> Evidence:
    """As an agent of the counter would have it; online, the person's own act."""
    return ONLINE if channel == "online" else Evidence(channel, "agent-fictif", sha256(b"fictif").digest())

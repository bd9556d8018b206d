"""What the tests of this folder share: somebody at their browser, and the addresses of their space."""

from __future__ import annotations

import os
from typing import Any

import httpx

from consent.core.facts import Evidence, State
from consent.issuers import DECLARED, Issuers
from exchange.core.identity import Identity
from exchange.introduction import terms
from tests.portal.identity.signing_in import Provider
from tests.portal.stand import Stand

HOME = "/mes-accords"


def declaring() -> Issuers:
    """A ledger that takes a declaration."""
    return DECLARED


MAELLE = Identity(
    "TREVARIN", prenoms=("Maëlle",), date_naissance="1988-04-12", sexe_etat_civil="F", code_cog_insee_pays_naissance="99100",
    code_cog_insee_commune_naissance="35238",
)  # fmt: skip


class Person:
    """Somebody at their browser, beside a collectivity that asks."""

    def __init__(self, stand: Stand, provider: Provider) -> None:
        self.stand, self.bus, self.provider, self.browser = stand, stand.bus, provider, stand.browser

    async def asked(self, **changes: Any) -> bytes:
        """An agreement is asked for; its id."""
        authorisation, agreed = os.urandom(16), terms(self.bus.recipient, self.bus.clock.now_ms(), **changes)
        await self.bus.ledger.request(authorisation, agreed, Evidence("online"), self.bus.operator)
        return authorisation

    async def held(self, **changes: Any) -> bytes:
        """An agreement of Maëlle's, given before (the ledger took a declaration then)."""
        believed, self.bus.ledger.issuers = self.bus.ledger.issuers, declaring
        authorisation = await self.bus.give(MAELLE, **changes)
        self.bus.ledger.issuers = believed
        return authorisation

    async def log_in(self, page: str = f"/connexion/citizen?next={HOME}", who: str = "TREVARIN") -> httpx.Response:
        return await self.provider.log_in(self.browser, page, self.provider.named(who))

    async def read(self, path: str) -> Any:
        """A page's twin."""
        return (await self.browser.get(f"{path}.json")).json()

    async def state(self, authorisation: bytes) -> State:
        (found,) = await self.bus.ledger.lookup([authorisation])
        assert found is not None
        return found.state

    async def press(self, page: str, action: str, **fields: Any) -> httpx.Response:
        return await self.stand.submit(page, f"{page}{action}", fields)


def demand(authorisation: bytes) -> str:
    return f"{HOME}/demande/{authorisation.hex()}"


def own(authorisation: bytes) -> str:
    return f"{HOME}/accord/{authorisation.hex()}"

"""What the pages of this space stand on: who is there, and which agreements they may see."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response

from consent.core.citizen import Agreement
from consent.core.facts import Assurance, State, Tokens
from exchange.core.errors import Code
from exchange.core.identity import read
from exchange.ports import Refused
from portal.core import citizen, previews
from portal.core.allowance import Bucket, Rate, take
from portal.core.plain import Names
from portal.identity.logins import Logins
from portal.names import Atlas, names_of
from portal.parts import Parts
from portal.web.pages import Asked, Missing, Problem

HOME = "/mes-accords"
AT = HOME + "/accord/{id}"
OPENED, ACTS = "codes", "acts"
TRIES = Rate(10, 1 / 60)
"""Codes tried from one address: ten at once, then one a minute. A code has 80 bits."""
ADDRESSES_MAX = 4096


@dataclass
class Room:
    """One portal's."""

    parts: Parts
    logins: Logins
    atlas: Atlas
    _tries: dict[str, Bucket] = field(default_factory=dict)

    @property
    def now_ms(self) -> int:
        return self.parts.clock.now_ms()

    def names(self, one: Agreement) -> Names:
        return names_of(self.parts.places, one.terms)

    def card(self, one: Agreement, asked: Asked) -> dict[str, Any]:
        return citizen.card(one, self.names(one), asked.language, self.now_ms)

    def address(self, authorisation: bytes) -> str:
        """Of an agreement's own page."""
        return f"{HOME}/accord/{authorisation.hex()}"

    def see(self, asked: Asked, authorisation: bytes) -> Response:
        return asked.see(self.address(authorisation))

    async def all(self, asked: Asked) -> list[Agreement]:
        """The agreements of whoever is logged in, and those this browser opened with a code."""
        identity = identity_of(asked)
        found = await self.parts.ledger.agreements(identity) if identity else []
        known = {one.id for one in found}
        for opened in asked.session.data.get(OPENED, []):
            if (authorisation := bytes.fromhex(opened)) not in known:
                try:
                    found.append(await self.parts.ledger.agreement(authorisation))
                except Refused:  # erased since
                    continue
        return found

    async def one(self, asked: Asked) -> Agreement:
        """The agreement of this address; `Missing` unless it is one of those."""
        wanted = id_in(asked)
        found = next((one for one in await self.all(asked) if one.id == wanted), None)
        if found is None:
            raise Missing
        return found

    async def is_own(self, asked: Asked, one: Agreement) -> bool:
        """Whether whoever is logged in is its person, or gave it for them; a receipt's code proves neither."""
        identity = identity_of(asked)
        return bool(identity) and any(own.id == one.id for own in await self.parts.ledger.agreements(identity))

    def assurance(self, asked: Asked) -> Assurance:
        """How surely whoever is logged in was identified."""
        who = asked.session.login("citizen")
        found: Assurance = who["assurance"] if who else "eidas1"
        return found

    async def waiting(self, asked: Asked, agreements: Sequence[Agreement]) -> list[dict[str, Any]]:
        """The answers that wait for their person under these agreements, as pages show them, the first to end first."""
        known = {one.id: one for one in agreements}
        found = await self.parts.ledger.previews([one.id for one in agreements if one.state is State.LIVE])
        pairs = ((known[each.submission.key.authorisation], each) for each in found)
        return [previews.shown(one, each, self.names(one), asked.language) for one, each in pairs]

    async def open(self, asked: Asked, code: str) -> Agreement | None:
        """The agreement of a code, kept open for this browser; None where there is none. Tried too often, nothing is looked up."""
        client = asked.request.client
        address, now_ms = client.host if client else "", self.parts.clock.monotonic_ms()
        if len(self._tries) >= ADDRESSES_MAX:
            self._tries.clear()
        self._tries[address], allowance = take(self._tries.get(address), TRIES, now_ms)
        if not allowance.allowed:
            raise Problem(Code.TOO_MANY, 429)
        try:
            found = await self.parts.ledger.agreement_of_code(code)
        except Refused:
            return None
        asked.session.put(OPENED, sorted({*asked.session.data.get(OPENED, []), found.id.hex()}))
        return found


def id_in(asked: Asked) -> bytes:
    """The agreement an address names; `Missing` if it names none."""
    text = asked.path["id"]
    if len(text) != 32 or set(text) - set("0123456789abcdef"):
        raise Missing
    return bytes.fromhex(text)


def identity_of(asked: Asked) -> bytes:
    """The canonical identity of whoever is logged in, empty for nobody."""
    who = asked.session.login("citizen")
    return base64.b64decode(who["identity"]) if who else b""


def name_of(asked: Asked) -> str:
    """How whoever is logged in is called, empty for nobody."""
    identity = identity_of(asked)
    if not identity:
        return ""
    person = read(identity)
    return " ".join([*person.prenoms[:1], person.nom_usage or person.nom_naissance])


def logged_in_for(asked: Asked, act: str) -> tuple[dict[str, Any], Tokens] | None:
    """The login that was made for this act and no other, and its tokens; None where there is none."""
    who, begun = asked.session.login("citizen"), asked.session.data.get(ACTS, {}).get(act)
    if who is None or begun is None or who["for"] != act:
        return None
    return who, Tokens(who["id_token"], who["userinfo"], bytes.fromhex(begun["random"]))

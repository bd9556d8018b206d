"""Logging in *for* an act: the nonce of the login covers the very terms (protocol §7), so the identity provider's signature does too."""

from __future__ import annotations

import os

from starlette.responses import RedirectResponse, Response

from consent.core.agreement import grant_nonce
from consent.core.facts import Evidence, Terms
from exchange.core.errors import Code
from portal.citizen.room import ACTS, Room, logged_in_for
from portal.core.login import NotLoggedIn
from portal.web.pages import Asked, Problem


async def leave_for(room: Room, asked: Asked, act: str, authorisation: bytes, terms: Terms, then: str) -> Response:
    """To the identity provider, and back to `then`, for an act on these terms. The first that reaches the level they need."""
    random, refused = os.urandom(32), Code.IDENTITY_PROVIDER_UNAVAILABLE
    nonce = grant_nonce(terms, authorisation, random)
    for name, _ in room.logins.choices("citizen"):
        try:
            address = await room.logins.leave(
                asked.session, "citizen", name, then, nonce=nonce, assurance=terms.assurance, subject=act
            )
        except NotLoggedIn as error:
            refused = error.code
            continue
        asked.session.put(ACTS, {act: {"random": random.hex(), "scopes": list(terms.scopes)}})
        return RedirectResponse(address, 303)
    raise Problem(refused, 503)


def evidence_for(asked: Asked, act: str) -> Evidence:
    """What the ledger verifies; the problem says so where nobody logged in for this act."""
    found = logged_in_for(asked, act)
    if found is None:
        raise Problem(Code.EVIDENCE_MISSING, 409)
    who, tokens = found
    return Evidence("online", assurance=who["assurance"], tokens=tokens)

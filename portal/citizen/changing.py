"""Changing one's mind: withdrawn, opposed, narrowed; and an agreement that an agent recorded, claimed."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response
from starlette.routing import BaseRoute

from exchange.core.errors import Code
from exchange.ports import Recovering
from exchange.recording import ONLINE
from portal.citizen.acting import evidence_for, leave_for
from portal.citizen.room import ACTS, AT, Room, identity_of
from portal.core.citizen import OPEN
from portal.web.pages import Asked, Pages, Problem


def routes(room: Room, pages: Pages) -> list[BaseRoute]:
    """One button each, on the agreement's own page."""
    return [
        *pages.action(AT + "/retrait", partial(_close, room)),
        *pages.action(AT + "/reduction", partial(_narrow, room)),
        *pages.download(AT + "/identification", partial(_identify, room)),
        *pages.action(AT + "/reprise", partial(_claim, room)),
    ]


async def _close(room: Room, asked: Asked) -> Response:
    """A withdrawal asks no more than giving did: whoever may see the agreement may close it."""
    one = await room.one(asked)
    if one.state not in OPEN:
        raise Problem(Code.CONFLICT, 409)
    happening = "opposed" if one.terms.basis == "legal" else "withdrawn"
    try:
        await room.parts.ledger.withdraw(one.id, happening, ONLINE)
    except Recovering as recovering:
        if not recovering.recorded:
            raise
        asked.session.put("notice", [
            "Votre retrait est enregistré et s'impose à tous ; l'accusé suivra.",
            "Your withdrawal is recorded and binding; its acknowledgement will follow.",
        ])  # fmt: skip
    return room.see(asked, one.id)


async def _narrow(room: Room, asked: Asked) -> Response:
    one = await room.one(asked)
    kept = tuple(sorted({*asked.texts("scope")} & {*one.terms.scopes}))
    await room.parts.ledger.narrow(one.id, kept, one.operator)
    asked.session.put(
        "notice", ["L'accord est réduit à ce que vous gardez.", "The agreement is narrowed to what you keep."]
    )
    return room.see(asked, one.id)


async def _identify(room: Room, asked: Asked) -> Response:
    one = await room.one(asked)
    return await leave_for(room, asked, f"claim:{one.id.hex()}", one.id, one.terms, room.address(one.id))


async def _claim(room: Room, asked: Asked) -> Response:
    one = await room.one(asked)
    await room.parts.ledger.claim(one.id, identity_of(asked), evidence_for(asked, f"claim:{one.id.hex()}"))
    asked.session.put(ACTS, None)
    asked.session.put("notice", ["Cet accord est désormais à votre nom.", "This agreement is now in your name."])
    return room.see(asked, one.id)

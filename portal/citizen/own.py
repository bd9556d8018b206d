"""A person's own agreements: all of them, one with each use, its receipt. Entered by a login, or by the code on a receipt, which opens
that one agreement."""

from __future__ import annotations

import asyncio
from functools import partial

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent import paper
from consent.core import record
from consent.core.facts import State
from portal.citizen.room import AT, HOME, Room, logged_in_for, name_of
from portal.core import citizen
from portal.web.pages import Asked, Page, Pages


def routes(room: Room, pages: Pages) -> list[BaseRoute]:
    """What is read; nothing changes here but which agreements this browser has open."""
    return [
        *pages.page(HOME, partial(_home, room)),
        *pages.action(HOME + "/code", partial(_open, room)),
        *pages.download(AT + "/recu.pdf", partial(_receipt_pdf, room)),
        *pages.download(AT + "/recu.jsonld", partial(_receipt_json_ld, room)),
        *pages.page(AT, partial(_show, room)),
    ]


async def _home(room: Room, asked: Asked, wrong: bool = False) -> Page:
    agreements = await room.all(asked)
    shown = {
        "name": name_of(asked), "agreements": [room.card(one, asked) for one in agreements],
        "waiting": await room.waiting(asked, agreements),
        "providers": [label for _, label in room.logins.choices("citizen")], "wrong": wrong,
    }  # fmt: skip
    return Page("citoyen/accords.html", shown, 404 if wrong else 200)


async def _open(room: Room, asked: Asked) -> Page | Response:
    found = await room.open(asked, asked.text("code")[:64])
    return await _home(room, asked, wrong=True) if found is None else room.see(asked, found.id)


async def _show(room: Room, asked: Asked) -> Page:
    one = await room.one(asked)
    used = citizen.used(one, await room.parts.ledger.uses(one.id), room.names(one), asked.language)
    claiming = one.channel != "online" and one.state is State.LIVE and not one.by_another
    ready = claiming and logged_in_for(asked, f"claim:{one.id.hex()}") is not None
    more = {
        "used": used, "waiting": await room.waiting(asked, [one]), "name": name_of(asked), "may_claim": claiming,
        "claim_ready": ready,
    }  # fmt: skip
    return Page("citoyen/accord.html", room.card(one, asked) | more)


async def _receipt_pdf(room: Room, asked: Asked) -> Response:
    document = record.parse(await room.parts.ledger.receipt((await room.one(asked)).id))
    return _file(await asyncio.to_thread(paper.draw, document, asked.language), "application/pdf", "recu.pdf")


async def _receipt_json_ld(room: Room, asked: Asked) -> Response:
    text = await room.parts.ledger.receipt((await room.one(asked)).id)
    return _file(text.encode(), "application/ld+json", "recu.jsonld")


def _file(content: bytes, media_type: str, name: str) -> Response:
    return Response(content, media_type=media_type, headers={"content-disposition": f'inline; filename="{name}"'})

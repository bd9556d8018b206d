"""An agreement that a collectivity asks for: read, given in whole or in part, or refused."""

from __future__ import annotations

from functools import partial

import msgspec
from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core.citizen import Agreement
from consent.core.facts import State, Terms
from exchange.core.errors import Code
from exchange.ports import Refused
from exchange.recording import ONLINE
from portal.citizen.acting import evidence_for, leave_for
from portal.citizen.room import ACTS, HOME, OPENED, Room, id_in, identity_of, logged_in_for, name_of
from portal.web.pages import Asked, Missing, Page, Pages, Problem

AT = HOME + "/demande/{id}"
CHOSEN = "chosen"


def routes(room: Room, pages: Pages) -> list[BaseRoute]:
    """Whoever has the link may read the terms, and refuse; giving needs a login for these very terms."""
    return [
        *pages.download(AT + "/identification", partial(_identify, room)),
        *pages.page(AT, partial(_show, room)),
        *pages.action(AT + "/choix", partial(_choose, room)),
        *pages.action(AT + "/accord", partial(_give, room)),
        *pages.action(AT + "/refus", partial(_refuse, room)),
    ]


async def _show(room: Room, asked: Asked) -> Page | Response:
    one = await requested(room, asked)
    if one is None:
        return room.see(asked, id_in(asked))
    ready = logged_in_for(asked, _act(one.id)) is not None
    shown = {
        "chosen": list(chosen(asked, one).scopes), "ready": ready, "name": name_of(asked) if ready else "",
        "providers": [label for _, label in room.logins.choices("citizen")],
    }  # fmt: skip
    return Page("citoyen/demande.html", room.card(one, asked) | shown)


async def _choose(room: Room, asked: Asked) -> Response:
    one = await still_requested(room, asked)
    kept = sorted({*asked.texts("scope")} & {*one.terms.scopes})
    if not kept:
        raise Problem(Code.SCOPE_EXCEEDED, 400)
    asked.session.put(CHOSEN, asked.session.data.get(CHOSEN, {}) | {one.id.hex(): kept})
    return asked.see(address(one))


async def _identify(room: Room, asked: Asked) -> Response:
    one = await still_requested(room, asked)
    return await leave_for(room, asked, _act(one.id), one.id, chosen(asked, one), address(one))


async def _give(room: Room, asked: Asked) -> Response:
    one = await still_requested(room, asked)
    evidence = evidence_for(asked, _act(one.id))
    await room.parts.ledger.grant(one.id, chosen(asked, one), identity_of(asked), evidence, one.operator)
    asked.session.put(ACTS, None)
    asked.session.put("notice", [
        "Votre accord est donné. Vous pouvez le retirer ici à tout moment.",
        "Your agreement is given. You may withdraw it here at any time.",
    ])  # fmt: skip
    return room.see(asked, one.id)


async def _refuse(room: Room, asked: Asked) -> Response:
    one = await still_requested(room, asked)
    await room.parts.ledger.refuse(one.id, one.terms, ONLINE)
    asked.session.put(OPENED, sorted({*asked.session.data.get(OPENED, []), one.id.hex()}))
    asked.session.put("notice", [
        "Votre refus est enregistré. Votre dossier reste ouvert, rien n'est transmis.",
        "Your refusal is recorded. Your case stays open, nothing is handed over.",
    ])  # fmt: skip
    return room.see(asked, one.id)


def address(one: Agreement) -> str:
    """Of the page that asks for it."""
    return f"{HOME}/demande/{one.id.hex()}"


def _act(authorisation: bytes) -> str:
    return f"give:{authorisation.hex()}"


async def requested(room: Room, asked: Asked) -> Agreement | None:
    """The agreement asked for at this address; None once it was answered, `Missing` if there is none."""
    try:
        found = await room.parts.ledger.agreement(id_in(asked))
    except Refused:
        raise Missing from None
    return found if found.state is State.REQUESTED else None


async def still_requested(room: Room, asked: Asked) -> Agreement:
    """The same; the problem says so once it was answered."""
    found = await requested(room, asked)
    if found is None:
        raise Problem(Code.CONFLICT, 409)
    return found


def chosen(asked: Asked, one: Agreement) -> Terms:
    """What was asked for, with the scopes the person kept."""
    kept = asked.session.data.get(CHOSEN, {}).get(one.id.hex())
    return one.terms if kept is None else msgspec.structs.replace(one.terms, scopes=tuple(kept))

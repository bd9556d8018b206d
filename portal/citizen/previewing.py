"""Before an answer is handed over, where its data set asks for it: what would leave, seen by the person, who lets it through or not."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core.citizen import Agreement, Preview
from consent.core.facts import Evidence
from exchange.core.errors import Code
from exchange.recording import ONLINE
from portal.citizen.room import AT, Room, name_of
from portal.core import previews
from portal.web.pages import Asked, Page, Pages, Problem

_HERE = AT + "/apercu/{request}"


def routes(room: Room, pages: Pages) -> list[BaseRoute]:
    """Whoever may see the agreement sees what waits, and may refuse it; letting it through needs the person's login."""
    return [
        *pages.page(_HERE, partial(_show, room)),
        *pages.action(_HERE + "/transmission", partial(_let_through, room)),
        *pages.action(_HERE + "/refus", partial(_reject, room)),
    ]


async def _show(room: Room, asked: Asked) -> Page | Response:
    one, preview = await _found(room, asked)
    if preview is None:
        return room.see(asked, one.id)
    more = {
        "may_accept": await room.is_own(asked, one), "name": name_of(asked),
        "providers": [label for _, label in room.logins.choices("citizen")],
    }  # fmt: skip
    return Page("citoyen/apercu.html", previews.shown(one, preview, room.names(one), asked.language) | more)


async def _let_through(room: Room, asked: Asked) -> Response:
    one, preview = await _found(room, asked)
    if preview is None:
        return _too_late(room, asked, one)
    if not await room.is_own(asked, one):
        raise Problem(Code.EVIDENCE_MISSING, 409)
    await room.parts.ledger.previewed(preview.submission, True, Evidence("online", assurance=room.assurance(asked)))
    asked.session.put("notice", [
        "C'est noté : la réponse va être transmise.", "Noted: the answer is about to be handed over."
    ])  # fmt: skip
    return room.see(asked, one.id)


async def _reject(room: Room, asked: Asked) -> Response:
    one, preview = await _found(room, asked)
    if preview is None:
        return _too_late(room, asked, one)
    await room.parts.ledger.previewed(preview.submission, False, ONLINE)
    asked.session.put("notice", [
        "Rien n'est transmis. Votre dossier reste ouvert, et votre accord aussi : vous pouvez le retirer ici.",
        "Nothing is handed over. Your case stays open, and so does your agreement: you may withdraw it here.",
    ])  # fmt: skip
    return room.see(asked, one.id)


def _too_late(room: Room, asked: Asked, one: Agreement) -> Response:
    """Said already, here or elsewhere, or nothing waits any more: what became of it is on the agreement's own page."""
    asked.session.put("notice", [
        "Cette réponse n'attend plus : voyez ci-dessous ce qu'elle est devenue.",
        "This answer waits no more: see below what became of it.",
    ])  # fmt: skip
    return room.see(asked, one.id)


async def _found(room: Room, asked: Asked) -> tuple[Agreement, Preview | None]:
    """The agreement of this address, and what waits under it with this number; `Missing` unless they may see it."""
    one = await room.one(asked)
    waiting = await room.parts.ledger.previews([one.id])
    wanted = asked.path["request"]
    return one, next((each for each in waiting if each.submission.key.request.hex() == wanted), None)

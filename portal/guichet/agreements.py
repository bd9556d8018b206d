"""One agreement at the counter: what it is, what became of it, its receipt and its letter; and all that a citizen can do online with it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent import paper
from consent.core import record, told
from consent.core.facts import Evidence
from exchange.core.errors import Code
from exchange.core.rendering import day
from exchange.ports import Recovering
from portal.core import citizen, previews
from portal.core.assisted import CHANNELS, Draft
from portal.core.citizen import OPEN
from portal.guichet.desk import ROLE, Desk, agent_of, channels, keep
from portal.names import names_of, party
from portal.web.pages import Asked, Page, Pages, Problem


def routes(desk: Desk, pages: Pages) -> list[BaseRoute]:
    """Of the agreements this session has opened; no other is there."""
    at = "/guichet/accords/{id}"
    return [
        *pages.page(f"{at}/courrier", partial(_letter, desk), ROLE),
        *pages.download(f"{at}/recu.pdf", partial(_receipt, desk), ROLE),
        *pages.page(f"{at}/retrait", partial(_withdraw, desk), ROLE),
        *pages.action(f"{at}/retrait", partial(_withdrawn, desk), ROLE),
        *pages.action(f"{at}/reduction", partial(_narrowed, desk), ROLE),
        *pages.action(f"{at}/renouvellement", partial(_renew, desk), ROLE),
        *pages.page(at, partial(_shown, desk), ROLE),
    ]


async def _shown(desk: Desk, asked: Asked) -> Page:
    return Page("guichet/agreement.html", await _agreement(desk, asked))


async def _withdraw(desk: Desk, asked: Asked) -> Page:
    return Page("guichet/withdraw.html", await _agreement(desk, asked) | {"channels": channels()})


async def _agreement(desk: Desk, asked: Asked) -> dict[str, Any]:
    held = await desk.held(asked)
    document = record.parse(await desk.parts.ledger.receipt(held.id))
    names = names_of(desk.parts.places, held.terms)
    card = citizen.card(held, names, asked.language, desk.parts.clock.now_ms())
    waiting = await desk.parts.ledger.previews([held.id])
    entries = await desk.parts.ledger.entries(held.id)
    return card | {
        "word": told.word(card["state"], asked.tr),
        "code": document["accord:shortCode"],
        "waiting": [previews.shown(held, each, names, asked.language) for each in waiting],
        "history": [{"at_ms": e.at_ms, "text": told.word(e.kind, asked.tr), "request": e.request.hex(), "leaf": e.index} for e in entries],
    }  # fmt: skip


async def _letter(desk: Desk, asked: Asked) -> Page:
    agreement = await _agreement(desk, asked)
    name, address, contact = party(desk.parts.places, agent_of(asked).recipient)
    today = day(desk.parts.clock.now_ms(), asked.language)
    sender = {"name": name, "address": address, "contact": contact}
    return Page("guichet/letter.html", agreement | {"sender": sender, "today": today})


async def _receipt(desk: Desk, asked: Asked) -> Response:
    """The same page as the person gets online."""
    held = await desk.held(asked)
    document = record.parse(await desk.parts.ledger.receipt(held.id))
    drawn = await asyncio.to_thread(paper.draw, document, asked.language)
    name = f'inline; filename="recu-{held.id.hex()[:8]}.pdf"'
    return Response(drawn, media_type="application/pdf", headers={"content-disposition": name})


async def _withdrawn(desk: Desk, asked: Asked) -> Response:
    """Withdrawn, or objected to on a legal basis; what was already on its way is said."""
    held = await desk.held(asked)
    terms = held.terms
    channel = asked.text("channel")
    if channel not in CHANNELS:
        raise Problem(Code.BAD_FORM)
    happening = "opposed" if terms.basis == "legal" else "withdrawn"
    evidence = Evidence(channel, agent_of(asked).reference)
    try:
        await desk.parts.ledger.withdraw(held.id, happening, evidence)
    except Recovering as recovering:
        if not recovering.recorded:
            raise
        asked.session.put("notice", [
            "C'est enregistré et définitif. Le registre est en reprise : son accusé viendra ensuite.",
            "It is recorded and binding. The ledger is recovering: its acknowledgement will follow."])  # fmt: skip
        return asked.see(f"/guichet/accords/{held.id.hex()}")
    asked.session.put(
        "notice", ["Accord retiré : ses clés sont détruites.", "Agreement withdrawn: its keys are destroyed."]
    )
    return asked.see(f"/guichet/accords/{held.id.hex()}")


async def _narrowed(desk: Desk, asked: Asked) -> Response:
    """Only what is still ticked may be asked from now on."""
    held = await desk.held(asked)
    terms = held.terms
    kept = tuple(sorted(set(asked.texts("scope")) & set(terms.scopes)))
    if kept and kept != tuple(sorted(terms.scopes)):
        await desk.parts.ledger.narrow(held.id, kept, await desk.operator(terms.recipient))
        asked.session.put(
            "notice", ["Accord restreint à ce qui reste coché.", "Agreement narrowed to what is still ticked."]
        )
    else:
        asked.session.put("notice", [
            "Rien n'a changé : gardez au moins une information, et décochez-en une. Pour tout arrêter, retirez l'accord.",
            "Nothing changed: keep one piece of information at least, and untick one. To stop it all, withdraw."])  # fmt: skip
    return asked.see(f"/guichet/accords/{held.id.hex()}")


async def _renew(desk: Desk, asked: Asked) -> Response:
    """A draft like another: the terms are read aloud again, and the person answers."""
    held = await desk.held(asked)
    channel = asked.text("channel", "counter")
    if channel not in CHANNELS or held.state not in OPEN:
        raise Problem(Code.BAD_FORM)
    now_ms = desk.parts.clock.now_ms()
    draft = Draft(held.id.hex(), held.terms.recipient, now_ms, channel, asked.language, act="renew")
    keep(asked.session, draft)
    return asked.see(f"/guichet/saisies/{draft.id}/lecture")

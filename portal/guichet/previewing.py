"""At the counter, before an answer is handed over: what waits is read to the person, who says yes or no; the agent records it."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response
from starlette.routing import BaseRoute

from consent.core.citizen import Agreement, Preview
from consent.core.facts import Evidence
from exchange.core.errors import Code
from portal.core import previews
from portal.core.assisted import CHANNELS
from portal.guichet.desk import ROLE, Desk, agent_of, channels
from portal.names import names_of
from portal.web.pages import Asked, Page, Pages, Problem

_AT = "/guichet/accords/{id}/apercu/{request}"


def routes(desk: Desk, pages: Pages) -> list[BaseRoute]:
    """Of the agreements this session has opened; no other is there."""
    return [*pages.page(_AT, partial(_shown, desk), ROLE), *pages.action(_AT, partial(_said, desk), ROLE)]


async def _shown(desk: Desk, asked: Asked) -> Page | Response:
    held, preview = await _found(desk, asked)
    if preview is None:
        return asked.see(f"/guichet/accords/{held.id.hex()}")
    names = names_of(desk.parts.places, held.terms)
    data = previews.shown(held, preview, names, asked.language)
    script = list(previews.script(held, preview, names, asked.language))
    return Page("guichet/preview.html", data | {"script": script, "channels": channels()})


async def _said(desk: Desk, asked: Asked) -> Response:
    """Yes or no, and how the person said it."""
    held, preview = await _found(desk, asked)
    channel, answer = asked.text("channel"), asked.text("reponse")
    if channel not in CHANNELS or answer not in ("oui", "non"):
        raise Problem(Code.BAD_FORM)
    notice = ["Cette réponse n'attend plus.", "This answer waits no more."]
    if preview is not None:
        evidence = Evidence(channel, agent_of(asked).reference)
        await desk.parts.ledger.previewed(preview.submission, answer == "oui", evidence)
        notice = (
            ["C'est enregistré : la réponse va être transmise.", "Recorded: the answer is about to be handed over."]
            if answer == "oui"
            else ["C'est enregistré : rien n'est transmis.", "Recorded: nothing is handed over."]
        )
    asked.session.put("notice", notice)
    return asked.see(f"/guichet/accords/{held.id.hex()}")


async def _found(desk: Desk, asked: Asked) -> tuple[Agreement, Preview | None]:
    held = await desk.held(asked)
    wanted = asked.path["request"]
    waiting = await desk.parts.ledger.previews([held.id])
    return held, next((each for each in waiting if each.submission.key.request.hex() == wanted), None)

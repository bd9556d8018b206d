"""`/dpo`: the reason first, then every question an officer may ask."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import BaseRoute

from portal.core.guard import local_path
from portal.dpo import people, registers, searching
from portal.dpo.office import ROLE, Office, keep, kept, shown, whys, with_reason
from portal.names import Atlas
from portal.parts import Parts
from portal.web.pages import Asked, Page, Pages


def routes(parts: Parts, pages: Pages) -> list[BaseRoute]:
    """All pages of the officers' room; an officer must be logged in for each, and say why they ask."""
    office = Office(parts, Atlas(parts.places.root))
    return [
        *pages.page("/dpo/motif", _why, ROLE),
        *pages.action("/dpo/motif", _because, ROLE),
        *searching.routes(office, pages),
        *people.routes(office, pages),
        *registers.routes(office, pages),
        *pages.page("/dpo", with_reason(_home), ROLE),
    ]


async def _home(_: Asked) -> Page:
    return Page("dpo/home.html", {})


async def _why(asked: Asked) -> Page:
    return Page("dpo/reason.html", shown(asked) | {"problem": False})


async def _because(asked: Asked) -> Page | Response:
    """One line, kept for this session; it goes into every question's leaf."""
    reason = asked.text("motif")
    if whys(asked, reason) is not None:
        return Page("dpo/reason.html", shown(asked) | {"reason": reason, "problem": True}, 422)
    then = local_path(kept(asked, "next"), "/dpo")
    keep(asked, reason=reason, next=None)
    return asked.see(then)

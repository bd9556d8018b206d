"""The space's addresses: `/mes-accords`, one agreement below `/accord/`, one that is asked for below `/demande/`."""

from __future__ import annotations

from starlette.routing import BaseRoute

from portal.citizen import changing, child, giving, own, previewing
from portal.citizen.room import Room
from portal.identity.logins import Logins
from portal.names import Atlas
from portal.parts import Parts
from portal.web.pages import Pages


def routes(parts: Parts, pages: Pages, logins: Logins) -> list[BaseRoute]:
    """Its parts, over one room."""
    room = Room(parts, logins, Atlas(parts.places.root))
    return [
        *child.routes(room, pages),
        *giving.routes(room, pages),
        *changing.routes(room, pages),
        *previewing.routes(room, pages),
        *own.routes(room, pages),
    ]

"""What the officer's pages stand on: who asks, why, what was asked last, and the keys proofs are checked against."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from consent.core.query import stated
from consent.public_log import WITNESSES
from consent.verify import Policy
from consent.witness.client import read_places
from exchange.core.errors import Code
from portal.names import Atlas
from portal.parts import Parts
from portal.web.pages import Asked, Handler, Page, Problem

ROLE = "officer"
_KEPT = "dpo"
_WHY = "/dpo/motif"


@dataclass(frozen=True)
class Office:
    """One portal's officers' room."""

    parts: Parts
    atlas: Atlas

    @property
    def policy(self) -> Policy:
        """The log's key, and the witnesses this bus knows: their cosignatures are shown, none is required."""
        known = read_places(self.parts.places.root / WITNESSES)
        return Policy(self.parts.trust.log, tuple(place.witness for place in known))

    @property
    def now_s(self) -> int:
        return self.parts.clock.now_ms() // 1000


def officer_of(asked: Asked) -> str:
    """The officer's reference, under which they are appointed."""
    return str((asked.session.login(ROLE) or {}).get("reference", ""))


def shown(asked: Asked) -> dict[str, Any]:
    """Who asks and why, as their pages tell them: the name is for the eye alone."""
    who = asked.session.login(ROLE) or {}
    return {"officer": who.get("name", ""), "reference": officer_of(asked), "reason": reason_of(asked)}


def kept(asked: Asked, name: str) -> Any:
    """What this session keeps of the officer's work."""
    return asked.session.data.get(_KEPT, {}).get(name)


def keep(asked: Asked, **values: Any) -> None:
    """Keep these; None forgets one."""
    held = asked.session.data.get(_KEPT, {}) | values
    asked.session.put(_KEPT, {name: value for name, value in held.items() if value is not None})


def reason_of(asked: Asked) -> str:
    return str(kept(asked, "reason") or "")


def asker(asked: Asked) -> tuple[str, str]:
    """Who asks, and why."""
    return officer_of(asked), reason_of(asked)


def whys(asked: Asked, reason: str) -> Code | None:
    """Why this is no reason."""
    return stated(officer_of(asked) or "?", reason)


def with_reason(handler: Callable[[Asked], Awaitable[Page | Response]]) -> Handler:
    """The same, once a reason has been given: it is asked for first, and shown on the page."""

    async def guarded(asked: Asked) -> Page | Response:
        if not reason_of(asked):
            if asked.is_json or asked.request.method == "POST":
                raise Problem(Code.REASON_MISSING, 409)
            keep(asked, next=asked.request.url.path)
            return asked.see(_WHY)
        found = await handler(asked)
        if isinstance(found, Page):
            return Page(found.template, shown(asked) | dict(found.data), found.status)
        return found

    return guarded


def attached(content: bytes, name: str, kind: str) -> Response:
    """A file to keep."""
    return Response(content, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})

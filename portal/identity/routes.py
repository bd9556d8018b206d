"""Pages of logging in and out: `/connexion/…`, `/deconnexion`."""

from __future__ import annotations

from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from portal.core.guard import local_path
from portal.core.login import NotLoggedIn
from portal.identity.logins import Logins
from portal.web.pages import Asked, Missing, Page, Pages, Problem

ROLES = ("citizen", "agent", "officer", "operator")


def routes(pages: Pages, logins: Logins) -> list[BaseRoute]:
    """The login of every space. A page that needs a role sends the browser to `/connexion/<role>?next=<path>`."""

    async def choose(asked: Asked) -> Page | Response:
        role, then = _role(asked), local_path(asked.query.get("next"))
        choices = logins.choices(role)
        if len(choices) == 1 and not asked.is_json:
            return await leave(logins, asked, role, choices[0][0], then)
        shown = [{"name": name, "label": label} for name, label in choices]
        return Page("connexion/choose.html", {"role": role, "next": then, "providers": shown})

    async def go(asked: Asked) -> Page | Response:
        return await leave(logins, asked, _role(asked), asked.path["name"], local_path(asked.query.get("next")))

    async def come_back(asked: Asked) -> Page | Response:
        try:
            return asked.see(local_path(await logins.come_back(asked.session, asked.path["name"], dict(asked.query))))
        except NotLoggedIn as refused:
            raise Problem(refused.code, 400) from None

    async def log_out(asked: Asked) -> Page | Response:
        address = await logins.log_out(asked.session)
        return Page("connexion/leaving.html", {"address": address}) if address else asked.see("/deconnexion")

    async def logged_out(asked: Asked) -> Page | Response:
        return Page("connexion/left.html", {"logged_in": bool(asked.session.data.get("logins"))})

    return [
        *pages.page("/connexion/retour/{name}", come_back),
        *pages.page("/connexion/{role}", choose),
        *pages.page("/connexion/{role}/{name}", go),
        *pages.page("/deconnexion", logged_out),
        *pages.action("/deconnexion", log_out),
    ]


def _role(asked: Asked) -> str:
    if asked.path["role"] not in ROLES:
        raise Missing
    return str(asked.path["role"])


async def leave(logins: Logins, asked: Asked, role: str, name: str, then: str, **bound: str) -> Response:
    """To the identity provider, and from there on to `then`; `bound` is for what act, as `Logins.leave` takes it."""
    try:
        return RedirectResponse(await logins.leave(asked.session, role, name, then, **bound), 303)
    except NotLoggedIn as refused:
        raise Problem(refused.code, 503) from None

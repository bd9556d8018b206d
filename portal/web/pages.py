"""Pages: what a space gives back, how it is drawn, and its twin in JSON.

A page is asked for by GET, an action by POST with the token of the browser's session. A handler takes an `Asked` and gives a `Page`
(a template and the JSON values it shows: the same values are the page's `.json` twin), or any Starlette response.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from exchange.core import rendering
from exchange.core.errors import CATALOGUE, Code
from exchange.outcomes import ExchangeError
from exchange.ports import Recovering, Refused, Unavailable
from portal.core import guard
from portal.core.language import Language, Tr, choose, translator
from portal.core.problems import status as status_of
from portal.web.sessions import Session, Sessions

HERE = Path(__file__).parents[1]
STATIC = HERE / "static"
SESSION, LANGUAGE = "accord", "langue"
"""Cookies."""
FIELDS_MAX, FIELD_MAX_BYTES = 100, 64 << 10


@dataclass(frozen=True)
class Page:
    """A template of `portal/templates/` and the JSON values it shows."""

    template: str
    data: Mapping[str, Any]
    status: int = 200


class Problem(Exception):
    """A request that cannot be answered as asked: a code of the catalogue, and its HTTP status."""

    def __init__(self, code: Code, status: int = 400) -> None:
        super().__init__(code.value)
        self.code, self.status = code, status


class Missing(Exception):
    """No such page, or none for this person: both look the same."""


@dataclass
class Asked:
    """One request of a person's browser."""

    request: Request
    session: Session
    language: Language
    form: FormData
    tr: Tr
    is_json: bool = False

    @property
    def path(self) -> Mapping[str, Any]:
        """The variable parts of the path."""
        return self.request.path_params

    @property
    def query(self) -> Mapping[str, str]:
        return self.request.query_params

    def text(self, name: str, otherwise: str = "") -> str:
        """A field of the form, stripped; a file is none."""
        value = self.form.get(name, otherwise)
        return value.strip() if isinstance(value, str) else otherwise

    def texts(self, name: str) -> list[str]:
        """All values of a field that may be there several times."""
        return [value for value in self.form.getlist(name) if isinstance(value, str)]

    def see(self, path: str) -> Response:
        """After an action: go and look (303, RFC 9110 §15.4.4)."""
        return RedirectResponse(path, 303)


Handler = Callable[[Asked], Awaitable[Page | Response]]
Open = Callable[[Request], bool]


def never(_: Request) -> bool:
    """Nobody does without a login."""
    return False


class Pages:
    """Draws the pages of one portal, and guards its actions."""

    def __init__(self, sessions: Sessions, url: str, cookie: str = SESSION) -> None:
        """`cookie` is its name: those of one machine are shared by all its ports."""
        self._sessions, self._secure, self._cookie = sessions, url.startswith("https:"), cookie
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=select_autoescape(),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(_FILTERS)
        self._templates.globals["asset"] = _asset

    def page(self, path: str, handler: Handler, needs: str = "", unless: Open = never) -> list[BaseRoute]:
        """The routes of a page and of its twin. `needs`: the role somebody must be logged in with (`Session.login`), `unless` this
        request may do without."""
        twin = "/index.json" if path == "/" else f"{path}.json"
        return [
            Route(twin, self._endpoint(handler, needs, unless, is_json=True), methods=["GET"]),
            Route(path, self._endpoint(handler, needs, unless), methods=["GET"]),
        ]

    def download(self, path: str, handler: Handler, needs: str = "") -> list[BaseRoute]:
        """The route of a file: it has no twin."""
        return [Route(path, self._endpoint(handler, needs, never), methods=["GET"])]

    def action(self, path: str, handler: Handler, needs: str = "", unless: Open = never) -> list[BaseRoute]:
        """The route of what changes something: a POST that bears the session's token."""
        return [Route(path, self._endpoint(handler, needs, unless, is_action=True), methods=["POST"])]

    def _endpoint(
        self, handler: Handler, needs: str, unless: Open, *, is_json: bool = False, is_action: bool = False
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            asked = self._asked(request, is_json=is_json)
            try:
                if needs and asked.session.login(needs) is None and not unless(request):
                    response = self._to_login(asked, needs, is_action=is_action)
                else:
                    if is_action:
                        asked.form = await _form(request)
                        _check(asked)
                    response = await self._answered(handler, asked)
            except Exception as error:
                response = self._explained(asked, error)
            return self._kept(asked, response)

        return endpoint

    def _asked(self, request: Request, *, is_json: bool = False) -> Asked:
        wished = request.query_params.get("lang")
        language = choose(wished, request.cookies.get(LANGUAGE), request.headers.get("accept-language", ""))
        held = self._sessions.read(request.cookies.get(self._cookie))
        return Asked(request, held, language, FormData(), translator(language), is_json)

    async def _answered(self, handler: Handler, asked: Asked) -> Response:
        found = await handler(asked)
        return self._drawn(asked, found) if isinstance(found, Page) else found

    def _drawn(self, asked: Asked, page: Page) -> Response:
        if asked.is_json:
            return JSONResponse(dict(page.data), page.status)
        path = asked.request.scope["path"]
        context = {
            **page.data,
            "tr": asked.tr,
            "lang": asked.language,
            "path": path,
            "twin": _twin(path) if page.status != 404 else "",
            "csrf": lambda: _token(asked.session),
            "logins": asked.session.data.get("logins", {}),
            "notice": asked.session.take("notice") if "notice" in asked.session.data else None,
        }
        return HTMLResponse(self._templates.get_template(page.template).render(context), page.status)

    def _explained(self, asked: Asked, error: Exception) -> Response:
        """An error as a page: what happened, why, what to do; the bug of a handler goes on to the server."""
        if isinstance(error, Missing):
            return self._drawn(asked, Page("missing.html", {"code": "not_found"}, 404))
        code, status = _code_of(error)
        entry = CATALOGUE[code]
        cause, todo = entry.cause(asked.language), entry.todo(asked.language)
        return self._drawn(asked, Page("problem.html", {"code": code.value, "cause": cause, "todo": todo}, status))

    def missing(self, request: Request) -> Response:
        """The page of an address that is none."""
        asked = self._asked(request, is_json=request.url.path.endswith(".json"))
        return self._kept(asked, self._explained(asked, Missing()))

    def refused(self, request: Request, code: Code) -> Response:
        """The page of a request that goes no further than the door. It is nobody's: no session is read or kept."""
        wished, accepted = request.cookies.get(LANGUAGE), request.headers.get("accept-language", "")
        language, is_json = choose(None, wished, accepted), request.scope["path"].endswith(".json")
        asked = Asked(request, Session(b"", 0), language, FormData(), translator(language), is_json)
        return self._explained(asked, Problem(code, status_of(code)))

    def _to_login(self, asked: Asked, role: str, *, is_action: bool) -> Response:
        if asked.is_json:
            return JSONResponse({"code": "login_required", "login": f"/connexion/{role}"}, 401)
        here = "/" if is_action else asked.request.url.path
        return RedirectResponse(f"/connexion/{role}?next={quote(here)}", 303)

    def _kept(self, asked: Asked, response: Response) -> Response:
        held = asked.session
        if held.changed or not held.is_new:
            self._sessions.keep(held)
        flags: dict[str, Any] = {"httponly": True, "secure": self._secure, "samesite": "lax", "path": "/"}
        if held.ended:
            response.delete_cookie(self._cookie, **flags)
        elif held.changed and (held.is_new or held.former):
            response.set_cookie(self._cookie, held.cookie, **flags)
        if asked.request.query_params.get("lang") == asked.language:
            response.set_cookie(LANGUAGE, asked.language, max_age=365 * 86_400, **flags)
        response.headers.setdefault("vary", "cookie, accept-language")
        return response


def _twin(path: str) -> str:
    """The address of a page's values; empty where the path is not one of ours (`//elsewhere.test/x`)."""
    return "/index.json" if path == "/" else guard.local_path(f"{path.removesuffix('/')}.json", "")


def _token(held: Session) -> str:
    """The token of a form; a session that had no reason to be kept now has one."""
    held.changed = True
    return held.csrf


async def _form(request: Request) -> FormData:
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise Problem(Code.BAD_FORM)
    return await request.form(max_files=2, max_fields=FIELDS_MAX, max_part_size=FIELD_MAX_BYTES)


def _check(asked: Asked) -> None:
    token = asked.form.get("csrf", "")
    ours = guard.comes_from_us({name.lower(): value for name, value in asked.request.headers.items()})
    if not ours or not isinstance(token, str) or not guard.same(token, asked.session.csrf):
        raise Problem(Code.BAD_FORM, 403)


def _code_of(error: Exception) -> tuple[Code, int]:
    if isinstance(error, Problem):
        return error.code, error.status
    if isinstance(error, Refused | ExchangeError):
        return error.code, 503 if error.code is Code.UNAVAILABLE else 409
    if isinstance(error, Recovering):
        return Code.RECOVERING, 503
    if isinstance(error, Unavailable):
        return Code.UNAVAILABLE, 503
    if isinstance(error, ClientDisconnect | HTTPException):  # a form that ends too early, or that is none
        return Code.BAD_FORM, 400
    raise error


def _asset(name: str) -> str:
    """The address of a static file; it changes when the file does, so that it may be kept for ever."""
    if name not in _HASHES:
        _HASHES[name] = sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={_HASHES[name]}"


_HASHES: dict[str, str] = {}
_FILTERS = {"day": rendering.day, "moment": rendering.moment, "clock": rendering.clock, "iso": rendering.rfc3339}
"""`{{ at_ms | day(lang) }}`, `{{ at_ms | moment(lang) }}`, `{{ at_ms | clock }}`; `iso` for `<time datetime>`."""

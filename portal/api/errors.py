"""Every error of the HTTP API as one RFC 9457 document: what was raised, told in the caller's language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exchange.core.errors import Code
from exchange.ports import Recovering, Refused, Unavailable
from portal.api.context import language_of
from portal.api.strict import told
from portal.core.cursors import BadCursor
from portal.core.problems import MEDIA_TYPE, Problem, document, status
from portal.core.submissions import Unusable

_HTTP = {404: Code.NOT_THERE, 405: Code.METHOD_UNKNOWN, 413: Code.TOO_LARGE, 415: Code.MEDIA_TYPE}
_FIELD = re.compile(r"[a-z][a-z0-9_-]{0,40}", re.ASCII)
_FIELDS_MAX = 20


def install(app: FastAPI) -> None:
    """Nothing leaves as FastAPI's own error."""
    for kind in (Problem, Unusable, BadCursor, Refused, Recovering, Unavailable):
        app.add_exception_handler(kind, _raised)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _bug)


def problem_of(error: Exception) -> Problem:
    """What an error of ours is to a caller."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, Unusable | Refused):
        return Problem(error.code)
    if isinstance(error, BadCursor):
        return Problem(Code.BAD_CURSOR)
    if isinstance(error, Recovering):
        return Problem(Code.RECOVERING, recorded=error.recorded)
    return Problem(Code.UNAVAILABLE if isinstance(error, Unavailable) else Code.INTERNAL)


def answer(request: Request, problem: Problem, more: dict[str, str] | None = None, **members: Any) -> Response:
    """The document, and the headers that go with its status."""
    language = language_of(request)
    headers = {"content-language": language, "cache-control": "no-store", **told(request), **(more or {})}
    if problem.retry_in_s is not None:
        headers["retry-after"] = str(problem.retry_in_s)
    if status(problem.code) == 401:
        headers["www-authenticate"] = "Bearer"
    body = document(problem, language) | members
    return JSONResponse(body, status(problem.code), headers, media_type=MEDIA_TYPE)


async def _raised(request: Request, error: Exception) -> Response:
    return answer(request, problem_of(error))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    more = {"allow": _allowed(request)} if error.status_code == 405 else None
    return answer(request, Problem(_HTTP.get(error.status_code, Code.BAD_FIELD)), more)


def _allowed(request: Request) -> str:
    """Every method of an address (RFC 9110, section 10.2.1): Starlette tells those of its first route alone."""
    here = [route for route in _each(request.app.routes) if route.matches(request.scope)[0] is not Match.NONE]
    return ", ".join(sorted({method for route in here for method in route.methods or ()}))


def _each(routes: Sequence[BaseRoute]) -> Iterator[Route]:
    """Those of included routers too: FastAPI keeps them apart."""
    for route in routes:
        if isinstance(route, Route):
            yield route
        yield from _each(getattr(getattr(route, "original_router", None), "routes", ()))


async def _invalid(request: Request, error: Exception) -> Response:
    """Which fields, never what they hold."""
    assert isinstance(error, RequestValidationError)
    found = list(dict.fromkeys(_named(each["loc"], each["type"]) for each in error.errors()))[:_FIELDS_MAX]
    return answer(request, Problem(Code.BAD_FIELD), errors=[{"field": field} for field in found])


def _named(place: Sequence[str | int], kind: str) -> str:
    """`body.scopes.0`; what the caller made up is a star."""
    *outer, last = (str(part) if isinstance(part, int) or _FIELD.fullmatch(part) else "*" for part in place)
    return ".".join([*outer, "*" if kind == "extra_forbidden" else last])


async def _bug(request: Request, error: Exception) -> Response:
    structlog.get_logger().error("api_bug", error=type(error).__name__)
    return answer(request, Problem(Code.INTERNAL))


class Quiet:
    """Around the application: a bug was told to its caller and logged in one line, so it goes no further, and no trace with it. An address that
    holds a line's end is nobody's."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not str(scope.get("path", "")).isprintable():
            await answer(Request(scope), Problem(Code.NOT_THERE))(scope, receive, send)
            return
        with suppress(Exception):
            await self._app(scope, receive, send)

"""`/v1/events`: the outcomes of an operator, after a cursor, as a page or as a stream (Server-Sent Events); seven days of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from exchange.core.errors import Code
from portal.api.context import Api, ApiDep, CallerDep, LanguageDep, api_of, known_by
from portal.api.feeds import Lapsed, Told
from portal.api.models import Answer, Cursor, Id, Limit, Links, Outcome, Prefer
from portal.api.strict import StrictRoute
from portal.api.tokens import Caller
from portal.core import cursors, views
from portal.core.headers import accepted, wait_s
from portal.core.language import Language
from portal.core.problems import Problem

router = APIRouter(route_class=StrictRoute, tags=["events"])
STREAM, PAGE = "text/event-stream", "application/json"
LATEST = "latest"
"""In place of a cursor: only what is yet to come."""
ALIVE_S = 15
STREAMS_MAX = 8
"""Streams of one client at the same time."""
_STREAM_LIMIT = 100


class Event(Answer):
    """One outcome, or that an answer waits: `request.preview_pending` for its person, `request.waiting` to be opened. `cursor` goes on after
    it."""

    cursor: str
    type: str
    at: str
    request: Id
    authorisation: Id
    outcome: Outcome | None
    message: str


class Meta(Answer):
    """`cursor`: go on after this page, also where it is empty."""

    count: int
    cursor: str


class Events(Answer):
    """A page of events, oldest first."""

    data: list[Event]
    links: Links
    meta: Meta


_OK: dict[int | str, dict[str, Any]] = {
    200: {
        "model": Events,
        "content": {STREAM: {"schema": {"type": "string"}}},
        "description": "Une page, ou un flux · a page, or a stream.",
    }
}


@router.get("/events", responses=_OK, operation_id="events")
async def events(
    request: Request, api: ApiDep, caller: CallerDep, language: LanguageDep, after: Cursor = "", limit: Limit = 100,
    prefer: Prefer = "", last_event_id: Annotated[str, Header(pattern=r"^[A-Za-z0-9_-]*$", max_length=4096)] = "",
) -> Response:  # fmt: skip
    """Les issues de l'opérateur après un curseur ; vide : depuis la plus ancienne gardée ; `latest` : celles à venir. · The operator's outcomes
    after a cursor; empty: from the oldest kept; `latest`: those to come."""
    form = accepted(request.headers.get("accept", ""), (PAGE, STREAM))
    if not form:
        raise Problem(Code.NOT_ACCEPTABLE)
    key = api.key("cursors")
    feed, wanted = api.feeds.of(caller.operator), last_event_id if form == STREAM and last_event_id else after
    offsets = await feed.ends() if wanted == LATEST else cursors.read(key, caller.operator, wanted)
    try:
        offsets = await feed.placed(offsets)
    except Lapsed:
        raise Problem(Code.CURSOR_LAPSED) from None
    if form == STREAM:
        return _stream(request, caller, offsets, language)
    found = [] if wanted == LATEST else await feed.after(offsets, limit, wait_s(prefer))
    return _page(api, caller, offsets, found, limit, language)


def _page(
    api: Api, caller: Caller, offsets: dict[int, int], found: Sequence[Told], limit: int, language: Language
) -> Response:
    base, before = (
        f"{api.parts.url}/v1/events?limit={limit}",
        cursors.write(api.key("cursors"), caller.operator, offsets),
    )
    data = _events(api, caller, offsets, found, language)
    cursor = data[-1]["cursor"] if data else before
    following = f"{base}&after={cursor}"
    links = {"self": f"{base}&after={before}", "next": following}
    body = {"data": data, "links": links, "meta": {"count": len(data), "cursor": cursor}}
    return JSONResponse(body, headers={"link": f'<{following}>; rel="next"', "cache-control": "no-store"})


def _events(
    api: Api, caller: Caller, offsets: dict[int, int], found: Sequence[Told], language: Language
) -> list[dict[str, Any]]:
    """Each with the cursor that goes on after it; `offsets` move along."""
    told = list[dict[str, Any]]()
    for one in found:
        offsets[one.partition] = one.offset + 1
        cursor = cursors.write(api.key("cursors"), caller.operator, offsets)
        told.append(views.event(cursor, one.at_ms, one.told, one.message, language))
    return told


def _stream(request: Request, caller: Caller, offsets: dict[int, int], language: Language) -> Response:
    if api_of(request).streams.get(caller.client, 0) >= STREAMS_MAX:
        raise Problem(Code.TOO_MANY, retry_in_s=ALIVE_S)
    return StreamingResponse(
        _flow(request, caller, offsets, language), media_type=STREAM, headers={"cache-control": "no-store"}
    )


async def _flow(request: Request, caller: Caller, offsets: dict[int, int], language: Language) -> AsyncIterator[str]:
    """Until the caller's token is good for nothing more, or the portal stops; whoever reads on comes back with the last id."""
    api = api_of(request)
    api.streams[caller.client] = api.streams.get(caller.client, 0) + 1
    try:
        yield "retry: 1000\n\n"
        while True:
            left_s = (caller.not_after_ms - api.now_ms()) / 1000
            found = await api.feeds.of(caller.operator).after(offsets, _STREAM_LIMIT, min(ALIVE_S, max(0, left_s)))
            if (
                api.feeds.closing.is_set() or known_by(request) is None
            ):  # who may no longer know is not told what came meanwhile
                return
            for one in _events(api, caller, offsets, found, language):
                yield f"id: {one['cursor']}\nevent: {one['type']}\ndata: {json.dumps(one)}\n\n"
            if not found:
                yield ": \n\n"
    finally:
        api.streams[caller.client] -= 1

"""The console's pages: how the bus is, one request through its trace, topics and their messages, dead letters."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from exchange.ports import Unavailable
from portal.console import dead_letters, records, requests
from portal.console.vitals import from_here, vitals
from portal.core.snippets import as_curl, as_python
from portal.parts import Parts
from portal.web.pages import Asked, Missing, Page, Pages

ROLE = "operator"
MESSAGES = 20
HERE = "/console"


def routes(parts: Parts, pages: Pages) -> list[BaseRoute]:
    """All of them need an operator; on the machine of a sandbox anybody is one, and the pages say so."""

    def unless(request: Request) -> bool:
        return from_here(parts, request)

    console = Console(parts)
    return [
        *pages.page(HERE, console.overview, ROLE, unless),
        *pages.page(f"{HERE}/requests", console.requests, ROLE, unless),
        *pages.page(f"{HERE}/requests/{{id}}", console.request, ROLE, unless),
        *pages.page(f"{HERE}/topics", console.topics, ROLE, unless),
        *pages.page(f"{HERE}/topics/{{topic}}", console.topic, ROLE, unless),
        *pages.page(f"{HERE}/topics/{{topic}}/{{partition:int}}/{{offset:int}}", console.message, ROLE, unless),
        *pages.page(f"{HERE}/dead-letters", console.dead_letters, ROLE, unless),
        *pages.action(f"{HERE}/dead-letters/retry", console.retry, ROLE, unless),
    ]


class Console:
    """The pages over one portal's parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def overview(self, asked: Asked) -> Page:
        well, meter = await vitals(self._parts), self._parts.meter
        letters = await self._count() if well["broker"]["ok"] else None
        plots = {"topics": meter.topics() if meter else [], "groups": meter.groups() if meter else []}
        return self._page(
            asked,
            "overview",
            well | plots | {"recent": (await requests.recent(self._parts))[:8], "dead_letters": letters},
        )

    async def requests(self, asked: Asked) -> Page | Response:
        wanted = "".join(asked.query.get("id", "").split()).lower()
        if _id(wanted) and await requests.one(self._parts, bytes.fromhex(wanted)) is not None:
            return asked.see(f"{HERE}/requests/{wanted}{'.json' if asked.is_json else ''}")
        return self._page(asked, "requests", {"recent": await requests.recent(self._parts), "wanted": wanted[:64]})

    async def request(self, asked: Asked) -> Page:
        found = await requests.one(self._parts, bytes.fromhex(asked.path["id"])) if _id(asked.path["id"]) else None
        if found is None:
            raise Missing
        curl = as_curl(self._parts.url, found["id"])
        python = as_python(found["data_set"], found["purpose"], found["authorisation"])
        return self._page(asked, "request", {"request": found, "curl": curl, "python": python})

    async def topics(self, asked: Asked) -> Page:
        meter = self._parts.meter
        return self._page(
            asked, "topics", {"topics": meter.topics() if meter else [], "groups": meter.groups() if meter else []}
        )

    async def topic(self, asked: Asked) -> Page:
        name = asked.path["topic"]
        self._known(name)
        found = await records.latest(self._parts.reader, name, MESSAGES)
        return self._page(
            asked, "topic", {"topic": name, "messages": [records.told(record) for record in found[:MESSAGES]]}
        )

    async def message(self, asked: Asked) -> Page:
        place = dead_letters.Place(**asked.path)
        self._known(place.topic)
        record = await records.at(self._parts.reader, *place)
        if record is None:
            raise Missing
        return self._page(asked, "message", {"message": records.told(record)})

    async def dead_letters(self, asked: Asked) -> Page:
        return self._page(asked, "dead_letters", {"letters": await dead_letters.listed(self._parts)})

    async def retry(self, asked: Asked) -> Response:
        topic, partition, offset = asked.text("topic"), asked.text("partition"), asked.text("offset")
        if not (partition.isdecimal() and offset.isdecimal() and len(partition + offset) < 20):
            raise Missing
        who = (asked.session.login(ROLE) or {}).get("reference", "sandbox")
        await dead_letters.retry(self._parts, dead_letters.Place(topic, int(partition), int(offset)), who)
        asked.session.put("notice", ["Le message est reparti, une fois.", "The message was sent again, once."])
        return asked.see(f"{HERE}/dead-letters")

    def _page(self, asked: Asked, name: str, data: dict[str, Any]) -> Page:
        """`live`: whether the page looks again by itself (with JavaScript); `sandbox`: whether nobody had to log in."""
        live = asked.query.get("live") != "0"
        now = {"now_ms": self._parts.clock.now_ms(), "live": live, "sandbox": from_here(self._parts, asked.request)}
        return Page(f"console/{name}.html", now | data)

    def _known(self, topic: str) -> None:
        if self._parts.outbox is None:
            raise Unavailable("no broker")
        if not self._parts.outbox.partitions(topic):
            raise Missing

    async def _count(self) -> int:
        try:
            return len(await dead_letters.listed(self._parts))
        except Unavailable:
            return 0


def _id(text: str) -> bool:
    try:
        return len(bytes.fromhex(text)) == 16 and text == text.strip()
    except ValueError:
        return False

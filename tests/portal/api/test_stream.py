"""Server-Sent Events over a real socket: what happens is told as it happens, once, from where one left, and to nobody who may not know any more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from joserfc.jwk import ECKey
from sqlalchemy import update

from portal.api import clients, events
from portal.api.tokens import token as tokens
from tests.portal.api.serving import Served
from tests.portal.api.test_requests import asked
from tests.world import JEANNE

ALIVE_S = 0.4


class Event(NamedTuple):
    """One event of a stream, as its lines tell it."""

    id: str
    type: str
    data: dict[str, object]


class Stream:
    """One open stream, read line by line."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer, self._lines = answer, answer.iter_lines()
        self.comments = 0

    def next(self) -> Event | None:
        """None where it ends."""
        told = dict[str, str]()
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comments += 1
            elif line:
                told[name] = value
            elif "data" in told:
                return Event(told["id"], told["event"], json.loads(told["data"]))
            else:
                told = {}
        return None

    def first(self, count: int) -> list[Event]:
        found = [self.next() for _ in range(count)]
        return [one for one in found if one is not None]


@contextmanager
def stream(served: Served, token: str = "", query: str = "", **headers: str) -> Iterator[Stream]:
    told = {"authorization": f"Bearer {token or served.stand.token}", "accept": "text/event-stream"} | headers
    with httpx.stream("GET", f"{served.url}/v1/events{query}", headers=told, timeout=20, trust_env=False) as answer:
        yield Stream(answer)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with pytest.MonkeyPatch.context() as patch, Served(tmp_path_factory.mktemp("portal")).up() as up:
        patch.setattr(events, "ALIVE_S", ALIVE_S)
        yield up


@pytest.fixture
def agreement(served: Served) -> bytes:
    made: bytes = served.run(served.stand.bus.give(JEANNE))
    return made


def ask(served: Served, agreement: bytes, count: int = 1) -> list[str]:
    return [served.run(asked(served.stand, agreement))[0] for _ in range(count)]


def latest(served: Served) -> str:
    found = httpx.get(f"{served.url}/v1/events?after=latest", headers={"authorization": f"Bearer {served.stand.token}"})
    return str(found.json()["meta"]["cursor"])


def test_told_as_it_happens(served: Served, agreement: bytes) -> None:
    """An open stream tells an outcome within moments of it, with its cursor for an id, its type, and what a page would say of it."""
    after = latest(served)
    with stream(served, query=f"?after={after}") as open_one:
        assert open_one.answer.headers["content-type"].startswith("text/event-stream")
        assert open_one.answer.headers["cache-control"] == "no-store"
        for _ in range(3):
            (request,) = ask(served, agreement)
            began_s = time.monotonic()
            event = open_one.next()
            assert event is not None and time.monotonic() - began_s < 5
            assert (event.data["request"], event.type, event.id) == (request, "request.released", event.data["cursor"])
    page = httpx.get(f"{served.url}/v1/events?after={after}", headers={"authorization": f"Bearer {served.stand.token}"})
    assert page.json()["data"][-1] == event.data


def test_resumed_without_loss_or_double(served: Served, agreement: bytes) -> None:
    """Whoever is cut off after any event comes back with its id, in `Last-Event-ID` or as `after`, and is told all the others once, in
    order; the header counts where both are there."""
    after = latest(served)
    with stream(served, query=f"?after={after}") as whole:
        requests = ask(served, agreement, 5)
        every = whole.first(5)
    assert sorted(str(event.data["request"]) for event in every) == sorted(requests)
    for cut in range(5):
        with stream(served, query=f"?after={after}") as begun:
            seen = begun.first(cut)
        cursor = seen[-1].id if seen else after
        with stream(served, **{"last-event-id": cursor}) as resumed:
            assert seen + resumed.first(5 - cut) == every
        with stream(served, query=f"?after={cursor}") as resumed:
            assert seen + resumed.first(5 - cut) == every
        with stream(served, query=f"?after={every[-1].id}", **{"last-event-id": cursor}) as resumed:
            assert seen + resumed.first(5 - cut) == every


def test_kept_alive(served: Served) -> None:
    """While nothing happens a comment comes now and then: proxies keep the connection, clients see that it lives."""
    began_s = time.monotonic()
    with stream(served, query="?after=latest") as quiet:
        lines = quiet.answer.iter_lines()
        told = [next(lines) for _ in range(8)]
    assert told[0] == "retry: 1000" and [line for line in told if line.startswith(":")][2:] != []
    assert ALIVE_S < time.monotonic() - began_s < 20 * ALIVE_S


def test_the_token_is_no_more(served: Served, agreement: bytes) -> None:
    """A client that is removed while its stream is open is told nothing more: the stream ends, and the token opens no other."""
    stand = served.stand
    key = ECKey.generate_key("P-256")
    stand.register("leaving", stand.bus.operator, key)
    token = served.run(stand.login("leaving", key))
    with stream(served, token, "?after=latest") as open_one:

        async def remove() -> None:
            clients.remove(stand.parts.store, "leaving")

        served.run(remove())
        ask(served, agreement)
        began_s = time.monotonic()
        assert open_one.next() is None
        assert time.monotonic() - began_s < 10 * ALIVE_S
    with stream(served, token) as refused:
        assert refused.answer.status_code == 401


def test_the_token_expires(served: Served) -> None:
    """A stream lives no longer than its token."""
    stand = served.stand
    token = served.run(stand.login())

    async def ends_soon() -> None:
        with stand.parts.store.begin() as connection:
            until_ms = stand.parts.clock.now_ms() + 900
            connection.execute(update(tokens).where(tokens.c.client == "mairie").values(not_after_ms=until_ms))

    served.run(ends_soon())
    began_s = time.monotonic()
    with stream(served, token, "?after=latest") as open_one:
        assert open_one.next() is None
    assert 0.5 < time.monotonic() - began_s < 4
    stand.token = served.run(stand.login())


def test_so_many_at_once(served: Served) -> None:
    """A client may hold so many streams; one more is told to wait, and may come once another has gone."""
    token = served.run(served.stand.another(served.stand.bus.operator, "greedy"))
    with ExitStack() as held:
        for _ in range(events.STREAMS_MAX):
            assert held.enter_context(stream(served, token, "?after=latest")).answer.status_code == 200
        with stream(served, token) as refused:
            refused.answer.read()
            assert (refused.answer.status_code, refused.answer.json()["code"]) == (429, "too_many")
    deadline_s = time.monotonic() + 5
    while True:
        with stream(served, token, "?after=latest") as again:
            if again.answer.status_code == 200:
                break
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


@pytest.mark.parametrize("id", ["AQ", "x" * 4000])
def test_an_id_that_is_none(served: Served, id: str) -> None:
    """A cursor that is none is refused as on a page."""
    with stream(served, **{"last-event-id": id}) as refused:
        refused.answer.read()
        assert (refused.answer.status_code, refused.answer.json()["code"]) == (400, "bad_cursor")


def test_the_portal_stops(tmp_path: Path) -> None:
    """A portal that is told to stop ends its streams at once, whole events only, and is gone."""
    with Served(tmp_path).up() as served, stream(served, query="?after=latest") as open_one:
        agreement = served.run(served.stand.bus.give(JEANNE))
        ask(served, agreement)
        assert open_one.next() is not None
        began_s = time.monotonic()
        served.stop()
        assert open_one.next() is None
        assert time.monotonic() - began_s < 3

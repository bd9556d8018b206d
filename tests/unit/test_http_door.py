"""The SDK's HTTP door calls no faster than it may, and waits where it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from joserfc.jwk import ECKey

from exchange.adapters.http import HttpDoor
from exchange.ports import Unavailable
from exchange.testing import VirtualClock

URL = "http://127.0.0.1:1"


@pytest.fixture
async def clock() -> AsyncIterator[VirtualClock]:
    """Moves on when everybody waits."""
    clock = VirtualClock()
    running = asyncio.create_task(clock.run())
    yield clock
    running.cancel()


class Api:
    """Gives tokens, and answers each call as told; remembers when it was called (ms)."""

    def __init__(self, clock: VirtualClock, *answers: httpx.Response) -> None:
        self._clock, self._answers, self.called_ms = clock, list(answers), list[int]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/token":
            return httpx.Response(200, json={"access_token": "t", "token_type": "Bearer", "expires_in": 600})
        self.called_ms.append(self._clock.now_ms())
        return self._answers.pop(0)


def door(clock: VirtualClock, api: Api) -> HttpDoor:
    key = ECKey.generate_key("P-256", private=True)
    return HttpDoor(URL, "mairie", key, clock, httpx.AsyncClient(transport=httpx.MockTransport(api)))


def left(count: int) -> dict[str, str]:
    return {"ratelimit-limit": "10", "ratelimit-remaining": str(count), "ratelimit-reset": "5"}


async def test_it_waits_as_long_as_it_is_told(clock: VirtualClock) -> None:
    """A 429 with `Retry-After` is no error: the same call, that much later."""
    api = Api(clock, httpx.Response(429, headers={"retry-after": "3"}), httpx.Response(200, json={"ok": True}))
    assert await door(clock, api).call("GET", "/me") == {"ok": True}
    assert api.called_ms[1] - api.called_ms[0] >= 3_000


async def test_where_nothing_is_left_it_goes_as_slowly_as_it_comes_back(clock: VirtualClock) -> None:
    """Ten in five seconds: half a second until the next; while something is left, at once."""
    api = Api(clock, *(httpx.Response(200, json={}, headers=left(n)) for n in (1, 0, 5)))
    one = door(clock, api)
    for _ in range(3):
        await one.call("GET", "/me")
    assert api.called_ms[1] == api.called_ms[0] and api.called_ms[2] - api.called_ms[1] == 500


async def test_not_for_ever(clock: VirtualClock) -> None:
    """Told to wait too long, it says that the bus is not there."""
    api = Api(clock, httpx.Response(429, headers={"retry-after": "9999"}, json={"code": "too_many"}))
    with pytest.raises(Unavailable):
        await door(clock, api).call("GET", "/me")

"""Webhooks: signed as Standard Webhooks says, in order, tried again, paused, resumed, and sent nowhere they must not go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exchange.bounded import Outside
from portal.core import addresses, hooks
from portal.core.addresses import BadAddress
from tests.portal.api.stand import Stand, open_stand
from tests.portal.api.test_requests import asked
from tests.world import until

HOOK = "http://127.0.0.1:9/hook"


@dataclass
class Receiver:
    """Somebody's server: keeps what it gets, and answers as told."""

    status: int = 200
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def hear(self, request: Request) -> Response:
        self.got.append((dict(request.headers), await request.body()))
        return Response(status_code=self.status, headers={"location": "http://127.0.0.1:9/other"})

    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, body in self.got]


@dataclass
class World:
    stand: Stand
    receiver: Receiver

    async def add(self, url: str = HOOK, **more: str) -> dict[str, Any]:
        answer = await self.stand.call("POST", "/webhooks", json={"url": url, **more})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def later(self) -> None:
        """More than any wait between two tries; then time for one."""
        self.stand.bus.clock.advance(1000 * max(hooks.BACKOFF_S))
        await self.stand.bus.clock.sleep(5)
        self.stand.token = await self.stand.login()

    async def shown(self, hook: dict[str, Any]) -> dict[str, Any]:
        return dict((await self.stand.call("GET", f"/webhooks/{hook['id']}")).json())


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    receiver = Receiver()
    app = Starlette(routes=[Route("/{path:path}", receiver.hear, methods=["POST"])])
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app))
    async with client, open_stand(tmp_path, outside=Outside(client)) as stand:
        yield World(stand, receiver)


def test_signatures_are_those_published() -> None:
    """The example of the specification (standard-webhooks, "Signature scheme") and its library's test vector."""
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    told = hooks.signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert told == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_an_outcome_is_sent_signed_with_ids_and_codes_only(world: World) -> None:
    """Whoever has the secret can tell that it is ours; no identity, no answer, no agreement is in it."""
    hook = await world.add()
    secret = base64.b64decode(hook["secret"].removeprefix("whsec_"))
    request, _ = await asked(world.stand)
    headers, body = await until(world.stand.bus, lambda: next(iter(world.receiver.got), None))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    told = json.loads(body)
    assert told["type"] == "request.released"
    assert told["data"] == {
        "request": request,
        "code": "released",
        "delivery": "key",
        "reason": "",
        "provider_code": "",
    }
    assert "secret" not in (await world.shown(hook)) or (await world.shown(hook))["secret"] is None


async def test_the_secret_lies_sealed_in_the_store(world: World) -> None:
    """A stolen store signs nothing."""
    hook = await world.add()
    secret = base64.b64decode(hook["secret"].removeprefix("whsec_"))
    raw = world.stand.parts.store.raw_connection()
    assert secret not in b"".join(str(line).encode("latin-1", "replace") for line in raw.driver_connection.iterdump())  # type: ignore[union-attr]  # sqlite3's
    assert secret.hex().upper() not in "".join(raw.driver_connection.iterdump())  # type: ignore[union-attr]  # as above


async def test_a_pause_is_told_at_another_address(world: World) -> None:
    """Once, signed with the webhook's own secret, naming it and nothing else; it stands among the deliveries. A bad address is refused."""
    hook = await world.add(alert=HOOK + "/alert")
    assert hook["alert"] == HOOK + "/alert"
    world.receiver.status = 500
    await asked(world.stand)
    for _ in range(2 * hooks.FAILURES_MAX):
        await world.later()
    assert world.receiver.types().count("webhook.paused") == 1
    headers, body = world.receiver.got[-1]
    assert json.loads(body)["data"] == {"webhook": hook["id"]}
    secret = base64.b64decode(hook["secret"].removeprefix("whsec_"))
    at_s = int(headers["webhook-timestamp"])
    assert headers["webhook-signature"] == hooks.signature(secret, headers["webhook-id"], at_s, body)
    kept = (await world.stand.call("GET", f"/webhooks/{hook['id']}/deliveries")).json()["data"]
    assert [one["type"].split(".")[0] for one in kept] == ["webhook", "request"]
    bad = await world.stand.call("POST", "/webhooks", json={"url": HOOK, "alert": "http://10.0.0.1/"})
    assert bad.json()["code"] == "address_refused"
    await world.stand.call("POST", f"/webhooks/{hook['id']}/removal")
    assert (await world.stand.call("GET", "/webhooks")).json()["data"] == []


async def test_paused_after_five_failures_and_resumed_from_where_it_was(world: World) -> None:
    """Nothing is lost: after the pause all that was missed follows, in order, the first under the id it was tried with."""
    hook = await world.add()
    world.receiver.status = 500
    first, _ = await asked(world.stand)
    for _ in range(2 * hooks.FAILURES_MAX):
        await world.later()
    assert len(world.receiver.got) == hooks.FAILURES_MAX
    assert (await world.shown(hook))["state"] == "paused"
    second, _ = await asked(world.stand)
    world.receiver.status = 204
    resumed = await world.stand.call("POST", f"/webhooks/{hook['id']}/resume")
    assert resumed.json()["state"] == "active"
    await until(world.stand.bus, lambda: len(world.receiver.got) >= hooks.FAILURES_MAX + 2 or None)
    told = [json.loads(body)["data"]["request"] for _, body in world.receiver.got]
    assert told == [first] * (hooks.FAILURES_MAX + 1) + [second]
    assert len({headers["webhook-id"] for headers, _ in world.receiver.got}) == 2
    listed = (await world.stand.call("GET", f"/webhooks/{hook['id']}/deliveries")).json()["data"]
    assert [(one["delivered"], one["tries"]) for one in listed] == [(True, 1), (True, hooks.FAILURES_MAX + 1)]


async def test_a_delivery_is_sent_again_under_its_id(world: World) -> None:
    """Replay: the same id and the same body; a page of deliveries leads to the next."""
    hook = await world.add()
    for _ in range(3):
        await asked(world.stand)
    await until(world.stand.bus, lambda: len(world.receiver.got) >= 3 or None)
    page = await world.stand.call("GET", f"/webhooks/{hook['id']}/deliveries", params={"limit": 2})
    following = page.json()["links"]["next"]
    assert page.headers["link"] == f'<{following}>; rel="next"' and len(page.json()["data"]) == 2
    (oldest,) = (await world.stand.call("GET", following.partition("/v1")[2])).json()["data"]
    again = await world.stand.call("POST", f"/webhooks/{hook['id']}/deliveries/{oldest['id']}/replay")
    assert again.json()["delivered"] and again.json()["tries"] == 2
    assert world.receiver.got[0][1] == world.receiver.got[-1][1]
    assert world.receiver.got[0][0]["webhook-id"] == world.receiver.got[-1][0]["webhook-id"]


async def test_a_test_call_says_what_it_met(world: World) -> None:
    """`tests` sends at once and says the status; a redirect is not followed and is no delivery."""
    hook = await world.add()
    told = await world.stand.call("POST", f"/webhooks/{hook['id']}/tests")
    assert (told.json()["type"], told.json()["status"], told.json()["delivered"]) == ("webhook.test", 200, True)
    world.receiver.status = 302
    told = await world.stand.call("POST", f"/webhooks/{hook['id']}/tests")
    assert (told.json()["status"], told.json()["delivered"]) == (302, False)
    assert len(world.receiver.got) == 2


async def test_removed(world: World) -> None:
    """Nothing more is sent, and it is there for nobody."""
    hook = await world.add()
    assert (await world.stand.call("POST", f"/webhooks/{hook['id']}/removal")).status_code == 200
    await asked(world.stand)
    await world.later()
    assert world.receiver.got == []
    assert (await world.stand.call("GET", f"/webhooks/{hook['id']}")).status_code == 404


async def test_no_way_into_a_network_of_ours(tmp_path: Path) -> None:
    """Outside the sandbox: https only, and neither this machine nor a private network nor a cloud's own address."""
    async with open_stand(tmp_path, state_api_url="https://particulier.api.gouv.fr") as stand:
        for url in (
            "http://93.184.216.34/", "https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://10.0.0.1/", "https://169.254.169.254/",
            "https://[::ffff:127.0.0.1]/", "https://2130706433/", "https://0/", "https://user@93.184.216.34/", "file:///etc/passwd", "gopher://x/",
            "https://93.184.216.34:99999/", "https://93.184.216.34/#x", "https:// 93.184.216.34/", "https://[64:ff9b::7f00:1]/",
        ):  # fmt: skip
            told = await stand.call("POST", "/webhooks", json={"url": url})
            assert (told.status_code, told.json()["code"]) == (400, "address_refused"), url
            assert url not in told.text
        assert (await stand.call("POST", "/webhooks", json={"url": "https://93.184.216.34/hook"})).status_code == 201


@pytest.mark.parametrize(
    ("found", "allowed", "fits"),
    [
        (["93.184.216.34"], (), True),
        (["93.184.216.34", "10.0.0.1"], (), False),  # one of its addresses is ours: none is used
        (["10.0.0.1"], ("10.0.0.0/8",), True),
        (["::ffff:10.0.0.1"], (), False),
        (["2002:7f00:1::"], (), False),
        (["fe80::1%eth0"], (), False),
        (["224.0.0.1"], (), False),
        ([], (), False),
    ],
)
def test_each_address_of_a_name_is_looked_at(found: list[str], allowed: tuple[str, ...], fits: bool) -> None:
    """A name is called only where all its addresses are public or allowed."""
    networks = addresses.networks(allowed)
    if fits:
        assert addresses.reachable(found, networks) == found[0]
    else:
        with pytest.raises(BadAddress):
            addresses.reachable(found, networks)


async def test_another_operator_sees_nothing_of_it(world: World) -> None:
    """Its webhooks, deliveries and actions are not there for anybody else."""
    hook = await world.add()
    other = await world.stand.another("552100554")
    for method, path in (
        ("GET", ""),
        ("GET", "/deliveries"),
        ("POST", "/tests"),
        ("POST", "/resume"),
        ("POST", "/removal"),
    ):
        told = await world.stand.call(method, f"/webhooks/{hook['id']}{path}", token=other)
        assert (told.status_code, told.json()["code"]) == (404, "not_there")
    assert (await world.stand.call("GET", "/webhooks", token=other)).json()["data"] == []

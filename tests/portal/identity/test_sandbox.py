"""The identity sandbox, and logging in to the portal through it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from exchange.testing import MemoryBus
from portal.identity.accounts import IDENTITY
from tests.portal.identity.signing_in import URL, Provider
from tests.portal.stand import Stand, portal
from tests.world import ScriptedApi

START = "/connexion/citizen?next=/deconnexion"


class Doors(NamedTuple):
    stand: Stand
    provider: Provider


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    """A portal whose identity provider is the sandbox."""
    async with AsyncExitStack() as stack:
        bus = await stack.enter_async_context(MemoryBus(ScriptedApi()))
        provider = Provider(bus, tmp_path)
        yield Doors(await stack.enter_async_context(portal(tmp_path, bus, provider.outside)), provider)


async def test_a_person_is_picked_and_logged_in(doors: Doors) -> None:
    """From our link to the sandbox's page and back: the browser has a new session id, and may log out, there too."""
    browser = doors.stand.browser
    back = await doors.provider.log_in(browser, START, "abroad")
    assert (back.status_code, back.headers["location"]) == (303, "/deconnexion")
    first = browser.cookies["accord"]
    assert (await browser.get("/deconnexion.json")).json() == {"logged_in": True}
    await doors.provider.log_in(browser, START, "eidas")
    assert browser.cookies["accord"] != first
    left = await doors.stand.submit("/deconnexion", "/deconnexion")
    assert f"{URL}/franceconnect/api/v2/session/end?id_token_hint=" in left.text
    assert (await browser.get("/deconnexion.json")).json() == {"logged_in": False}


async def test_every_agent_role_logs_in_with_the_agents_provider(doors: Doors) -> None:
    """Counter agents, officers and operators come through ProConnect; a role nobody is admitted to lets nobody in."""
    for role in ("agent", "officer", "operator"):
        back = await doors.provider.log_in(doors.stand.browser, f"/connexion/{role}?next=/x", "counter")
        assert back.headers["location"] == "/x"
    path = doors.stand.parts.places.root / IDENTITY
    path.write_bytes(path.read_bytes().replace(b'"operator":["*"]', b'"operator":["somebody"]'))
    refused = await doors.provider.log_in(doors.stand.browser, "/connexion/operator", "counter")
    assert (refused.status_code, "not_admitted" in refused.text) == (400, True)


async def test_giving_up_is_no_error_of_ours(doors: Doors) -> None:
    """Who turns back sees why, what else they can do, and is not logged in."""
    back = await doors.provider.log_in(doors.stand.browser, START, "")
    assert (back.status_code, "login_refused" in back.text) == (400, True)
    assert (await doors.stand.browser.get("/deconnexion.json")).json() == {"logged_in": False}


async def test_an_answer_meant_for_another_browser_is_refused(doors: Doors) -> None:
    """An answer brought by a browser that asked for none logs nobody in (login CSRF), and one serves once."""
    leaving = await doors.stand.browser.get(START)
    back = (await doors.provider.choose(leaving.headers["location"], "abroad")).removeprefix("http://127.0.0.1:8600")
    cookies, doors.stand.browser.cookies = doors.stand.browser.cookies, None  # type: ignore[assignment]  # httpx takes None for none
    assert "login_invalid" in (await doors.stand.browser.get(back)).text
    doors.stand.browser.cookies = cookies
    assert (await doors.stand.browser.get(back)).status_code == 303
    assert "login_invalid" in (await doors.stand.browser.get(back)).text


@pytest.mark.parametrize("address", ["https://else.test/", "//else.test", "/\\else.test", ""])
async def test_one_is_sent_on_within_the_portal_only(doors: Doors, address: str) -> None:
    """`next` is a path of ours, or the first page."""
    back = await doors.provider.log_in(doors.stand.browser, f"/connexion/citizen?next={address}", "abroad")
    assert back.headers["location"] == "/"


@pytest.mark.parametrize(
    "change",
    [
        ("redirect_uri", "https://else.test/"),
        ("client_id", "other"),
        ("nonce", "short"),
        ("code_challenge_method", "plain"),
    ],
)
async def test_the_sandbox_wants_what_france_connect_wants(doors: Doors, change: tuple[str, str]) -> None:
    """Known client, this machine, nonce of 22 characters, PKCE S256: else an error, and nobody is sent anywhere."""
    leaving = (await doors.stand.browser.get(START)).headers["location"]
    page = await doors.provider.http.get(
        leaving, params=dict(doors.provider.http.build_request("GET", leaving).url.params) | dict([change])
    )
    assert page.status_code == 400


def test_the_families_of_the_state_s_sandbox_are_there(tmp_path: Path) -> None:
    """Who logs in as one of them is found by the sandbox State API, and each case at the edge has its person."""
    known = Provider(MemoryBus(ScriptedApi()), tmp_path).people
    names = {one.claims["family_name"] for one in known.citizens}
    assert {"TREVARIN", "CAZELMAS", "WAHNAWE", "MARESKOV", "Brandauer"} <= names
    assert len({one.id for one in known.citizens}) == len(known.citizens) < 60

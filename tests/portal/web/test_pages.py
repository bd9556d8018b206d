"""Pages in general: drawn, twinned, guarded."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from exchange.clock import SystemClock
from exchange.core.errors import CATALOGUE, Code
from exchange.ports import Refused, Unavailable
from portal.core import guard
from portal.store import open_store
from portal.web.middleware import Guard
from portal.web.pages import Asked, Missing, Page, Pages
from portal.web.sessions import Sessions
from tests.portal.stand import portal, token_of

URL = "http://portal.test"
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def counter(asked: Asked) -> Page:
    """A page with a form; what it counts lies in the session."""
    asked.session.csrf  # noqa: B018  # a page with a form has a session
    asked.session.changed = True
    return Page(
        "problem.html", {"code": str(asked.session.data.get("count", 0)), "cause": "<b>", "todo": asked.session.csrf}
    )


async def count(asked: Asked) -> Response:
    asked.session.put("count", asked.session.data.get("count", 0) + int(asked.text("by")))
    return asked.see("/counter")


async def enter(asked: Asked) -> Response:
    asked.session.let_in("citizen", {"name": "Alix"})
    return asked.see("/mine")


async def leave(asked: Asked) -> Response:
    asked.session.end()
    return asked.see("/")


async def mine(asked: Asked) -> Page:
    found = asked.session.login("citizen") or {}
    return Page("problem.html", {"code": found["name"], "cause": "", "todo": ""})


async def failing(asked: Asked) -> Page:
    raise {"refused": Refused(Code.WITHDRAWN), "away": Unavailable("away"), "missing": Missing()}[asked.path["how"]]


@pytest.fixture
async def browser() -> AsyncIterator[httpx.AsyncClient]:
    pages = Pages(Sessions(open_store(None), SystemClock().now_ms), URL)
    routes = [
        *pages.page("/counter", counter),
        *pages.action("/count", count),
        *pages.action("/enter", enter),
        *pages.action("/leave", leave),
        *pages.page("/mine", mine, needs="citizen"),
        *pages.action("/mine/change", count, needs="citizen"),
        *pages.page("/failing/{how}", failing),
    ]
    app = Starlette(routes=routes, middleware=[Middleware(Guard, url=URL, explain=pages.refused)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL) as client:
        yield client


async def token(browser: httpx.AsyncClient) -> str:
    return str((await browser.get("/counter.json")).json()["todo"])


async def test_twin(browser: httpx.AsyncClient) -> None:
    """A page's twin holds the values the page shows; on the page, what is text stays text."""
    page, twin = await browser.get("/counter"), await browser.get("/counter.json")
    assert twin.json()["cause"] == "<b>" and "&lt;b&gt;" in page.text and 'href="/counter.json"' in page.text


async def test_language(browser: httpx.AsyncClient) -> None:
    """French first; what the browser asks for, what the person chose, and the choice is kept."""
    assert '<html lang="fr">' in (await browser.get("/counter")).text
    assert '<html lang="en">' in (await browser.get("/counter", headers={"accept-language": "de, en;q=0.5"})).text
    assert '<html lang="en">' in (await browser.get("/counter?lang=en")).text
    assert '<html lang="en">' in (await browser.get("/counter", headers={"accept-language": "fr"})).text


async def test_action_needs_its_token(browser: httpx.AsyncClient) -> None:
    """With the session's token an action is done; without it, with another session's, from another site or as another type, nothing is."""
    good = await token(browser)
    assert (await browser.post("/count", data={"csrf": good, "by": "2"})).headers["location"] == "/counter"
    refused = [
        await browser.post("/count", data={"by": "2"}),
        await browser.post("/count", data={"csrf": "0" * 64, "by": "2"}),
        await browser.post("/count", data={"csrf": good, "by": "2"}, headers={"sec-fetch-site": "cross-site"}),
        await browser.post("/count", data={"csrf": good, "by": "2"}, headers={"origin": "http://elsewhere.test"}),
        await browser.post("/count", json={"csrf": good, "by": "2"}),
    ]
    assert {response.status_code for response in refused} == {400, 403}
    assert (await browser.get("/counter.json")).json()["code"] == "2"


async def test_login_changes_the_session_and_leaving_ends_it(browser: httpx.AsyncClient) -> None:
    """Who knew the cookie before a login is not logged in by it; after leaving the cookie opens nothing."""
    good, before = await token(browser), browser.cookies["accord"]
    assert (await browser.get("/mine")).headers["location"] == "/connexion/citizen?next=/mine"
    assert (await browser.get("/mine.json")).status_code == 401
    await browser.post("/enter", data={"csrf": good})
    after = browser.cookies["accord"]
    assert after != before and (await browser.get("/mine.json")).json()["code"] == "Alix"
    async with httpx.AsyncClient(transport=browser._transport, base_url=URL, cookies={"accord": before}) as thief:
        assert (await thief.get("/mine")).status_code == 303
    await browser.post("/leave", data={"csrf": await token(browser)})
    async with httpx.AsyncClient(transport=browser._transport, base_url=URL, cookies={"accord": after}) as later:
        assert (await later.get("/mine")).status_code == 303


async def test_action_of_nobody(browser: httpx.AsyncClient) -> None:
    """An action that needs somebody sends nobody to log in, and does nothing."""
    response = await browser.post("/mine/change", data={"csrf": await token(browser), "by": "5"})
    assert response.headers["location"] == "/connexion/citizen?next=/"
    assert (await browser.get("/counter.json")).json()["code"] == "0"


@pytest.mark.parametrize(("how", "status", "code"), [("refused", 409, Code.WITHDRAWN), ("away", 503, Code.UNAVAILABLE)])
async def test_errors_are_explained(browser: httpx.AsyncClient, how: str, status: int, code: Code) -> None:
    """An error is a page that says why and what to do; its twin says the same."""
    page, twin = await browser.get(f"/failing/{how}"), await browser.get(f"/failing/{how}.json")
    assert (page.status_code, twin.status_code, twin.json()["code"]) == (status, status, code)
    assert CATALOGUE[code].todo_fr.replace("'", "&#39;") in page.text


async def test_headers(browser: httpx.AsyncClient) -> None:
    """Every answer forbids inline scripts, frames and caches; cookies cannot be read by scripts nor sent by other sites."""
    response = await browser.get("/counter")
    assert response.headers["content-security-policy"] == guard.CSP and "unsafe" not in guard.CSP
    assert response.headers["cache-control"] == "no-store"
    assert {"httponly", "samesite=lax"} <= {part.strip().lower() for part in response.headers["set-cookie"].split(";")}


@pytest.mark.parametrize(
    ("method", "headers", "body", "status", "code"),
    [
        ("GET", {"host": "elsewhere.test"}, b"", 421, Code.HOST_UNKNOWN),
        ("GET", {"host": "["}, b"", 421, Code.HOST_UNKNOWN),
        ("DELETE", {}, b"", 405, Code.METHOD_UNKNOWN),
        ("TRACE", {}, b"", 405, Code.METHOD_UNKNOWN),
        ("POST", {"content-encoding": "gzip"}, b"x", 415, Code.MEDIA_TYPE),
        ("POST", {"content-length": str(guard.BODY_MAX_BYTES + 1)}, b"x", 413, Code.TOO_LARGE),
        ("POST", {"content-length": "-1"}, b"x", 413, Code.TOO_LARGE),
        ("POST", FORM, b"x" * (guard.BODY_MAX_BYTES + 1), 413, Code.TOO_LARGE),
    ],
)
async def test_guard(
    browser: httpx.AsyncClient, method: str, headers: dict[str, str], body: bytes, status: int, code: Code
) -> None:
    """Another host's name, another method, a compressed or too large body go no further, whatever headers claim; why, and what to do, is a
    page in the person's language, and JSON where that was asked for. It is nobody's page: no session is opened for it."""
    cookie = (await browser.get("/counter")).cookies["accord"]
    path = "/count" if method == "POST" else "/counter"
    for language, text in (("fr", CATALOGUE[code].todo_fr), ("en", CATALOGUE[code].todo_en)):
        told = headers | {"accept-language": language, "cookie": f"accord={cookie}"}
        page = await browser.request(method, path, headers=told, content=body)
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert f'<html lang="{language}">' in page.text and text.replace("'", "&#39;") in page.text
        assert page.headers["content-security-policy"] == guard.CSP and "set-cookie" not in page.headers
    twin = await browser.request(method, f"{path}.json", headers=headers, content=body)
    assert (twin.status_code, twin.json()["code"], twin.json()["todo"]) == (status, code, CATALOGUE[code].todo_fr)


async def test_what_a_proxy_says_of_the_host_is_not_believed(browser: httpx.AsyncClient) -> None:
    """Nothing is read from `X-Forwarded-Host`."""
    assert (await browser.get("/counter", headers={"x-forwarded-host": "elsewhere.test"})).status_code == 200


@pytest.mark.parametrize(
    "body", [b"--x", b"--x\r\ncontent-disposition: form-data\r\n\r\n", b"no form at all", b"--x\r\n" * 1000]
)
async def test_a_form_that_is_none(browser: httpx.AsyncClient, body: bytes) -> None:
    """Bytes that are no form are told as such, on a page."""
    answer = await browser.post("/count", content=body, headers={"content-type": "multipart/form-data; boundary=x"})
    assert answer.status_code in (400, 403) and "bad_form" in answer.text


async def test_too_much_without_saying_so() -> None:
    """A body whose length nobody announced is cut at the same size."""

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 65_536

    async def reading(request: Request) -> Response:
        return Response(await request.body())

    pages = Pages(Sessions(open_store(None), SystemClock().now_ms), URL)
    guarded = [Middleware(Guard, url=URL, explain=pages.refused)]
    app = Starlette(routes=[Route("/", reading, methods=["POST"])], middleware=guarded)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL) as client:
        answer = await client.post("/", content=endless())
        assert (answer.status_code, Code.TOO_LARGE in answer.text) == (413, True)


async def test_no_such_page(tmp_path: Path) -> None:
    """An address that is none is the same page whoever asks, as HTML and as JSON."""
    async with portal(tmp_path) as stand:
        page, twin = await stand.browser.get("/nowhere/at/all"), await stand.browser.get("/nowhere.json")
        assert (page.status_code, twin.status_code, twin.json()) == (404, 404, {"code": "not_found"})
        assert "<h1>Page introuvable</h1>" in page.text


def test_token_is_found() -> None:
    """What tests read off a page is its token."""
    assert token_of(f'<input type="hidden" name="csrf" value="{"a" * 64}">') == "a" * 64

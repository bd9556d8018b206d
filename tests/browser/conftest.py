"""The real thing in a real browser: `accord dev` as its users start it, Debian's chromium, with JavaScript and without.

A test here is an `async def` that takes `window` (run twice: with JavaScript and without) or `opened` (to open windows of its own), and
says `await window.go("/console")`, `await window.seen("console")`. One bus and one browser serve all of them, and end with the last.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from tests.browser.valid import complaints
from tests.browser.window import WIDE, Window, shots_folder
from tests.running import running

ABSENT = "chromium n'est pas installé / is not installed: apt-get install chromium"
QUIET = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-dev-shm-usage",
]  # fmt: skip
WAIT_MS = 20_000
Opening = Callable[..., Awaitable[Window]]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One event loop for the session: the browser lives on it."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def chromium_or_skip() -> str:
    """Debian's chromium; skipped aloud where it is absent, and fails in CI (`ACCORD_CI`), where it must not be."""
    found = shutil.which("chromium")
    if found is None and os.environ.get("ACCORD_CI"):
        pytest.fail(ABSENT, pytrace=False)
    return found or pytest.skip(ABSENT)


@pytest.fixture(scope="session")
def chromium() -> str:
    return chromium_or_skip()


@pytest.fixture(scope="package")
def dev(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What `accord dev --json` says once it is up: `portal`, `api`, `console`, `data`, …"""
    with running(tmp_path_factory.mktemp("dev"), ACCORD_PORTAL_PORT="0", ACCORD_IDENTITY_PORT="0") as ready:
        yield ready


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield launched
        await launched.close()


@pytest.fixture(scope="package")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where pictures and sources of the pages seen are kept. At the end each source is valid HTML."""
    folder, begun_s = shots_folder(tmp_path_factory.getbasetemp() / "shots"), time.time()
    yield folder
    seen = [page for page in folder.glob("*.html") if page.stat().st_mtime >= begun_s]
    assert not seen or complaints(seen) == []


@pytest_asyncio.fixture(loop_scope="session")
async def opened(browser: Browser, dev: dict[str, Any], shots: Path) -> AsyncIterator[Opening]:
    """Opens a window, `javascript=False` for one without, other arguments as those of a playwright context; at the end no browser
    complained: no script error, no console error, no violation of the content security policy, no asset missing."""
    windows = list[Window]()
    async with AsyncExitStack() as stack:

        async def open_one(*, javascript: bool = True, url: str = dev["portal"], **more: Any) -> Window:
            settings = {"locale": "fr-FR", "viewport": WIDE} | more
            context = await browser.new_context(java_script_enabled=javascript, **settings)
            stack.push_async_callback(context.close)
            context.set_default_timeout(WAIT_MS)
            windows.append(Window(context, await context.new_page(), url, shots, javascript))
            return windows[-1]

        yield open_one
    assert [complaint for window in windows for complaint in window.wrong] == []


@pytest_asyncio.fixture(loop_scope="session", params=[True, False], ids=["script", "plain"])
async def window(request: pytest.FixtureRequest, opened: Opening) -> Window:
    """A window on the portal, with JavaScript, then without."""
    return await opened(javascript=request.param)

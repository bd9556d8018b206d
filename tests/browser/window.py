"""One browser window of one person, and what every page shown in it must be."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Response, Route

LEVEL = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""WCAG 2.2, level AA, and what axe-core thinks good besides."""
NARROW, WIDE = {"width": 320, "height": 640}, {"width": 1280, "height": 800}


@dataclass
class Window:
    """A context of its own (cookies, language) and its page. What the browser complained of is in `wrong`: nothing, at the end of a test."""

    context: BrowserContext
    page: Page
    url: str
    shots: Path
    javascript: bool
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error.message}"))
        self.page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # told by `_answered`
            self.wrong.append(f"{self.page.url}: {message.text}")

    def _answered(self, response: Response) -> None:
        asset = response.request.resource_type != "document" and response.status >= 400
        if asset or response.status >= 500:
            self.wrong.append(f"{response.url}: {response.status}")

    async def go(self, path: str) -> Page:
        """Open a path of the portal, or any address."""
        await self.page.goto(path if "://" in path else f"{self.url}{path}")
        return self.page

    async def press(self, name: str) -> Page:
        """Press the button of this name, and wait for what it leads to."""
        await self.page.get_by_role("button", name=name).click()
        await self.page.wait_for_load_state()
        return self.page

    async def follow(self, name: str) -> Page:
        """Follow the link of this name, and wait for the page."""
        await self.page.get_by_role("link", name=name).first.click()
        await self.page.wait_for_load_state()
        return self.page

    async def seen(self, name: str) -> None:
        """Everything that holds of every page: axe finds nothing in light nor in dark, 320 px are enough; pictures are kept."""
        await self.axe()
        await self.reflow()
        await self.shot(name)

    async def axe(self) -> None:
        """No violation of WCAG 2.2 AA, in light and in dark. A page shown without JavaScript is looked at as it stands, in a window with."""
        if self.javascript:
            await _axe(self.page)
            return
        address, content = self.page.url, await self.page.content()

        async def same(route: Route) -> None:
            await route.fulfill(body=content, content_type="text/html; charset=utf-8")

        assert self.context.browser is not None
        async with await self.context.browser.new_context(locale="fr-FR") as context:
            copy = await context.new_page()
            await copy.route(address, same)
            await copy.goto(address)
            await _axe(copy)

    async def reflow(self) -> None:
        """At 320 px (a desktop window at 400 %) nothing has to be scrolled sideways but tables, in their own frame (WCAG 1.4.10)."""
        await self.page.set_viewport_size(NARROW)
        wide = await self.page.evaluate("document.documentElement.scrollWidth")
        await self.page.set_viewport_size(WIDE)
        assert wide <= NARROW["width"], f"{self.page.url}: {wide} px"

    async def shot(self, name: str) -> None:
        """Pictures of the whole page: desktop, narrow, dark, and as printed."""
        page = self.page
        await page.screenshot(path=self.shots / f"{name}.png", full_page=True)
        if not self.javascript:
            return
        await page.emulate_media(color_scheme="dark")
        await page.screenshot(path=self.shots / f"{name}.dark.png", full_page=True)
        await page.emulate_media(color_scheme="light", media="print")
        await page.screenshot(path=self.shots / f"{name}.print.png", full_page=True)
        await page.emulate_media(color_scheme="light", media="screen")
        await page.set_viewport_size(NARROW)
        await page.screenshot(path=self.shots / f"{name}.narrow.png", full_page=True)
        await page.set_viewport_size(WIDE)


async def _axe(page: Page) -> None:
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        found = await Axe().run(page, options={"runOnly": LEVEL})
        told = [(each["id"], [node["html"] for node in each["nodes"]]) for each in found.response["violations"]]
        assert told == [], f"{page.url} ({scheme}): {told}"
    await page.emulate_media(color_scheme="light")


def shots_folder(otherwise: Path) -> Path:
    """Where pictures are kept: `ACCORD_SHOTS`, else the tests' own folder."""
    folder = Path(os.environ.get("ACCORD_SHOTS") or otherwise)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""One browser window of one person, and what every page shown in it must be."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import BrowserContext, ConsoleMessage, Page, Response, Route

LEVEL = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
"""WCAG 2.2, level AA, and what axe-core thinks good besides."""
ZOOMED = {"width": 640, "height": 512}
"""What a window of 1280 × 1024 has left at 200 %."""
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
    sent: Response | None = None
    """What the server sent for the page."""

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error.message}"))
        self.page.on("response", self._answered)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith("Failed to load resource"):  # told by `_answered`
            self.wrong.append(f"{self.page.url}: {message.text}")

    def _answered(self, response: Response) -> None:
        if response.request.is_navigation_request() and not 300 <= response.status < 400:
            self.sent = response
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
        """Everything that holds of every page: axe finds nothing in light nor in dark, it may be zoomed and its text spaced, 320 px are
        enough; pictures are kept, and what the server sent, which `tests.browser.valid` reads at the end."""
        await self.axe()
        await self.zoom()
        await self.space()
        await self.reflow()
        await self.shot(name)
        assert self.sent is not None
        (self.shots / f"{name}.html").write_bytes(await self.sent.body())

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

    async def zoom(self) -> None:
        """At 200 %, by the browser's zoom and by that of text alone (WCAG 1.4.4): nothing has to be scrolled sideways but in its own frame,
        nothing is cut, every control is within the window, and with text alone every text is twice as large."""
        session = await self.context.new_cdp_session(self.page)
        await session.send("Emulation.setDeviceMetricsOverride", {**ZOOMED, "deviceScaleFactor": 2, "mobile": False})
        seen = await self.page.evaluate("[innerWidth, devicePixelRatio]")
        lost = await self.page.evaluate(_LOST)
        await session.detach()
        await self.page.set_viewport_size(NARROW)
        await self.page.set_viewport_size(WIDE)
        assert seen == [ZOOMED["width"], 2], seen
        assert lost == [], f"{self.page.url} (200 %): {lost}"
        lost = await self.page.evaluate(_LARGER)
        assert lost == [], f"{self.page.url} (text 200 %): {lost}"

    async def space(self) -> None:
        """With the lines, letters and words of a text as far apart as WCAG 1.4.12 says, nothing is lost."""
        lost = await self.page.evaluate(_SPACED)
        assert lost == [], f"{self.page.url} (spaced): {lost}"

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


_LOST = """() => {
  const lost = [], root = document.documentElement, cut = (value) => value === "hidden" || value === "clip";
  const named = (one) => `${one.tagName.toLowerCase()}.${one.className} « ${(one.textContent || one.value || "").trim().slice(0, 40)} »`;
  const framed = (one) => one.parentElement && (/auto|scroll/.test(getComputedStyle(one.parentElement).overflowX) || framed(one.parentElement));
  if (root.scrollWidth > innerWidth) lost.push(`page: ${root.scrollWidth} px`);
  for (const one of document.body.querySelectorAll("*")) {
    const style = getComputedStyle(one), box = one.getBoundingClientRect();
    if (!one.checkVisibility() || one.closest("svg, .skip")) continue;
    if (cut(style.overflowX) && one.scrollWidth > one.clientWidth + 1) lost.push(`cut: ${named(one)}`);
    if (cut(style.overflowY) && one.scrollHeight > one.clientHeight + 1) lost.push(`cut: ${named(one)}`);
    if (!one.matches("a, button, input:not([type=hidden]), select, textarea, summary")) continue;
    if (box.width < 1 || box.height < 1) lost.push(`gone: ${named(one)}`);
    if (!framed(one) && (box.left < -1 || box.right > innerWidth + 1)) lost.push(`outside: ${named(one)}`);
    if (one.matches("button, .button") && one.scrollWidth > one.clientWidth + 1) lost.push(`cut: ${named(one)}`);
  }
  return lost;
}"""
"""What cannot be read or reached as the window is."""
_LARGER = f"""() => {{
  const lost = {_LOST}, root = document.documentElement;
  const texts = [...document.body.querySelectorAll("*")].filter((one) => one.checkVisibility() && !one.closest("svg")
    && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  const sizes = texts.map((one) => parseFloat(getComputedStyle(one).fontSize));
  root.style.fontSize = "200%";
  const found = lost();
  texts.forEach((one, at) => {{
    const size = parseFloat(getComputedStyle(one).fontSize);
    if (size < 1.95 * sizes[at]) found.push(`as small as before: ${{one.tagName}} « ${{one.textContent.trim().slice(0, 40)}} »`);
  }});
  root.style.fontSize = "";
  return found;
}}"""
"""The same, with text twice as large; and what text is not."""


_SPACED = f"""() => {{
  const lost = {_LOST}, sheet = new CSSStyleSheet();
  sheet.replaceSync("* {{ line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important; }}"
    + "p {{ margin-bottom: 2em !important; }}");
  document.adoptedStyleSheets = [sheet];
  const found = lost();
  document.adoptedStyleSheets = [];
  return found;
}}"""
"""The same, with text spaced."""


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

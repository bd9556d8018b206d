"""What the other browser tests stand on sees what it must."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Route

from tests.browser.conftest import Opening
from tests.browser.valid import complaints
from tests.browser.window import Window


async def test_a_page_of_ours(window: Window) -> None:
    """An address that is none is a page that holds to everything a page must."""
    await window.go("/rien-ici")
    await window.seen("missing")


TINY = "<p style='font-size:12px'>petit</p>"
CUT = "<p style='overflow:hidden;white-space:nowrap;width:20rem'>" + "un mot puis un autre " * 3 + "</p>"
GONE = "<button style='position:absolute;left:700px'>Loin</button>"
OUT = "<button style='position:fixed;left:50rem'>Plus loin</button>"


@pytest.mark.parametrize("javascript", [True, False])
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (TINY, "as small as before: P"),
        (CUT, "200 %.*cut: p"),
        (GONE, "page: "),
        (OUT, "outside: button"),
        ("<pre>" + "x" * 100 + "</pre>", "200 %.*page: "),
    ],
)
async def test_pages_that_cannot_be_zoomed_are_seen(opened: Opening, javascript: bool, bad: str, why: str) -> None:
    """Text that does not grow, text that is cut, a control beside the window and a page too wide are each found out."""
    window = await opened(javascript=javascript)

    async def answer(route: Route) -> None:
        page = f"<!doctype html><html lang='fr'><title>x</title><main><h1>x</h1>{bad}</main>"
        await route.fulfill(body=page, content_type="text/html; charset=utf-8")

    await window.page.route("**/bad", answer)
    await window.go("/bad")
    with pytest.raises(AssertionError, match=why):
        await window.zoom()


TIGHT = (
    "<p style='overflow:hidden;white-space:nowrap;width:max-content;max-width:100%' class='t'>un mot puis un autre</p>"
)
FIXED = "<script>document.querySelector('.t').style.width = document.querySelector('.t').offsetWidth + 'px'</script>"


async def test_text_that_cannot_be_spaced_is_seen(opened: Opening) -> None:
    """A frame that holds its text just so cuts it once letters and words are further apart."""
    window = await opened()

    async def answer(route: Route) -> None:
        page = f"<!doctype html><html lang='fr'><title>x</title><main><h1>x</h1>{TIGHT}{FIXED}</main>"
        await route.fulfill(body=page, content_type="text/html; charset=utf-8")

    await window.page.route("**/bad", answer)
    await window.go("/bad")
    with pytest.raises(AssertionError, match="spaced.*cut: p"):
        await window.space()


def test_sources_that_are_no_html_are_seen(tmp_path: Path) -> None:
    """An element where it may not be is found; a page that is right is not."""
    good, bad = tmp_path / "good.html", tmp_path / "bad.html"
    good.write_text("<!doctype html><html lang='fr'><head><title>x</title></head><body><p>x</p></body></html>")
    bad.write_text("<!doctype html><html lang='fr'><head><title>x</title></head><body><ul><p>x</p></ul></body></html>")
    assert complaints([good]) == []
    assert [told.split(":")[0] for told in complaints([good, bad])] == ["bad.html"]


@pytest.mark.parametrize("javascript", [True, False])
async def test_bad_pages_are_seen(opened: Opening, javascript: bool) -> None:
    """A field without a label, grey on grey, a page too wide, a missing asset and a refused style are each found out."""
    window = await opened(javascript=javascript)
    bad = (
        "<!doctype html><html lang='fr'><title>x</title><main><h1 style='color:#999'>x</h1><input>"
        "<p><img src='/static/none.png' alt=''></p><pre>" + "x" * 400 + "</pre></main>"
    )

    async def answer(route: Route) -> None:
        policy = {"content-security-policy": "default-src 'none'; img-src 'self'"}
        await route.fulfill(body=bad, content_type="text/html", headers=policy)

    await window.page.route("**/bad", answer)
    await window.go("/bad")
    with pytest.raises(AssertionError, match="label"):
        await window.axe()
    with pytest.raises(AssertionError, match="px"):
        await window.reflow()
    assert any("none.png: 404" in wrong for wrong in window.wrong)
    assert any("Content Security Policy" in wrong for wrong in window.wrong)
    window.wrong.clear()

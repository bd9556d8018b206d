"""The State's look in a real browser: the real package from npm, over `accord dev`, with JavaScript and without."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.browser import test_citizen, test_dpo, test_guichet
from tests.browser.conftest import Opening
from tests.browser.window import Window
from tests.running import running

DECLARED = ["--entity", "Direction interministérielle imaginaire", "--siren", "130025265", "--declare"]


@pytest.fixture(scope="module")
def state(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A sandbox whose operator has declared to be of the State."""
    folder = tmp_path_factory.mktemp("dsfr")
    subprocess.run(
        [sys.executable, "-m", "exchange.cli", "theme", "dsfr", *DECLARED, "--data", str(folder)], check=True
    )
    ports = {f"ACCORD_{name}_PORT": "0" for name in ("PORTAL", "IDENTITY", "DEMARCHE", "FACADE")}
    with running(folder, ACCORD_THEME="dsfr", **ports) as ready:
        yield ready


@pytest_asyncio.fixture(loop_scope="session", params=[True, False], ids=["script", "plain"])
async def window(request: pytest.FixtureRequest, opened: Opening, state: dict[str, Any]) -> Window:
    """On that sandbox's portal."""
    return await opened(javascript=request.param, url=state["portal"])


async def drawn(window: Window) -> None:
    """The State's font and header are there, for real."""
    font = await window.page.evaluate("getComputedStyle(document.body).fontFamily")
    loaded = await window.page.evaluate(
        "document.fonts.ready.then(() => [...document.fonts].filter(f => f.status === 'loaded').length)"
    )
    assert "Marianne" in font and loaded > 0
    assert await window.page.locator(".fr-logo").is_visible()


@pytest.mark.parametrize("path", ["/", "/console", "/console/requests", "/rien-ici"])
async def test_open_pages(window: Window, path: str) -> None:
    """What anybody sees."""
    await window.go(path)
    await drawn(window)
    await window.seen(f"dsfr{path.replace('/', '-')}")


async def test_my_agreements(window: Window) -> None:
    """A citizen's own page, after a login."""
    await window.go("/mes-accords")
    await drawn(window)
    await window.seen("dsfr-mes-accords-login")
    await window.follow("S'identifier avec FranceConnect")
    await test_citizen.be(window, test_citizen.MAELLE)
    await window.seen("dsfr-mes-accords")


async def test_the_counter(window: Window) -> None:
    """The counter's forms, wrong ones too."""
    await test_guichet.enter(window)
    await window.seen("dsfr-guichet")
    await test_guichet.begin(window, "guichet")
    await window.seen("dsfr-guichet-new")
    await window.press("Lire le texte")
    await window.seen("dsfr-guichet-reading")
    await window.press("Elle accepte")
    await window.press("Continuer")
    await window.seen("dsfr-guichet-person-wrong")


async def test_the_officers_room(window: Window) -> None:
    """The officer's rooms."""
    await test_dpo.enter(window)
    for path in ("", "/recherche", "/registre", "/alertes"):
        await window.go(f"/dpo{path}")
        await window.seen(f"dsfr-dpo{path.replace('/', '-')}")


async def test_the_collectivitys_pages_stay_neutral(opened: Opening, state: dict[str, Any]) -> None:
    """A collectivity is not of the State: its services have nothing of the State's look."""
    window = await opened(url=state["demarche"])
    page = await window.go("/")
    assert await page.locator(".fr-logo").count() == 0 and "Marianne" not in await page.evaluate(
        "getComputedStyle(document.body).fontFamily"
    )

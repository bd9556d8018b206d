"""The first page."""

from __future__ import annotations

import re
from pathlib import Path

from starlette.routing import Route

from portal.home import DOORS
from tests.portal.console.conftest import SANDBOX
from tests.portal.stand import portal


async def test_only_doors_where_it_is_no_sandbox(tmp_path: Path) -> None:
    """In production the page says what this is and where to go in, and nothing of who or what is inside."""
    async with portal(tmp_path) as stand:
        page, twin = (await stand.browser.get("/")).text, (await stand.browser.get("/index.json")).json()
        assert twin["sandbox"] is None and [door["path"] for door in twin["doors"]] == [door.path for door in DOORS]
        assert "Je suis citoyen" in page and "TREVARIN" not in page and stand.parts.settings.recipient not in page


async def test_a_sandbox_explains_itself(tmp_path: Path) -> None:
    """In a sandbox: who is in it, what to try, and whether all is well."""
    async with portal(tmp_path) as stand:
        places = stand.parts.places
        places.announce(places.address, **SANDBOX, demarche="http://127.0.0.1:8610")
        page, english = (await stand.browser.get("/")).text, (await stand.browser.get("/?lang=en")).text
        assert "Maëlle TREVARIN" in page and "http://127.0.0.1:8610/demarche/cantine" in page and "Tout va bien" in page
        assert "Try it, in six steps" in english and english.count("<li") == page.count("<li")
        places.announce(places.ready("worker"), pid=2**22 + 1)
        assert "In trouble: worker" in (await stand.browser.get("/")).text


BETWEEN = {"/dpo/accords", "/dpo/dossier", "/dpo/effacement", "/dpo/effacement/certificat", "/dpo/sujet"}
"""Pages that something was chosen for before."""


async def test_the_plan_names_every_page(tmp_path: Path) -> None:
    """Each page that stands by itself is in it, once, and is there; nothing else is."""
    async with portal(tmp_path) as stand:
        here = {route.path for route in stand.app.routes if isinstance(route, Route) and "GET" in (route.methods or ())}
        alone = {path for path in here if not re.search(r"[{]|[.]\w+$", path)} - BETWEEN - {"/healthz"}
        told = [
            page["path"] for part in (await stand.browser.get("/plan.json")).json()["plan"] for page in part["pages"]
        ]
        assert sorted(told) == sorted({*alone, "/v1/openapi.json"})
        page = (await stand.browser.get("/plan?lang=en")).text
        assert "Site map" in page and all(f'href="{path}"' in page for path in told)

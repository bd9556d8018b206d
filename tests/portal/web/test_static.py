"""Files of others are what was published; nothing but our static files is served."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

from portal.web.pages import STATIC
from tests.portal.stand import portal

VENDOR = STATIC / "vendor"
LOCK = tomllib.loads((VENDOR / "lock.toml").read_text("utf-8"))


def test_vendored_files_are_as_published() -> None:
    """Each file of others is in the lock, with its hash; none is there without."""
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.suffix != ".toml"
    }
    assert found == {name: entry["sha256"] for name, entry in LOCK.items()}


async def test_static(tmp_path: Path) -> None:
    """A style sheet under its hashed address is kept for ever, without it is not."""
    async with portal(tmp_path) as stand:
        kept, asked = await stand.browser.get("/static/accord.css?v=1"), await stand.browser.get("/static/accord.css")
    assert (kept.status_code, asked.status_code) == (200, 200)
    assert "immutable" in kept.headers["cache-control"] and asked.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/%2e%2e%2fapp.py",
        "/static//etc/passwd",
        "/static/..;/app.py",
        "/static/a%00b",
    ],
)
async def test_nothing_else(tmp_path: Path, path: str) -> None:
    """No way of writing a path leads out of the folder."""
    async with portal(tmp_path) as stand:
        assert (await stand.browser.get(path)).status_code == 404

"""Decisions about requests of browsers."""

from __future__ import annotations

import pytest

from portal.core.guard import comes_from_us, host_is_ours, local_path
from portal.core.language import choose


@pytest.mark.parametrize(
    ("host", "url", "ours"),
    [
        ("accord.example", "https://accord.example", True),
        ("accord.example:443", "https://accord.example", False),
        ("evil.example", "https://accord.example", False),
        ("127.0.0.1:8600", "http://127.0.0.1:8600", True),
        ("localhost:8600", "http://127.0.0.1:8600", True),
        ("[::1]:8600", "http://127.0.0.1:8600", True),
        ("localhost:8601", "http://127.0.0.1:8600", False),
        ("rebound.example:8600", "http://127.0.0.1:8600", False),
        ("", "http://127.0.0.1:8600", False),
    ],
)
def test_host(host: str, url: str, ours: bool) -> None:
    """Only our public name is answered; on this machine, also this machine's other names at our port."""
    assert host_is_ours(host, url) is ours


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site", "origin": "http://a", "host": "a"}, False),
        ({"origin": "http://a", "host": "a"}, True),
        ({"origin": "http://b", "host": "a"}, False),
        ({"origin": "null", "host": "a"}, False),
        ({}, True),
    ],
)
def test_comes_from_us(headers: dict[str, str], ours: bool) -> None:
    """What the browser says of where a form was."""
    assert comes_from_us(headers) is ours


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "http://evil.example", "evil", "", None, "/a\r\nb", "/a\\b"]
)
def test_next_is_never_elsewhere(path: str | None) -> None:
    """After a login nobody is sent to another site."""
    assert local_path(path, "/") == "/"


def test_next() -> None:
    """A path of ours is gone to."""
    assert local_path("/mes-accords/1?x=2") == "/mes-accords/1?x=2"


@pytest.mark.parametrize(
    ("asked", "kept", "accepted", "language"),
    [
        (None, None, "", "fr"),
        ("en", "fr", "fr", "en"),
        ("xx", "en", "fr", "en"),
        (None, None, "de, en-GB;q=0.8, fr;q=0.9", "fr"),
        (None, None, "en-US,en;q=0.9", "en"),
        (None, None, "en;q=zero, fr;q=0", "fr"),
    ],
)
def test_language(asked: str | None, kept: str | None, accepted: str, language: str) -> None:
    """What was asked for, else what was kept, else what the browser prefers, else French."""
    assert choose(asked, kept, accepted) == language

"""Where personal data may be sent."""

from __future__ import annotations

from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def secure_url(url: str) -> str:
    """The base URL, its last slash apart: https, or http on the loopback. `ValueError` otherwise."""
    parts = urlsplit(url)
    if not parts.hostname or (parts.scheme != "https" and (parts.scheme, parts.hostname in LOOPBACK) != ("http", True)):
        raise ValueError("the State must be reached over https")
    return url.rstrip("/")

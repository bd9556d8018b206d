"""What a browser is told about our pages, and which of its requests are ours to answer. Pure: headers in, a decision out."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import urlsplit

BODY_MAX_BYTES = 1 << 20
CSP = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
"""On every answer that does not say otherwise. No inline script or style runs, nothing of ours is framed, no address leaks to other sites
(`Referrer-Policy`), and no page about a person is kept by a shared computer."""
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def host_is_ours(host: str, url: str) -> bool:
    """Whether `Host` is that of our public address, or a name of this machine where our address is of this machine: else a page elsewhere
    could make a browser ask us under its own name (DNS rebinding)."""
    ours = urlsplit(url)
    name, _, port = host.rpartition(":") if host.count(":") and not host.endswith("]") else (host, "", "")
    if host == ours.netloc:
        return True
    return (
        (ours.hostname or "") in ("localhost", "127.0.0.1", "::1") and name in _LOCAL and port == str(ours.port or "")
    )


def comes_from_us(headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something was made by a page of ours: what the browser says (`Sec-Fetch-Site`, else `Origin`
    beside `Host`). One that says neither is told apart by its token alone."""
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    if origin := headers.get("origin"):
        return urlsplit(origin).netloc == headers.get("host", "")
    return True


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that says nothing."""
    return hmac.compare_digest(one.encode(), other.encode())


def local_path(path: str | None, otherwise: str = "/") -> str:
    """Where to go next, if that is a path of ours: never another site's address."""
    wanted = path or ""
    if wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isprintable() and "\\" not in wanted:
        return wanted
    return otherwise

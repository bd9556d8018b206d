"""Where an HTTP/1.1 message ends, when it says so in two ways. Pure."""

from __future__ import annotations

from collections.abc import Iterable


def ambiguous(version: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether two readers of these headers (names in lower case) could see different ends of the message: `Transfer-Encoding` beside
    `Content-Length`, or in an HTTP/1.0 message (RFC 9112 §6.1, §6.3). What follows on the connection could be anybody's."""
    names = {name for name, _ in headers}
    return b"transfer-encoding" in names and (b"content-length" in names or version == "1.0")

"""One call to somebody else's address, for a webhook: to the address that was looked at and no other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from urllib.parse import urlsplit

from exchange.bounded import Outside
from exchange.ports import Unavailable
from portal.core import addresses
from portal.core.addresses import Network, Target

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name; none where it has none."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(address[0]) for *_, address in found]


async def checked(target: Target, allowed: Sequence[Network], look_up: Resolve) -> str:
    """The address to connect to; BadAddress where one of the name's is neither public nor allowed."""
    return addresses.reachable(await look_up(target.host, target.port), allowed)


async def post(outside: Outside, target: Target, address: str, body: bytes, headers: Mapping[str, str]) -> int:
    """The HTTP status, 0 where there was none."""
    parts = urlsplit(target.url)
    netloc = f"[{address}]:{target.port}" if ":" in address else f"{address}:{target.port}"
    try:
        url = parts._replace(netloc=netloc).geturl()
        return (await outside.post(url, body, {"host": parts.netloc, **headers}, target.host)).status
    except (Unavailable, UnicodeError, ValueError):
        return 0

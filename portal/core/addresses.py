"""Where a webhook may be sent: a door that calls out must not become a way into our own network (SSRF)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

URL_MAX_CHARS = 2048
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class BadAddress(ValueError):
    """An address nothing is sent to. Says nothing of it."""


class Target(NamedTuple):
    """A URL taken apart. `host` is a name, or an address without brackets."""

    url: str
    scheme: str
    host: str
    port: int


def target(url: str, *, sandbox: bool) -> Target:
    """The parts of a webhook's URL: https, or http in the sandbox; no user, no fragment, nothing that two readers cut differently. BadAddress."""
    if len(url) > URL_MAX_CHARS or not url.isascii() or any(c <= " " or c in "\\\x7f" for c in url):
        raise BadAddress
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        raise BadAddress from None
    if parts.scheme not in (("https", "http") if sandbox else ("https",)) or not parts.hostname:
        raise BadAddress
    if "@" in parts.netloc or parts.fragment or "%" in parts.netloc:
        raise BadAddress
    return Target(url, parts.scheme, parts.hostname, port)


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Networks that are allowed though not public. ValueError."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def reachable(addresses: Sequence[str], allowed: Sequence[Network]) -> str:
    """The address to connect to: the first of a name's, if all of them are public or allowed; BadAddress otherwise."""
    if not addresses or not all(_fits(address, allowed) for address in addresses):
        raise BadAddress
    return addresses[0]


def _fits(text: str, allowed: Sequence[Network]) -> bool:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if any(address in network for network in allowed if network.version == address.version):
        return True
    inner = _inside(address)
    return _public(address) and (inner is None or _public(inner))


def _public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved


def _inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one stands for: mapped, 6to4, or behind a translator (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in ipaddress.ip_network("64:ff9b::/96"):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour

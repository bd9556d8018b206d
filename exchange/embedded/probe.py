"""Ports and readiness, asked of the network itself. Loopback for what we start."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Collection

LOOPBACK = "127.0.0.1"
# Below the range the systems give to outgoing connections: a port kept between runs stays ours.
_PORTS = range(20000, 32768)
_METADATA, _VERSION, _CORRELATION = 3, 2, 1
_ANSWER_LIMIT_BYTES = 1 << 20


def port_is_free(port: int) -> bool:
    """True when a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def free_port(avoid: Collection[int] = ()) -> int:
    """A free loopback port that is not in `avoid`."""
    return next(port for port in random.sample(_PORTS, len(_PORTS)) if port not in avoid and port_is_free(port))


def cluster_at(host: str, port: int, *, timeout_s: float = 1.0) -> str | None:
    """The id of the Kafka cluster that answers there with at least one live broker, or None.

    It sends Metadata v2 without topics (https://kafka.apache.org/protocol#The_Messages_Metadata): an unfenced broker
    is listed, one still starting is not. Never raises, whatever the peer sends.
    """
    body = struct.pack(">hhihi", _METADATA, _VERSION, _CORRELATION, -1, 0)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as link:
            link.sendall(struct.pack(">i", len(body)) + body)
            (size_bytes,) = struct.unpack(">i", _read(link, 4))
            if not 8 <= size_bytes <= _ANSWER_LIMIT_BYTES:
                return None
            return _cluster_id(_read(link, size_bytes))
    except (OSError, struct.error, UnicodeDecodeError):
        return None


def _read(link: socket.socket, size_bytes: int) -> bytes:
    data = b""
    while len(data) < size_bytes:
        block = link.recv(size_bytes - len(data))
        if not block:
            raise ConnectionError("closed")
        data += block
    return data


def _cluster_id(answer: bytes) -> str | None:
    """Metadata v2 response: correlation, brokers (id, host, port, rack), cluster id."""
    correlation, brokers = struct.unpack_from(">ii", answer)
    if correlation != _CORRELATION or brokers < 1:
        return None
    at = 8
    for _ in range(brokers):
        _, at = _string(answer, at + 4)
        _, at = _string(answer, at + 4)
    return _string(answer, at)[0]


def _string(answer: bytes, at: int) -> tuple[str | None, int]:
    (length,) = struct.unpack_from(">h", answer, at)
    end = at + 2 + max(length, 0)
    return (None if length < 0 else answer[at + 2 : end].decode()), end

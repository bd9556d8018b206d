"""HTTP as bytes on a socket: what no client library would send."""

from __future__ import annotations

import socket
import time
from typing import NamedTuple, Self


class Said(NamedTuple):
    """One answer."""

    status: int
    head: str
    body: bytes


class Raw:
    """One connection."""

    def __init__(self, port: int, timeout_s: float = 10.0, receive_bytes: int = 0) -> None:
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(timeout_s)
        self.socket.connect(("127.0.0.1", port))
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self) -> Said | None:
        """The next; None where the connection ends instead."""
        while b"\r\n\r\n" not in self._held:
            if not self._more():
                return None
        head, _, rest = self._held.partition(b"\r\n\r\n")
        status, text = int(head.split()[1]), head.decode("latin-1").lower()
        whole = 1 << 20 if "\r\nconnection: close" in text else 0
        size = next((int(line[15:]) for line in text.split("\r\n") if line.startswith("content-length:")), whole)
        self._held = rest
        while len(self._held) < size:
            if not self._more():
                break
        body, self._held = self._held[:size], self._held[size:]
        return Said(status, text, body)

    def answers(self) -> list[Said]:
        """All until the connection ends, which it must in time."""
        return list(iter(self.answer, None))

    def ended_in_s(self, every_s: float = 0, drop: bytes = b"") -> float:
        """How long until it is ended, 20 s where it is not; meanwhile `drop` is sent, a byte at a time."""
        began_s = time.monotonic()
        self.socket.settimeout(every_s or 10)
        drops = iter(drop)
        while time.monotonic() < began_s + 20:
            try:
                if not self.socket.recv(65_536):
                    return time.monotonic() - began_s
            except TimeoutError:
                pass
            except OSError:
                return time.monotonic() - began_s
            try:
                self.socket.send(bytes([next(drops)]) if drop else b"")
            except OSError:
                break
        return time.monotonic() - began_s

    def _more(self) -> bool:
        try:
            piece = self.socket.recv(65_536)
        except ConnectionError:
            piece = b""
        self._held += piece
        return bool(piece)


def request(method: str, path: str, token: str = "", body: bytes = b"", *more: str) -> bytes:
    """A request's bytes; its length is told unless one of `more` begins with another way to tell it."""
    told = [
        f"{method} {path} HTTP/1.1",
        "host: 127.0.0.1:8600",
        *([f"authorization: Bearer {token}"] if token else []),
        *more,
    ]
    if body and not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in more):
        told.append(f"content-length: {len(body)}")
    return "\r\n".join([*told, "", ""]).encode("latin-1") + body

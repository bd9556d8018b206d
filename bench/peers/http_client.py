"""An application of the gateway, as lean as can be, so that the one measured is the gateway: HTTP/1.1 over kept connections."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

CONNECTIONS_MAX = 128


class Client:
    """POSTs of JSON to one server on the loopback, side by side. `OSError` or `asyncio.IncompleteReadError` where it hangs up."""

    def __init__(self, port: int, path: str) -> None:
        self._port, self._head = port, f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._turns = asyncio.Semaphore(CONNECTIONS_MAX)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for _, writer in self._idle:
            writer.close()

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """Status and body."""
        async with self._turns:
            reader, writer = await self._kept()
            try:
                writer.write(f"{self._head}content-length: {len(body)}\r\n\r\n".encode() + body)
                status, said = await _read(reader)
            except BaseException:
                writer.close()
                raise
            self._idle.append((reader, writer))
            return status, said

    async def _kept(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The connection last used, unless the server has left it meanwhile; or a new one."""
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection("127.0.0.1", self._port)


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    _, _, after = head.partition(b"content-length:")
    return int(head.split(b" ", 2)[1]), await reader.readexactly(int(after.split(b"\r\n", 1)[0]))

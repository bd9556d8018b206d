"""aiokafka's connection, whose answers are read by the socket into a buffer of their own.

asyncio's streams take what comes in pieces, append them, and copy the whole out of the middle: a fetch of 4 MiB costs them ten times what
the kernel asks for it. This takes the place of the reader, and of nothing else.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import Any

from aiokafka import conn

SIZE_BYTES = 4
FRAME_MAX_BYTES = 256 << 20
"""An answer that says it is longer ends the connection."""
KEPT_MAX_BYTES = 8 << 20
"""Room that is kept for the next answer: the kernel gives new room page by page, cleared."""


class Frames(conn.AIOKafkaProtocol, asyncio.BufferedProtocol):  # type: ignore[misc]  # nothing of aiokafka is typed
    """Whole frames, in order: a size in 4 bytes, signed, and as many bytes (Kafka's protocol, "Network")."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._whole, self._grown, self._ended = deque[bytes](), asyncio.Event(), False
        self._size, self._room, self._at, self._in_size = bytearray(SIZE_BYTES), bytearray(), 0, True
        self._into = memoryview(self._size)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._socket = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """What is still missing of the size, or of the frame; never nothing."""
        return self._into[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        self._at += nbytes
        if self._at < len(self._into):
            return
        if self._in_size:
            size = int.from_bytes(self._size, "big", signed=True)
            if not 0 < size <= FRAME_MAX_BYTES:
                self._end()
                self._socket.abort()
                return
            if size > len(self._room):
                self._room = bytearray(size)
            self._into, self._at, self._in_size = memoryview(self._room)[:size], 0, False
        else:
            self._whole.append(bytes(self._into))
            self._grown.set()
            self._into, self._at, self._in_size = memoryview(self._size), 0, True
            if len(self._room) > KEPT_MAX_BYTES:
                self._room = bytearray()

    def eof_received(self) -> bool:
        self._end()
        return bool(super().eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def _end(self) -> None:
        self._ended = True
        self._grown.set()

    async def frame(self) -> bytes:
        """The next one. Raises `EOFError` once none will come."""
        while not self._whole:
            if self._ended:
                raise EOFError
            self._grown.clear()
            await self._grown.wait()
        return self._whole.popleft()


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # nothing of aiokafka is typed
    """aiokafka's, but for where its answers come from."""

    @staticmethod
    async def _read(self_ref: weakref.ref[Any]) -> None:
        """Holds the connection only while it handles an answer, so that one nobody closed can go; aiokafka handles what this raises."""
        if (connection := self_ref()) is None:
            return
        frames: Frames = connection._protocol
        del connection
        while True:
            frame = await frames.frame()
            if (connection := self_ref()) is None:
                return
            connection._handle_frame(frame)
            del connection


def use() -> None:
    """For every connection that aiokafka opens from now on in this process."""
    conn.AIOKafkaProtocol, conn.AIOKafkaConnection = Frames, Connection

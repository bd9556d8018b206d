"""aiokafka's connection, whose answers are read by the socket into a buffer of their own, and whose batches go out as they are.

asyncio's streams take what comes in pieces, append them, and copy the whole out of the middle: a fetch of 4 MiB costs them ten times what
the kernel asks for it. A batch that is sent, aiokafka copies at each level of its request, eight times in all. This takes the place of the
reader, of how a request with batches is written, and of nothing else.
"""

from __future__ import annotations

import asyncio
import struct
import weakref
from collections import deque
from typing import Any

from aiokafka import conn
from aiokafka.protocol import produce
from aiokafka.protocol.types import String
from aiokafka.util import wait_for

from exchange.adapters import arrays

SIZE_BYTES = 4
_TEXT, _COUNT = String("utf-8"), struct.Struct(">i")
_HEAD, _BATCH = struct.Struct(">hii"), struct.Struct(">ii")
"""Acknowledgements, timeout (ms) and how many topics; a partition and the size of its batch."""
FRAME_MAX_BYTES = 256 << 20
"""An answer that says it is longer ends the connection."""
KEPT_MAX_BYTES = 16 << 20
"""Room that is kept for the next answer, the gate's of four partitions too: the kernel gives new room page by page, cleared."""


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


def laid(request: Any) -> list[bytes] | None:
    """What `request.encode()` gives, in parts: batches are not copied. None for a form that brokers had long ago."""
    if request.SCHEMA is not produce.ProduceRequest_v3.SCHEMA:
        return None
    parts = [
        _TEXT.encode(request.transactional_id),
        _HEAD.pack(request.required_acks, request.timeout, len(request.topics)),
    ]
    for topic, batches in request.topics:
        parts += (_TEXT.encode(topic), _COUNT.pack(len(batches)))
        for partition, batch in batches:
            parts += (_BATCH.pack(partition, len(batch)), batch)
    return parts


class Connection(conn.AIOKafkaConnection):  # type: ignore[misc]  # nothing of aiokafka is typed
    """aiokafka's, but for where its answers come from and how its batches go."""

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """As aiokafka's."""
        if self._writer is None or not isinstance(request, produce.ProduceRequest):
            return super().send(request, expect_response)
        if (parts := laid(made := request.prepare(self._versions))) is None:
            return super().send(request, expect_response)
        number = self._next_correlation_id()
        head = made.build_request_header(correlation_id=number, client_id=self._client_id).encode()
        size = _COUNT.pack(len(head) + sum(map(len, parts)))
        self._writer.writelines([size, head, *parts])
        if not expect_response:
            return self._writer.drain()
        self._requests.append((number, made, answer := self._loop.create_future()))
        return wait_for(answer, self._request_timeout)

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
    arrays.use()
    conn.AIOKafkaProtocol, conn.AIOKafkaConnection = Frames, Connection

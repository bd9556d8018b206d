"""Bytes between two processes: a length (4 bytes, big-endian), then so many bytes."""

from __future__ import annotations

import asyncio
import struct

LENGTH = struct.Struct(">I")


def framed(data: bytes) -> bytes:
    return LENGTH.pack(len(data)) + data


async def read_frame(reader: asyncio.StreamReader, size_max_bytes: int) -> bytes:
    """One frame; IncompleteReadError at the end, ValueError if it is too large."""
    (size,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    if size > size_max_bytes:
        raise ValueError("frame too large")
    return await reader.readexactly(size)

"""Reading a request in place: its first fields have a fixed length, its last two are opaque bytes (design, "The hot path").

This is the strict decoding of exchange-request.v1.avsc by hand: after the frame, three fixed fields and a 4-byte ttl, then two
Avro `bytes` that must fill the message exactly, each with a minimal length. `tests/unit/test_heads.py` holds it equal to the codec.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

HEAD = struct.Struct(">5s16s16s32sI")
"""Frame, request id, authorisation id, certificate hash, ttl in ms."""
TAIL_AT = HEAD.size
SIZE_MAX_BYTES = 256 << 10
"""A task adds a certificate to its request and must still be one message of 1 MiB."""


class BadRequest(ValueError):
    """Not a request."""


class Head(NamedTuple):
    """A request without its identity. `tail_at` is where ask and identity begin, lengths included."""

    request: bytes
    authorisation: bytes
    certificate_hash: bytes
    ttl_ms: int
    ask: bytes
    tail_at: int = TAIL_AT


def read_head(value: bytes | None, prefix: bytes) -> Head:
    """The head of a framed request; BadRequest unless the whole message is one."""
    if value is None or len(value) < TAIL_AT + 2 or len(value) > SIZE_MAX_BYTES:
        raise BadRequest
    frame, request, authorisation, certificate_hash, ttl_ms = HEAD.unpack_from(value)
    if frame != prefix:
        raise BadRequest
    ask_at, ask_end = bytes_at(value, TAIL_AT, len(value))
    _, end = bytes_at(value, ask_end, len(value))
    if end != len(value):
        raise BadRequest
    return Head(request, authorisation, certificate_hash, ttl_ms, value[ask_at:ask_end])


def bytes_at(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where an Avro `bytes` whose length is at `at` begins and ends; BadRequest if it goes beyond `end` or is not minimal."""
    length = shift = 0
    while True:
        if at >= end or shift > 28:
            raise BadRequest
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
    size = length >> 1
    if length & 1 or (byte == 0 and shift) or at + size > end:
        raise BadRequest
    return at, at + size


def varint(size: int) -> bytes:
    """A length as Avro and Kafka write it, zig-zag."""
    length, out = size << 1, bytearray()
    while length > 0x7F:
        out.append(length & 0x7F | 0x80)
        length >>= 7
    out.append(length)
    return bytes(out)


SIZES = {varint(size): size for size in range(1 << 6, 1 << 13)}
"""The usual lengths, those that take two bytes, by how they are written."""

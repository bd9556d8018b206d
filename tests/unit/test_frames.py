"""What comes over a connection is whole frames, however it is cut; and then an end."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

import pytest
from aiokafka.protocol.produce import ProduceRequest
from hypothesis import given
from hypothesis import strategies as st

from exchange.adapters.frames import FRAME_MAX_BYTES, KEPT_MAX_BYTES, Frames, laid


class Wire:
    """A transport that tells whether it was aborted."""

    aborted = False

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, _: str) -> None:
        return None


def opened() -> tuple[Frames, Wire]:
    loop = asyncio.get_running_loop()
    wire, frames = Wire(), Frames(loop.create_future(), asyncio.StreamReader(loop=loop), loop=loop)
    frames.connection_made(wire)
    return frames, wire


def pour(frames: Frames, data: bytes, most: int) -> None:
    """As a transport does: at most so many bytes at a time, into the buffer it is given."""
    while data:
        into = frames.get_buffer(-1)
        size = min(len(into), most, len(data))
        into[:size], data = data[:size], data[size:]
        frames.buffer_updated(size)


def framed(*bodies: bytes) -> bytes:
    return b"".join(struct.pack(">i", len(body)) + body for body in bodies)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await story()

    asyncio.run(whole())


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=5), st.integers(1, 60), st.integers(0, 60))
def test_frames_come_whole_and_in_order(bodies: list[bytes], most: int, cut: int) -> None:
    """In pieces of any size; what is cut off at the end is none."""

    async def story() -> None:
        frames, _ = opened()
        data = framed(*bodies, b"x" * 61)
        pour(frames, data[: len(data) - 1 - cut], most)
        frames.connection_lost(None)
        assert [await frames.frame() for _ in bodies] == bodies
        with pytest.raises(EOFError):
            await frames.frame()

    run(story)


async def test_a_great_frame_leaves_no_room_behind() -> None:
    """Room is kept for frames of the usual size; what follows a greater one is whole all the same."""
    frames, _ = opened()
    great = b"g" * (KEPT_MAX_BYTES + 1)
    pour(frames, framed(b"before", great, b"after"), 1 << 20)
    assert [await frames.frame() for _ in range(3)] == [b"before", great, b"after"]
    assert len(frames._room) < KEPT_MAX_BYTES


async def test_who_waits_is_told_of_the_next_and_of_the_end() -> None:
    """Nobody waits for ever."""
    frames, _ = opened()
    waiting = asyncio.create_task(frames.frame())
    await asyncio.sleep(0)
    pour(frames, framed(b"one"), 2)
    assert await waiting == b"one"
    waiting = asyncio.create_task(frames.frame())
    await asyncio.sleep(0)
    frames.eof_received()
    with pytest.raises(EOFError):
        await waiting


@pytest.mark.parametrize("size", [0, -1, FRAME_MAX_BYTES + 1])
async def test_a_size_that_is_none_ends_the_connection(size: int) -> None:
    """No memory is taken for it."""
    frames, wire = opened()
    pour(frames, struct.pack(">i", size), 4)
    assert wire.aborted
    with pytest.raises(EOFError):
        await frames.frame()


topics = st.lists(
    st.tuples(
        st.text(max_size=9), st.lists(st.tuples(st.integers(0, 99), st.binary(max_size=70).map(bytearray)), max_size=3)
    ),
    max_size=3,
)


@given(st.none() | st.text(max_size=9), st.sampled_from([-1, 0, 1]), topics, st.integers(3, 7))
def test_a_request_in_parts_is_what_aiokafka_writes(name: str | None, acks: int, topics: object, version: int) -> None:
    """In every version that both speak; batches are handed on as they are."""
    request = ProduceRequest(transactional_id=name, required_acks=acks, timeout=1_000, topics=topics)
    made = request.prepare({ProduceRequest.API_KEY: (version, version)})
    parts = laid(made)
    assert parts is not None
    assert b"".join(parts) == made.encode()


def test_a_request_in_an_old_form_is_left_to_aiokafka() -> None:
    """As brokers had it before there were transactions."""
    old = ProduceRequest(transactional_id=None, required_acks=1, timeout=1, topics=[])
    assert laid(old.prepare({ProduceRequest.API_KEY: (0, 2)})) is None

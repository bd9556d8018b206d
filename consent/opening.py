"""Sealed answers opened: by the ledger's process where they are few, else by one beside it. An opening holds the interpreter and costs
about what all the rest of a release does, so that the two overlap on two cores.

The process beside has no key of its own: it is handed those of one chunk, forgets them with it, writes nothing down, and ends with the
ledger's, whose child it is.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import BinaryIO

import msgspec

from consent.frames import LENGTH, framed, read_frame
from exchange.sealing import SealedAnswer, Unopenable, check_tag, open_outer
from exchange.suites import PrivateKey, private_key

FEW = 16
"""Answers that are opened sooner here than handed over."""
PIPE_BYTES = 1 << 20
"""What a chunk's answers fit in: neither side waits for the other to read."""
FRAME_MAX_BYTES = (1 << 32) - 1
"""No bound of its own: a chunk is bounded where it is read."""


class Key(msgspec.Struct, frozen=True, array_like=True):
    """The private key of an authorisation, raw, and its suite."""

    suite: str
    raw: bytes


class Closed(msgspec.Struct, frozen=True, array_like=True):
    """An answer, the secret its tag was made with, and every attempt it may be of: its transcript, and the key that opens it while there
    is one."""

    tag: bytes
    sealed_key: bytes
    outer: bytes
    mac: bytes
    attempts: tuple[tuple[bytes, Key | None], ...]


class Opened(msgspec.Struct, frozen=True, array_like=True):
    """Which attempt the answer is of (None: of none, or altered), and what was inside (None: no key)."""

    attempt: int | None
    inner: bytes | None


Opener = Callable[[Sequence[Closed]], Awaitable[Sequence[Opened]]]
"""Opens them in their order. Raises nothing: what does not open is told so."""
_NOT = Opened(None, None)


def open_answers(answers: Sequence[Closed]) -> list[Opened]:
    """Each key is loaded once."""
    loaded: dict[bytes, PrivateKey] = {}
    return [_open(answer, loaded) for answer in answers]


def _open(answer: Closed, loaded: dict[bytes, PrivateKey]) -> Opened:
    """The tag tells which attempt an answer is of: deadline, recipient key and certificate may differ between two."""
    sealed = SealedAnswer(answer.tag, answer.sealed_key, answer.outer)
    for place, (transcript, key) in enumerate(answer.attempts):
        try:
            check_tag(transcript, sealed, answer.mac)
        except Unopenable:
            continue
        if key is None:
            return Opened(place, None)
        if key.raw not in loaded:
            loaded[key.raw] = private_key(key.suite, key.raw)
        try:
            return Opened(place, open_outer(transcript, sealed, loaded[key.raw]))
        except Unopenable:
            return _NOT
    return _NOT


async def here(answers: Sequence[Closed]) -> Sequence[Opened]:
    """An `Opener` without a process of its own."""
    return open_answers(answers)


class Beside:
    """An `Opener` with a process of its own, started at the first chunk that is worth it, and again where it ended. Chunks are handed over
    without waiting for those before, and answered in their order."""

    def __init__(self) -> None:
        self._child: _Child | None = None
        self._starting = asyncio.Lock()

    async def __call__(self, answers: Sequence[Closed]) -> Sequence[Opened]:
        if len(answers) < FEW:
            return open_answers(answers)
        try:
            return await (await self._open()).ask(answers)
        except (OSError, asyncio.IncompleteReadError):
            return open_answers(answers)

    async def _open(self) -> _Child:
        async with self._starting:
            if self._child is None or self._child.over:
                await self.aclose()
                self._child = await _Child.start()
            return self._child

    async def aclose(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.close()


class _Child:
    """The process, as its parent sees it."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, sink: asyncio.WriteTransport
    ) -> None:
        self._process, self._reader, self._sink = process, reader, sink
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls) -> _Child:
        """It sees nothing of the environment that is Accord's: the ledger's master may stand there."""
        loop, (source, to_child), (from_child, sink) = asyncio.get_running_loop(), _pipe(), _pipe()
        env = {name: value for name, value in os.environ.items() if not name.startswith("ACCORD_")}
        process = subprocess.Popen([sys.executable, "-m", __name__], stdin=source, stdout=sink, env=env)  # noqa: ASYNC220  # asyncio's own has socket pairs, of a fifth of the size
        os.close(source)
        os.close(sink)
        reader = asyncio.StreamReader(limit=PIPE_BYTES)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(from_child, "rb"))
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(to_child, "wb"))
        return cls(process, reader, transport)

    @property
    def over(self) -> bool:
        return self._reading.done()

    async def ask(self, answers: Sequence[Closed]) -> list[Opened]:
        """OSError or IncompleteReadError if it ends before it answers."""
        reply = asyncio.get_running_loop().create_future()
        self._waiting.append(reply)
        self._sink.write(framed(msgspec.msgpack.encode(answers)))
        return msgspec.msgpack.decode(await reply, type=list[Opened])

    async def _read(self) -> None:
        try:
            while True:
                reply = await read_frame(self._reader, FRAME_MAX_BYTES)
                if not (waiting := self._waiting.popleft()).done():
                    waiting.set_result(reply)
        except (OSError, asyncio.IncompleteReadError) as error:
            for waiting in self._waiting:
                if not waiting.done():
                    waiting.set_exception(error)

    async def close(self) -> None:
        """The process ends when it has nothing more to read."""
        self._sink.close()
        await asyncio.gather(self._reading, return_exceptions=True)
        await asyncio.to_thread(self._process.wait)


def _pipe() -> tuple[int, int]:
    """To read from, to write to; as large as one may have it."""
    ends = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux; elsewhere one side waits for the other now and then
        with suppress(PermissionError):
            fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return ends


def _serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Chunk after chunk, until there is no more."""
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        answers = msgspec.msgpack.decode(source.read(*LENGTH.unpack(head)), type=list[Closed])
        sink.write(framed(msgspec.msgpack.encode(open_answers(answers))))
        sink.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever is at the terminal speaks to the ledger
    _serve(sys.stdin.buffer, sys.stdout.buffer)

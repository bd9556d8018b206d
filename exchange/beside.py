"""A process beside this one, for work that holds the interpreter. It is handed what it needs frame by frame and answers each in turn, over
two pipes; it sees nothing of Accord's environment, and ends with its parent, whose child it is."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from consent.frames import LENGTH, framed, read_frame

PIPE_BYTES = 1 << 20
"""What a chunk's answers fit in: neither side waits for the other to read."""
FRAME_MAX_BYTES = (1 << 32) - 1
"""No bound of its own: a chunk is bounded where it is read."""


class Process:
    """As its parent sees it."""

    def __init__(
        self, process: subprocess.Popen[bytes], reader: asyncio.StreamReader, sink: asyncio.WriteTransport
    ) -> None:
        self._process, self._reader, self._sink = process, reader, sink
        self._waiting: deque[asyncio.Future[bytes]] = deque()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, module: str) -> Process:
        """One that runs a module whose main program is `serve`. Nothing of the environment that is Accord's is there: a ledger's master may
        stand in it."""
        loop, (source, to_child), (from_child, sink) = asyncio.get_running_loop(), _pipe(), _pipe()
        env = {name: value for name, value in os.environ.items() if not name.startswith("ACCORD_")}
        process = subprocess.Popen([sys.executable, "-m", module], stdin=source, stdout=sink, env=env)  # noqa: ASYNC220  # asyncio's own has socket pairs, of a fifth of the size
        os.close(source)
        os.close(sink)
        reader = asyncio.StreamReader(limit=PIPE_BYTES)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(from_child, "rb"))
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(to_child, "wb"))
        return cls(process, reader, transport)

    @property
    def over(self) -> bool:
        return self._reading.done()

    @property
    def waiting(self) -> int:
        """How many frames it has not answered yet."""
        return len(self._waiting)

    def ask(self, frame: bytes) -> asyncio.Future[bytes]:
        """Its answer, to be waited for; frames are handed over without waiting for those before. OSError or IncompleteReadError if it ends first;
        whoever asks has looked whether it is over."""
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(reply)
        self._sink.write(framed(frame))
        return reply

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


def serve(answer: Callable[[bytes], bytes]) -> None:
    """The main program of the process: frame after frame, until there is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever is at the terminal speaks to the parent
    source, sink = sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        sink.write(framed(answer(source.read(*LENGTH.unpack(head)))))
        sink.flush()

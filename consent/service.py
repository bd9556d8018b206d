"""The ledger as one process behind a Unix socket: it alone owns the store and the keys.

A call is a frame (`consent.frames`) of MessagePack `[id, method, arguments]`; the reply `[id, status, body]`, where status is
`ok`, `refused` (body: a code of the catalogue), `unavailable`, `recovering` (body: `recorded` or nothing) or `bad_call`. Types on
both sides are the method's own: what does not fit is refused before the ledger sees it. The socket's file mode, 0600, is who may call.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

import msgspec
import structlog

from consent.door import METHODS, Door
from consent.frames import framed, read_frame
from exchange.ports import Recovering, Refused, Unavailable

CALL_MAX_BYTES = 64 << 20
NUMBERED = msgspec.msgpack.Decoder(tuple[int, str, msgspec.Raw])
"""Reads a call or a reply, but for its last part."""


class Signature(NamedTuple):
    """How a method is declared, and what reads its arguments (a tuple) and its result as the types it declares."""

    declared: inspect.Signature
    arguments: msgspec.msgpack.Decoder[Any]
    result: msgspec.msgpack.Decoder[Any]


@cache
def signature(method: str) -> Signature:
    """Of a method of the door."""
    function = getattr(Door, method)
    declared, hints = inspect.signature(function), get_type_hints(function)
    types: Any = tuple
    arguments = types[tuple(hints[name] for name in declared.parameters if name != "self")]
    return Signature(declared, msgspec.msgpack.Decoder(arguments), msgspec.msgpack.Decoder(hints["return"]))


class Service:
    """Serves one ledger on one socket until `stop`."""

    def __init__(self, ledger: Door, path: Path, on_bug: Callable[[], None] = lambda: os._exit(70)) -> None:
        self._ledger, self._path, self._on_bug = ledger, path, on_bug
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            self._server = await asyncio.start_unix_server(self._connected, self._path, limit=1 << 20)
        finally:
            os.umask(before)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        for writer in self._writers:
            writer.close()
        self._path.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                frame = await read_frame(reader, CALL_MAX_BYTES)
                task = asyncio.create_task(self._answer(frame, writer))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            writer.close()
        finally:
            self._writers.discard(writer)

    async def _answer(self, frame: bytes, writer: asyncio.StreamWriter) -> None:
        reply = await self._reply(frame)
        try:
            writer.write(framed(reply))
            await writer.drain()
        except ConnectionError:
            pass  # the caller went away: whatever was written stands, and asking again gets the same answer

    async def _reply(self, frame: bytes) -> bytes:
        call_id = 0
        try:
            call_id, method, arguments = NUMBERED.decode(frame)
            if method not in METHODS:
                raise ValueError("no such method")
            values = signature(method).arguments.decode(arguments)
            call: Callable[..., Awaitable[object]] = getattr(self._ledger, method)
            return msgspec.msgpack.encode((call_id, "ok", await call(*values)))
        except Refused as refused:
            return msgspec.msgpack.encode((call_id, "refused", refused.code))
        except Recovering as error:
            return msgspec.msgpack.encode((call_id, "recovering", "recorded" if error.recorded else ""))
        except Unavailable as error:
            return msgspec.msgpack.encode((call_id, "unavailable", str(error)))
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            return msgspec.msgpack.encode((call_id, "bad_call", type(error).__name__))
        except Exception as error:
            structlog.get_logger().error("ledger_bug", error=type(error).__name__)
            self._on_bug()
            return msgspec.msgpack.encode((call_id, "unavailable", "bug"))

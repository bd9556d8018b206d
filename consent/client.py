"""Calling the ledger's process: `consent.door.Door` over its Unix socket."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec

from consent.door import METHODS, Door
from consent.frames import framed, read_frame
from consent.service import CALL_MAX_BYTES, NUMBERED, signature
from exchange.core.errors import Code
from exchange.ports import Recovering, Refused, Unavailable

CALL_TIMEOUT_S = 15.0
_TEXT = msgspec.msgpack.Decoder(str)


class _Client:
    """One connection, opened at the first call and again after a loss; calls are told apart by their number."""

    def __init__(self, path: Path) -> None:
        self._path, self._ids = path, itertools.count(1)
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[tuple[str, msgspec.Raw]]] = {}
        self._opening = asyncio.Lock()

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method not in METHODS:
            raise AttributeError(method)
        declared, _, result = signature(method)

        async def call(*given: object, **named: object) -> object:
            bound = declared.bind(None, *given, **named)
            bound.apply_defaults()
            status, body = await self._call(method, bound.args[1:])
            if status == "ok":
                return result.decode(body)
            text = _TEXT.decode(body)
            if status == "refused":
                raise Refused(Code(text))
            if status == "recovering":
                raise Recovering(recorded=text == "recorded")
            if status == "bad_call":
                raise ValueError(f"ledger call {method}: {text}")
            raise Unavailable(f"ledger: {text}")

        return call

    async def _call(self, method: str, arguments: tuple[object, ...]) -> tuple[str, msgspec.Raw]:
        call_id = next(self._ids)
        future: asyncio.Future[tuple[str, msgspec.Raw]] = asyncio.get_running_loop().create_future()
        try:
            writer = await self._open()
            self._waiting[call_id] = future
            writer.write(framed(msgspec.msgpack.encode((call_id, method, arguments))))
            await writer.drain()
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await future
        except (OSError, TimeoutError) as error:
            raise Unavailable(f"ledger: {type(error).__name__}") from None
        finally:
            self._waiting.pop(call_id, None)

    async def _open(self) -> asyncio.StreamWriter:
        async with self._opening:
            if self._writer is None or self._writer.is_closing():
                reader, self._writer = await asyncio.open_unix_connection(self._path, limit=1 << 20)
                self._reading = asyncio.create_task(self._read(reader, self._writer))
            return self._writer

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                call_id, status, body = NUMBERED.decode(await read_frame(reader, CALL_MAX_BYTES))
                future = self._waiting.get(call_id)
                if future is not None and not future.done():
                    future.set_result((status, msgspec.Raw(bytes(body))))
        except (asyncio.IncompleteReadError, OSError, ValueError):
            writer.close()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(ConnectionError())

    async def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()


def connect(path: Path) -> Door:
    """The ledger behind the socket at `path`. Every method raises `Unavailable` while it does not answer."""
    return cast(Door, _Client(path))


async def hang_up(ledger: Door) -> None:
    """Close the connection of a ledger made by `connect`."""
    await cast(_Client, ledger).close()

"""Sealed answers opened: by the ledger's process where they are few, else by one beside it. An opening costs about
what all the rest of a release does, so that the two overlap on two cores.

The process beside has no key of its own: it is handed those of one chunk, forgets them with it, writes nothing down, and ends with the
ledger's, whose child it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from cryptography.hazmat.primitives.hmac import HMAC

from exchange.beside import Process, serve
from exchange.core.sealing import Context, answer_digest, transcript
from exchange.mac import keyed
from exchange.sealing import SealedAnswer, Unopenable, check_tag, open_outer
from exchange.suites import PrivateKey, private_key

FEW = 16
"""Answers that are opened sooner here than handed over."""


class Key(msgspec.Struct, frozen=True, array_like=True):
    """The private key of an authorisation, raw, and its suite."""

    suite: str
    raw: bytes


class Closed(msgspec.Struct, frozen=True, array_like=True):
    """An answer, the secret its tag was made with, and every attempt it may be of: its context, and the key that opens it while there is
    one."""

    tag: bytes
    sealed_key: bytes
    outer: bytes
    mac: bytes
    attempts: tuple[tuple[Context, Key | None], ...]


class Opened(msgspec.Struct, frozen=True, array_like=True):
    """Which attempt the answer is of (None: of none, or altered), what was inside (None: no key), the attempt's transcript T, and what
    tells this answer from another to the same request."""

    attempt: int | None
    inner: bytes | None
    transcript: bytes = b""
    answer_digest: bytes = b""


Opener = Callable[[Sequence[Closed]], Awaitable[Sequence[Opened]]]
"""Opens them in their order. Raises nothing: what does not open is told so."""
_NOT = Opened(None, None)


def open_answers(answers: Sequence[Closed]) -> list[Opened]:
    """Each key is loaded once."""
    loaded: dict[bytes, PrivateKey] = {}
    tagging = {mac: keyed(mac) for mac in {answer.mac for answer in answers}}
    return [_open(answer, tagging[answer.mac], loaded) for answer in answers]


def _open(answer: Closed, tagging: HMAC, loaded: dict[bytes, PrivateKey]) -> Opened:
    """The tag tells which attempt an answer is of: deadline, recipient key and certificate may differ between two."""
    sealed = SealedAnswer(answer.tag, answer.sealed_key, answer.outer)
    for place, (context, key) in enumerate(answer.attempts):
        t = transcript(context)
        try:
            check_tag(t, sealed, tagging)
        except Unopenable:
            continue
        inner = None
        if key is not None:
            if key.raw not in loaded:
                loaded[key.raw] = private_key(key.suite, key.raw)
            try:
                inner = open_outer(t, sealed, loaded[key.raw])
            except Unopenable:
                return _NOT
        return Opened(place, inner, t, answer_digest(answer.tag, answer.sealed_key, answer.outer))
    return _NOT


async def here(answers: Sequence[Closed]) -> Sequence[Opened]:
    """An `Opener` without a process of its own."""
    return open_answers(answers)


class Beside:
    """An `Opener` with a process of its own, started at the first chunk that is worth it, and again where it ended. Chunks are handed over
    without waiting for those before, and answered in their order."""

    def __init__(self) -> None:
        self._child: Process | None = None
        self._starting = asyncio.Lock()

    async def __call__(self, answers: Sequence[Closed]) -> Sequence[Opened]:
        if len(answers) < FEW:
            return open_answers(answers)
        try:
            reply = await (await self._open()).ask(msgspec.msgpack.encode(answers))
        except (OSError, asyncio.IncompleteReadError):
            return open_answers(answers)
        return msgspec.msgpack.decode(reply, type=list[Opened])

    async def _open(self) -> Process:
        async with self._starting:
            if self._child is None or self._child.over:
                await self.aclose()
                self._child = await Process.start(__name__)
            return self._child

    async def aclose(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.close()


def _answer(frame: bytes) -> bytes:
    return msgspec.msgpack.encode(open_answers(msgspec.msgpack.decode(frame, type=list[Closed])))


if __name__ == "__main__":
    serve(_answer)

"""The answers of many requests, as they are told: what `Request.answer` is for one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple

from consent.core.facts import Outcome, Submission, Waiting
from exchange import outcomes
from exchange.core.avro import BadAvro
from exchange.hearing import awaits_person, pulled
from exchange.opened import ERRORS, Broken, Plain, Released, read

if TYPE_CHECKING:
    from exchange.sdk import Bus, Request, Told


CHUNKS = 2
"""Of what is told, under way at once."""
_TOLD: tuple[type[Exception], ...] = (outcomes.ExchangeError, BadAvro, *ERRORS)
"""Errors that are of one request, and of no other."""


class Ended(NamedTuple):
    """What became of a request: its answer, or the error that `Request.answer` would have raised. `cursor` goes on after it."""

    cursor: str
    request: Request
    answer: outcomes.Answer | Exception


class _Mine(NamedTuple):
    """What was told of a request."""

    cursor: str
    request: Request
    told: Outcome | Waiting


async def answers(bus: Bus, requests: Iterable[Request], after: str) -> AsyncGenerator[Ended, None]:
    """Each once, in the order in which they are told after this cursor; over with the last. While some are opened the next are read."""
    waiting = {request.submission: request for request in requests}
    await bus.keys.read()  # requests may have been made in another process
    opening, hearing = deque[asyncio.Task[list[Ended]]](), None
    async with aclosing(bus.heard(after)) as heard:
        try:
            while waiting or opening:
                if hearing is None and waiting and len(opening) < CHUNKS:
                    hearing = asyncio.ensure_future(anext(heard))
                coming = [task for task in (hearing, *list(opening)[:1]) if task is not None]
                await asyncio.wait(coming, return_when=asyncio.FIRST_COMPLETED)
                if hearing is not None and hearing.done():
                    if mine := _mine(hearing.result(), waiting):
                        opening.append(asyncio.create_task(_ended(bus, mine)))
                    hearing = None
                while opening and opening[0].done():
                    for ended in opening.popleft().result():
                        yield ended
        finally:
            await _over(task for task in (hearing, *opening) if task is not None)


def _mine(heard: Iterable[Told], waiting: dict[Submission, Request]) -> list[_Mine]:
    """What is told of those that are waited for, which are not any more."""
    mine = list[_Mine]()
    for cursor, told in heard:
        submission = Submission(told.key, told.digest)
        if submission in waiting and not awaits_person(told):
            mine.append(_Mine(cursor, waiting.pop(submission), told))
    return mine


async def _over(tasks: Iterable[asyncio.Future[Any]]) -> None:
    given_up = list(tasks)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)


async def _ended(bus: Bus, mine: Sequence[_Mine]) -> list[Ended]:
    """In their order; those that came with their answers are opened together."""
    found = [await _found(bus, request, told) for _, request, told in mine]
    opened = iter(await bus.opener.open([one for one in found if isinstance(one, Released)]))
    read = [_read(one, next(opened)) if isinstance(one, Released) else one for one in found]
    return [Ended(cursor, request, one) for (cursor, request, _), one in zip(mine, read, strict=True)]


async def _found(bus: Bus, request: Request, told: Outcome | Waiting) -> Released | outcomes.Answer | Exception:
    """What waits at the ledger is opened as soon as it has come from there (protocol §2)."""
    try:
        if isinstance(told, Outcome) and not pulled(told):
            return bus.released(request, told)
        answer = bus.open(request, await bus.outcome(told))
        await bus.received(request)
    except _TOLD as error:
        return error
    return answer


def _read(one: Released, plain: Plain | Broken) -> outcomes.Answer | Exception:
    try:
        return plain.reason if isinstance(plain, Broken) else read(one.outcome, plain)
    except BadAvro as error:
        return error

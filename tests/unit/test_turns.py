"""Turns: who may be at work together, and who waits."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from exchange.turns import Turns


class Worker:
    """Somebody at work until told to end."""

    def __init__(self, turn: AbstractAsyncContextManager[None]) -> None:
        self._turn, self._end, self.at_work = turn, asyncio.Event(), False
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        async with self._turn:
            self.at_work = True
            try:
                await self._end.wait()
            finally:
                self.at_work = False

    def end(self) -> None:
        self._end.set()


async def at_work(*workers: Worker) -> list[bool]:
    """Once everybody who may has begun or ended."""
    for _ in range(20):
        await asyncio.sleep(0)
    return [worker.at_work for worker in workers]


async def test_as_many_as_allowed_are_at_work_and_the_next_takes_the_first_place() -> None:
    """Three want, two may; the third begins when one ends."""
    turns = Turns(2)
    workers = [Worker(turns.beside()) for _ in range(3)]
    assert await at_work(*workers) == [True, True, False]
    workers[1].end()
    assert await at_work(*workers) == [True, False, True]


async def test_alone_waits_for_all_and_all_wait_for_it_in_order() -> None:
    """Who wants to be alone begins once those at work have ended; who came later begins after it, though there was room."""
    turns = Turns(2)
    before, alone, after = Worker(turns.beside()), Worker(turns.alone()), Worker(turns.beside())
    assert await at_work(before, alone, after) == [True, False, False]
    before.end()
    assert await at_work(before, alone, after) == [False, True, False]
    alone.end()
    assert await at_work(before, alone, after) == [False, False, True]


async def test_two_who_want_to_be_alone_follow_each_other() -> None:
    """Neither waits for a place that the other holds."""
    turns = Turns(3)
    first, second = Worker(turns.alone()), Worker(turns.alone())
    assert await at_work(first, second) == [True, False]
    first.end()
    assert await at_work(first, second) == [False, True]


async def test_who_gives_up_while_waiting_leaves_its_place() -> None:
    """Cancelled before it began, alone or beside: everybody else goes on."""
    turns = Turns(2)
    busy = Worker(turns.beside())
    for turn in (turns.alone(), turns.beside(), turns.alone()):
        waiting = Worker(turn)
        await at_work(waiting)
        waiting.task.cancel()
        assert await at_work(busy, waiting) == [True, False]
    busy.end()
    last = Worker(turns.alone())
    assert await at_work(busy, last) == [False, True]

"""Turns at work: a few at once, or one alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Turns:
    """`at_once` may be at work together; whoever wants to be `alone` waits for those to end, and everybody else for it. First come, first
    served. Safe to cancel at any point."""

    def __init__(self, at_once: int = 1) -> None:
        self._at_once, self._door, self._room = at_once, asyncio.Lock(), asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        """Among those at work."""
        async with self._door:
            await self._room.acquire()
        try:
            yield
        finally:
            self._room.release()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Nobody else is at work."""
        taken = 0
        async with self._door:
            try:
                while taken < self._at_once:
                    await self._room.acquire()
                    taken += 1
                yield
            finally:
                for _ in range(taken):
                    self._room.release()

"""T-attempts asked while the ledger is at work share its next transaction: each call has its own, a burst does not cost a commit each."""

from __future__ import annotations

import asyncio

from consent.core.facts import Attempt, Attempted
from exchange.ports import Ledger


class Attempts:
    """T-attempt, one at a time for who asks, several at a time for the ledger. Raises what the ledger raises."""

    def __init__(self, ledger: Ledger, worker: str) -> None:
        self._ledger, self._worker = ledger, worker
        self._waiting: list[tuple[Attempt, asyncio.Future[Attempted]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def ask(self, attempt: Attempt) -> Attempted:
        future: asyncio.Future[Attempted] = asyncio.get_running_loop().create_future()
        self._waiting.append((attempt, future))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await future

    async def _ask(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, []
            try:
                granted = await self._ledger.attempt([attempt for attempt, _ in asked], self._worker)
            except Exception as error:
                for _, future in asked:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), result in zip(asked, granted, strict=True):
                if not future.done():
                    future.set_result(result)

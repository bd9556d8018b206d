"""Requests on their way to the broker: those asked for at the same time are sealed and sent together, a chunk at a time.

So the broker is called once a chunk, and while it writes one the next is sealed; nobody waits for company.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

from exchange.core.batches import Bodies
from exchange.core.heads import SIZE_MAX_BYTES
from exchange.ports import Outbox

CHUNK = 128
"""Requests sealed before the loop turns: some 10 ms. What it takes to send a chunk is one batch a partition, however few."""
Place = tuple[str, int]


class _Asked(NamedTuple):
    place: Place
    make: Callable[[], bytes]
    sent: asyncio.Future[None]


class Publishing:
    """What lies between those who ask, as many as there are, and one outbox."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._asked = deque[_Asked]()
        self._tasks = set[asyncio.Task[None]]()
        self._at_work = False

    async def send(self, place: Place, make: Callable[[], bytes]) -> None:
        """Durable on return, in the order of the calls within a place. `make` lays a message out (`exchange.core.batches.body`). Raises what
        it does, and as `Outbox.send`."""
        one = _Asked(place, make, asyncio.get_running_loop().create_future())
        self._asked.append(one)
        if not self._at_work:
            self._at_work = True
            self._background(self._work())
        await one.sent

    async def _work(self) -> None:
        """A chunk each turn of the loop, as long as there are any."""
        try:
            while self._asked:
                self._take([self._asked.popleft() for _ in range(min(CHUNK, len(self._asked)))])
                await asyncio.sleep(0)
        finally:
            self._at_work = False

    def _take(self, chunk: Sequence[_Asked]) -> None:
        together: list[tuple[_Asked, bytes]] = []
        for one in chunk:
            if one.sent.done():  # given up meanwhile
                continue
            try:
                laid = one.make()
            except Exception as error:  # it is for who asked
                one.sent.set_exception(error)
                continue
            if len(laid) > SIZE_MAX_BYTES:  # perhaps no gate takes it, perhaps no broker: alone
                self._background(self._deliver([(one, laid)]))
            else:
                together.append((one, laid))
        if together:
            self._background(self._deliver(together))

    async def _deliver(self, made: Sequence[tuple[_Asked, bytes]]) -> None:
        batches: dict[Place, list[bytes]] = {}
        for one, laid in made:
            batches.setdefault(one.place, []).append(laid)
        try:
            await self._outbox.send({place: Bodies(each) for place, each in batches.items()})
        except Exception as error:  # it is for those who asked
            for one in self._waiting(made):
                one.sent.set_exception(error)
        except asyncio.CancelledError:
            for one in self._waiting(made):
                one.sent.cancel()
            raise
        else:
            for one in self._waiting(made):
                one.sent.set_result(None)

    @staticmethod
    def _waiting(made: Sequence[tuple[_Asked, bytes]]) -> list[_Asked]:
        return [one for one, _ in made if not one.sent.done()]

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

"""What an application waits for, submission by submission: an outcome, or that an answer waits, to be opened or for its person."""

from __future__ import annotations

import asyncio
from typing import Any

from consent.core.facts import Outcome, Submission, Waiting
from exchange import outcomes
from exchange.core.errors import Code
from exchange.ports import Clock


class Hearing:
    """Of one bus. The first that is told counts: a repeat says the same, and opening what waits says it all."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[Submission, asyncio.Future[Outcome | Waiting]] = {}
        self._shown: dict[Submission, asyncio.Event] = {}

    def expect(self, submission: Submission) -> None:
        """From now on what is told of it is kept."""
        self._told[submission] = asyncio.get_running_loop().create_future()

    def forget(self, submission: Submission) -> None:
        self._told.pop(submission, None)
        self._shown.pop(submission, None)

    def hear(self, told: Outcome | Waiting) -> None:
        """What the bus tells, of whatever submission."""
        submission = Submission(told.key, told.digest)
        future = self._told.get(submission)
        if future is None or future.done():
            return
        if awaits_person(told):
            self._shown_to(submission).set()
        else:
            future.set_result(told)

    async def told(self, submission: Submission, timeout_s: float, *, keep: bool = False) -> Outcome | Waiting:
        """Its outcome, or that its answer waits to be opened; told once, unless one is to `keep` it. Without either in time: `AwaitsPerson`
        where its answer waits for its person, else `BusUnavailable`."""
        future = self._expected(submission)
        if not await self._first(timeout_s, future):
            raise outcomes.of(Code.PREVIEW_PENDING if self._shown_to(submission).is_set() else Code.UNAVAILABLE)
        if not keep:
            self.forget(submission)
        return future.result()

    async def shown(self, submission: Submission, timeout_s: float) -> bool:
        """Whether its answer waits for its person, once there is news of any kind; `BusUnavailable` without any in time."""
        future = self._expected(submission)
        waiting = asyncio.ensure_future(self._shown_to(submission).wait())
        try:
            if not await self._first(timeout_s, future, waiting):
                raise outcomes.of(Code.UNAVAILABLE)
            return not future.done()
        finally:
            waiting.cancel()

    def _expected(self, submission: Submission) -> asyncio.Future[Outcome | Waiting]:
        if submission not in self._told:
            raise outcomes.of(Code.UNAVAILABLE)
        return self._told[submission]

    def _shown_to(self, submission: Submission) -> asyncio.Event:
        """Set once its answer waits for its person; made only for those."""
        return self._shown.setdefault(submission, asyncio.Event())

    async def _first(self, timeout_s: float, *coming: asyncio.Future[Any]) -> bool:
        """Whether one of these came before so much of the clock's time had passed."""
        alarm = asyncio.ensure_future(self._clock.sleep(timeout_s))
        try:
            await asyncio.wait([*coming, alarm], return_when=asyncio.FIRST_COMPLETED)
            return any(one.done() for one in coming)
        finally:
            alarm.cancel()


def awaits_person(told: Outcome | Waiting) -> bool:
    """Whether an answer is there, and waits for its person to let it through."""
    return isinstance(told, Waiting) and told.awaits == "person"


def pulled(told: Outcome | Waiting) -> bool:
    """Whether its answer is to be opened by asking the ledger."""
    return isinstance(told, Waiting) or (told.code, told.delivery) == ("released", "none")

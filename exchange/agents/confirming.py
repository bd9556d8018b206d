"""What the broker acknowledged and the ledger has not heard of yet: told with the next release, or alone after 100 ms (protocol §3.5).

Until then no offset goes past it (`held`), so that what a worker leaves unconfirmed comes again, and is told again. Whatever the ledger does not
answer goes back to what waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from consent.core.facts import Answer, Confirmation, DeadLetter, Dropped, Outcome, Verdict, Waiting
from exchange.ports import Ledger, Record

CONFIRM_S = 0.1


class _Acknowledged(NamedTuple):
    """A confirmation, and the record that it frees."""

    confirmation: Confirmation
    topic: str
    partition: int
    offset: int


class Confirming:
    """The ledger's T-release, and the confirmations that go along with it. Calls may overlap: each takes what no other has taken."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[_Acknowledged] = []
        self._told: list[list[_Acknowledged]] = []

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._waiting)

    def add(self, acknowledged: Iterable[tuple[Outcome, Record]]) -> None:
        """The broker has these outcomes, of these records."""
        self._waiting += [
            _Acknowledged(Confirmation(o.key, o.digest, o.delivery == "key"), record.topic, record.partition, record.offset)
            for o, record in acknowledged
        ]  # fmt: skip

    def held(self, topic: str, partition: int) -> int | None:
        """The lowest offset of a record whose outcome the ledger may not know to be told."""
        both = chain(self._waiting, *self._told)
        return min((one.offset for one in both if (one.topic, one.partition) == (topic, partition)), default=None)

    async def release(
        self, items: Sequence[Answer | Verdict], worker: str = ""
    ) -> list[Outcome | Waiting | Dropped | DeadLetter]:
        """T-release of these, and of all that waits. Raises what the ledger raises."""
        taken, self._waiting = self._waiting, []
        self._told.append(taken)
        try:
            return await self._ledger.release(items, [one.confirmation for one in taken], worker)
        except BaseException:
            self._waiting = taken + self._waiting
            raise
        finally:
            self._told = [others for others in self._told if others is not taken]

    async def confirm(self) -> None:
        """What waits, if anything does."""
        if self._waiting:
            await self.release([])

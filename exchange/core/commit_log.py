"""What a consumer handed out of each partition, and how far it may be committed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

Place = tuple[str, int]
"""(topic, partition)"""


@dataclass(slots=True)
class _Range:
    ticket: int
    place: Place
    first: int
    after: int
    settled: bool = False


@dataclass
class CommitLog:
    """What was handed out of each partition, in order, and how far all of it is settled. Pure.

    The commit position of a partition is the end of the longest settled run of chunks. Offsets between two chunks
    (transaction markers, compaction) belong to no record and hold nothing back.
    """

    _handed: dict[Place, deque[_Range]] = field(default_factory=dict)
    _position: dict[Place, int] = field(default_factory=dict)
    _live: dict[int, _Range] = field(default_factory=dict)
    _last_ticket: int = 0

    def hand(self, place: Place, first: int, after: int) -> int:
        """Record a chunk [first, after) as handed out; returns its ticket. Going back means `rewind` first."""
        handed = self._handed.setdefault(place, deque())
        if handed and first < handed[-1].after:
            self.rewind(place, first)
        self._last_ticket += 1
        chunk = _Range(self._last_ticket, place, first, after)
        handed.append(chunk)
        self._live[chunk.ticket] = chunk
        return chunk.ticket

    def settle(self, ticket: int) -> None:
        """The chunk is done and its outputs are durable. A ticket that is no longer live settles nothing."""
        chunk = self._live.pop(ticket, None)
        if chunk is None:
            return
        chunk.settled = True
        handed = self._handed[chunk.place]
        while handed and handed[0].settled:
            after = handed.popleft().after
            self._position[chunk.place] = max(after, self._position.get(chunk.place, 0))

    def live(self, ticket: int) -> bool:
        return ticket in self._live

    def rewind(self, place: Place, offset: int) -> None:
        """Reading starts again at `offset`: forget the chunks that begin there or later, they will be handed again."""
        handed = self._handed.get(place, deque())
        while handed and handed[-1].first >= offset:
            self._live.pop(handed.pop().ticket, None)

    def clear(self) -> None:
        """The assignment is over. Tickets are never used again, so late `settle`s are harmless."""
        self._handed.clear()
        self._position.clear()
        self._live.clear()

    def places(self) -> list[Place]:
        """The partitions of which anything was handed out."""
        return list(self._handed)

    def position(self, place: Place, held: int | None = None) -> int | None:
        """The offset to commit (of the next record to read), never past `held`; None while nothing is settled."""
        position = self._position.get(place)
        return position if position is None or held is None else min(position, held)

    @property
    def in_flight(self) -> int:
        """Chunks handed out and not settled."""
        return len(self._live)

    @property
    def oldest(self) -> int:
        """The ticket longest unsettled, 0 if none."""
        return next(iter(self._live), 0)

"""Whether work waits and nothing moves: what a watchdog outside Faust's own logic compares, twice and more."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

from exchange.core.commit_log import Place
from exchange.transport import Progress


class Stalled(Exception):
    """Records wait and nothing moves."""


@dataclass
class StallWatch:
    """Remembers since when each lagging thing has shown the same mark. Pure; `now_s` from any monotonic clock."""

    _since: dict[Hashable, tuple[Hashable, float]] = field(default_factory=dict)

    def longest(self, now_s: float, marks: Mapping[Hashable, Hashable]) -> float:
        """Seconds the longest of them has not moved; `marks` names what lags now, and its mark."""
        self._since = {
            key: self._since[key] if key in self._since and self._since[key][0] == mark else (mark, now_s)
            for key, mark in marks.items()
        }
        return max((now_s - since for _, since in self._since.values()), default=0.0)


def lagging(
    progress: Mapping[Place, Progress], ends: Mapping[Place, int], oldest: int, retries: int
) -> dict[Hashable, Hashable]:
    """What has work to do, with a mark that changes when it advances: each partition, and the chunk longest in the agent's hands."""
    marks: dict[Hashable, Hashable] = {
        place: (now, oldest, retries)
        for place, now in progress.items()
        if (now.fetched or 0) < ends.get(place, 0) or (now.committable or 0) > (now.committed or 0)
    }
    return marks | ({"chunk": (oldest, retries)} if oldest else {})

"""Breadth first over every state; for each promise broken, the shortest trace that breaks it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from tests.model.promises import broken, stuck
from tests.model.protocol import Accord
from tests.model.state import State, Step, initial

Parents = dict[State, State | None]


class Exploration(NamedTuple):
    """`broken` has a shortest trace for each promise broken; `complete` when no state was left out."""

    parents: Parents
    steps: int
    broken: dict[str, list[Step]]
    complete: bool

    @property
    def states(self) -> int:
        return len(self.parents)


def explore(protocol: Accord, watch: str = "", states_max: int = 10_000_000) -> Exploration:
    """All states, or as many as it takes to see `watch` broken."""
    first, world = initial(protocol.world), protocol.world
    parents: Parents = {first: None}
    queue, found, count = deque([first]), dict[str, list[Step]](), 0
    while queue and len(parents) < states_max and watch not in found:
        s = queue.popleft()
        steps = list(protocol.steps(s))
        count += len(steps)
        for name in stuck(world, s, steps):
            if name not in found:
                found[name] = trace(protocol, parents, s)
        for step in steps:
            for name in broken(world, s, step):
                if name not in found:
                    found[name] = [*trace(protocol, parents, s), step]
            if step.after not in parents:
                parents[step.after] = s
                queue.append(step.after)
    return Exploration(parents, count, found, not queue)


def trace(protocol: Accord, parents: Parents, s: State) -> list[Step]:
    """The steps from the beginning to this state; only states are kept, so each step is found again."""
    return list(_back(protocol, parents, s))[::-1]


def _back(protocol: Accord, parents: Parents, s: State) -> Iterator[Step]:
    while (before := parents[s]) is not None:
        yield next(step for step in protocol.steps(before) if step.after == s)
        s = before

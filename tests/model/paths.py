"""Traces worth replaying: the shortest through situations that one can name, and walks at random."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random

from tests.model.protocol import Accord
from tests.model.state import State, Step, initial

Goal = Callable[[Step], bool]


def follow(protocol: Accord, *goals: Goal) -> list[Step]:
    """The shortest trace to a step that meets the first goal, from there to the next one, and so on."""
    s, found = initial(protocol.world), list[Step]()
    for goal in goals:
        found += _shortest(protocol, s, goal)
        s = found[-1].after
    return found


def _shortest(protocol: Accord, start: State, goal: Goal) -> list[Step]:
    came: dict[State, tuple[State, Step] | None] = {start: None}
    queue = deque([start])
    while queue:
        s = queue.popleft()
        for step in sorted(protocol.steps(s), key=_order):
            if goal(step):
                return [*_way(came, s), step]
            if step.after not in came:
                came[step.after] = s, step
                queue.append(step.after)
    raise AssertionError("no such trace")


def _way(came: dict[State, tuple[State, Step] | None], s: State) -> list[Step]:
    way: list[Step] = []
    while (link := came[s]) is not None:
        s, step = link
        way.append(step)
    return way[::-1]


ENDINGS = {"withdraw", "erase", "expire", "deadline"}
"""After these little can happen: a walk seldom does them, or it would tell nothing else."""


def walk(protocol: Accord, length: int, random: Random) -> list[Step]:
    """Any kind of step that may happen, then any of that kind, so many times; the same walk for the same seed."""
    s, found = initial(protocol.world), list[Step]()
    while len(found) < length and (steps := sorted(protocol.steps(s), key=_order)):
        acts = sorted({step.act for step in steps})
        (act,) = random.choices(acts, [1 if act in ENDINGS else 12 for act in acts])
        found.append(random.choice([step for step in steps if step.act == act]))
        s = found[-1].after
    return found


def _order(step: Step) -> str:
    return repr(step[:3]) + repr(step.hand)

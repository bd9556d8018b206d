"""The amended protocol, explored: every state of every world, and no promise broken but the one that no message in flight can keep.

Small worlds by default; `ACCORD_MODEL=whole` explores those of protocol.md §9 (see `tests.model.worlds` and the figures there).
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import NamedTuple

import pytest

from tests.model.explorer import explore
from tests.model.previewing import Previewing
from tests.model.promises import LITERAL, PROGRESS, PROMISES
from tests.model.protocol import Accord
from tests.model.pulling import Pulling
from tests.model.state import World
from tests.model.worlds import OTHERS, SMALL, WORLDS

WHOLE = os.environ.get("ACCORD_MODEL") == "whole"
EXPLORED = (WORLDS if WHOLE else SMALL) | OTHERS
STATES_MAX = 20_000_000 if WHOLE else 400_000

pytestmark = pytest.mark.timeout(0 if WHOLE else 900)


class Found(NamedTuple):
    """What an exploration came to; traces as text."""

    states: int
    steps: int
    complete: bool
    broken: dict[str, list[str]]
    unnamed: bool
    """Whether a request was opened late that the acknowledgement did not name."""


def look(world: World) -> Found:
    """Explored in a process of its own."""
    protocol = Previewing if world.preview else Pulling if world.pull else Accord
    found = explore(protocol(world), states_max=STATES_MAX)
    last = found.broken["I1 opened"][-1] if "I1 opened" in found.broken else None
    unnamed = last is not None and last.about[0] not in last.after.named
    traces = {name: [str(step) for step in trace] for name, trace in found.broken.items()}
    return Found(found.states, found.steps, found.complete, traces, unnamed)


@pytest.fixture(scope="module")
def explored() -> Iterator[dict[str, Future[Found]]]:
    """All worlds, two at a time."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield {name: pool.submit(look, world) for name, world in EXPLORED.items()}


@pytest.mark.parametrize("world", EXPLORED)
def test_the_protocol_holds_every_promise(explored: dict[str, Future[Found]], world: str) -> None:
    """Whatever is lost, doubled, late, frozen or killed, in whatever order: each promise holds in every state."""
    found = explored[world].result()
    print(f"{world}: {found.states:,} states, {found.steps:,} steps")
    assert found.complete
    assert {name: trace for name, trace in found.broken.items() if name not in LITERAL} == {}


def test_what_opens_late_was_named(explored: dict[str, Future[Found]]) -> None:
    """An application that lags opens after the acknowledgement what lies on its topic already: no protocol of messages forbids it;
    only there, and only what was released before. What is pulled is never opened late."""
    late = {name for name, found in explored.items() if "I1 opened" in found.result().broken}
    assert late == {name for name, world in EXPLORED.items() if "open" in world.acts}


def test_the_promises_are_those_of_the_protocol() -> None:
    """Seventeen of a step and two of progress, each with a name of its own."""
    names = [promise.name for promise in PROMISES]
    assert len(set(names)) == len(names) == 17 and not set(names) & set(PROGRESS)

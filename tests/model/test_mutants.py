"""A model that holds every promise proves little unless it breaks when the protocol does: each mutant is caught, and by what."""

from __future__ import annotations

import inspect

import pytest

from tests.model.explorer import explore
from tests.model.mutants import MUTANTS, Mutant
from tests.model.promises import PROGRESS, PROMISES

STATES_MAX = 200_000


def _name(mutant: Mutant) -> str:
    return mutant.protocol.__name__


@pytest.mark.parametrize("mutant", MUTANTS, ids=_name)
def test_each_mutant_is_caught_by_the_promise_meant_for_it(mutant: Mutant) -> None:
    """One decision wrong, and a shortest trace shows which promise it breaks."""
    found = explore(mutant.protocol(mutant.world), watch=mutant.promise, states_max=STATES_MAX)
    assert mutant.promise in found.broken, f"{inspect.getdoc(mutant.protocol)} Not seen in {found.states:,} states."
    print(f"{mutant.promise} after {found.states:,} states: {inspect.getdoc(mutant.protocol)}")
    for number, step in enumerate(found.broken[mutant.promise], 1):
        print(f"{number:4} {step}")


def test_the_list_is_the_protocols() -> None:
    """Twenty-six mutants of protocol.md §9 and the fourteen of our own, each told apart by what it says is wrong."""
    said = [inspect.getdoc(mutant.protocol) for mutant in MUTANTS]
    assert len(set(said)) == len(MUTANTS) == 26 + 14
    assert {mutant.promise for mutant in MUTANTS} <= {promise.name for promise in PROMISES} | set(PROGRESS)

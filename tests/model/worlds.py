"""The four worlds of protocol.md §9, whole, and smaller ones that every test run can afford: between them they have all that the whole
ones have, but not all of it at once.

`ACCORD_MODEL=whole pytest tests/model/test_exploration.py` explores the whole ones: 1,050,948 states of A, 1,598,344 of B, 5,592,240 of C
and 635,616 of D, in a quarter of an hour of two cores and three gigabytes of memory.
"""

from __future__ import annotations

from dataclasses import replace

from tests.model.state import World

_LIFE = frozenset({"withdraw", "erase", "expire", "deadline"})

WORLDS = {
    "A": World(answers=2, acts=_LIFE, faults=frozenset({"stages", "stale gate"})),
    "B": World(requests=2, uses_max=1, given=True, acts=frozenset({"withdraw"}), faults=frozenset({"stages"})),
    "C": World(submissions=2, given=True, acts=frozenset({"withdraw", "deadline"}), faults=frozenset({"stale gate"})),
    "D": World(acts=_LIFE | {"open"}, faults=frozenset({"stages", "stale gate", "fast clock"})),
}
"""A: one request, two sealed answers. B: two requests, one use. C: one id, two byte strings. D: an application that lags."""

PULLED = World(answers=2, given=True, acts=frozenset({"withdraw", "deadline"}), pull=True)
"""An operator that opens its answers itself."""

SHOWN = World(given=True, acts=frozenset({"withdraw", "deadline"}), preview=True)
"""A data set whose answers their person lets through first."""
OTHERS = {"P": PULLED, "V, pushed": SHOWN, "V, pulled": replace(SHOWN, pull=True)}

SMALL = {
    "A, a life": World(acts=_LIFE),
    "A, stages that die, a gate that lags": World(
        acts=frozenset({"withdraw", "deadline"}), faults=frozenset({"stages", "stale gate"})
    ),
    "A, two answers": World(answers=2, given=True, acts=frozenset({"withdraw", "deadline"})),
    "A, opened before the lock": World(given=True, acts=frozenset({"withdraw", "erase"}), two_steps=True),
    "B": World(requests=2, uses_max=1, given=True, acts=frozenset({"withdraw"})),
    "C, withdrawn": World(submissions=2, given=True, acts=frozenset({"withdraw"})),
    "C, late": World(submissions=2, given=True, acts=frozenset({"deadline"})),
    "D": World(given=True, acts=frozenset({"withdraw", "open", "deadline"}), faults=frozenset({"fast clock"})),
}

"""The promises, by name (reliability.md (c), protocol.md §2 and §9): each says what a step may not do.

A promise sees the state before, the step and the world, and says whether it *breaks* there; it is asked only when one of the fields
it depends on has changed. `LITERAL` is what a message in flight cannot keep (§2): the acknowledgement names it instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import is_not
from typing import NamedTuple

from consent.core.facts import State as Life
from consent.core.rules import CLOSED
from tests.model.state import State, Step, World

Breaks = Callable[[World, State, Step], bool]


class Promise(NamedTuple):
    name: str
    fields: frozenset[str]
    breaks: Breaks


PROMISES: list[Promise] = []
LITERAL = ("I1 opened",)
PROGRESS = ("I13 stuck", "I13 prompt")


def promise(name: str, *fields: str) -> Callable[[Breaks], Breaks]:
    """Registers a promise and the fields it depends on."""

    def register(breaks: Breaks) -> Breaks:
        PROMISES.append(Promise(name, frozenset(fields), breaks))
        return breaks

    return register


def broken(world: World, before: State, step: Step) -> list[str]:
    """The promises that this step breaks."""
    asked = _depending(tuple(map(is_not, before, step.after)))
    return [name for name, _, breaks in asked if breaks(world, before, step)]


@cache
def _depending(changed: tuple[bool, ...]) -> tuple[Promise, ...]:
    fields = {name for name, new in zip(State._fields, changed, strict=True) if new}
    return tuple(p for p in PROMISES if p.fields & fields)


def _over(s: State) -> bool:
    """The withdrawal or erasure is committed, or the citizen was told so."""
    return s.auth in CLOSED or s.acknowledged is not None


def _new(before: State, step: Step) -> tuple[tuple[str, int, int], ...]:
    """The terminal leaves that this step appends."""
    return tuple(leaf for leaf in step.after.log[len(before.log) :] if len(leaf) == 3)


def _keyed(before: State, step: Step) -> list[int]:
    """The requests whose answer becomes openable for the first time."""
    return [o[0] for o in step.after.outcomes - before.outcomes if o[4] == "key"]


@promise("I1 order", "log")
def order(world: World, before: State, step: Step) -> bool:
    """No release follows the withdrawal in the log."""
    return _over(before) and any(leaf[0] == "released" for leaf in _new(before, step))


@promise("I1 handover", "workers", "asking")
def handover(world: World, before: State, step: Step) -> bool:
    """From the withdrawal's commit on, the ledger hands over no key, not even for a release committed before."""
    return _over(before) and step.act == "take" and step.about[1] is not None and step.about[1][4] == "key"


@promise("I1 named", "outcomes")
def named(world: World, before: State, step: Step) -> bool:
    """What becomes openable after the acknowledgement was named in it."""
    return before.acknowledged is not None and not before.named.issuperset(_keyed(before, step))


@promise("I1d short", "outcomes")
def short(world: World, before: State, step: Step) -> bool:
    """With leases, nothing at all becomes openable after the acknowledgement."""
    return before.acknowledged is not None and bool(_keyed(before, step))


@promise("I1 opened", "opened")
def opened(world: World, before: State, step: Step) -> bool:
    """Literally: nothing is opened after the acknowledgement, even by an application that lags."""
    return before.acknowledged is not None


@promise("I2 expiry", "log")
def expiry(world: World, before: State, step: Step) -> bool:
    """Nothing is released once the authorisation has expired."""
    return before.auth is Life.EXPIRED and any(leaf[0] == "released" for leaf in _new(before, step))


@promise("I2 clock", "log")
def clock(world: World, before: State, step: Step) -> bool:
    """The ledger's clock decides: expired only after the deadline, released only before it."""
    return any((leaf[1:] in before.due) != due for leaf in _new(before, step) if (due := _DUE.get(leaf[0])) is not None)


_DUE = {"expired": True, "released": False}


@promise("I3 ledger", "log")
def one_fate(world: World, before: State, step: Step) -> bool:
    """A request has one terminal leaf."""
    terminal = [leaf[1] for leaf in step.after.log if len(leaf) == 3]
    return len(terminal) > len(set(terminal))


@promise("I3 collectivity", "outcomes")
def one_outcome(world: World, before: State, step: Step) -> bool:
    """A submission is told one outcome; told again, it is the same, with or without its key."""
    told = {(o[0], o[1], o[2], o[3]) for o in step.after.outcomes}
    return len({fate[:2] for fate in told}) < len(told)


@promise("I5 conflict", "outcomes")
def conflict(world: World, before: State, step: Step) -> bool:
    """Of two byte strings under one id, one at most gets anything but `conflict`."""
    served = {(o[0], o[1]) for o in step.after.outcomes if o[2] != "conflict"}
    return len({r for r, _ in served}) < len(served)


@promise("I6 uses", "uses", "log", "outcomes")
def uses(world: World, before: State, step: Step) -> bool:
    """Uses are the `released` leaves, within the maximum; what was delivered is among them."""
    released = {leaf[1:] for leaf in step.after.log if leaf[0] == "released"}
    delivered = {(o[0], o[1]) for o in step.after.outcomes if o[4] == "key"}
    return step.after.uses != len(released) or step.after.uses > world.uses_max or not delivered <= released


@promise("I8 erasure", "acknowledged", "key", "workers", "asking")
def erasure(world: World, before: State, step: Step) -> bool:
    """Once an erasure is acknowledged no key is left, but what the acknowledgement names."""
    s = step.after
    if s.acknowledged is not Life.ERASED:
        return False
    hands = (*s.workers, s.asking)
    holding = {h.outcome[0] for h in hands if h and h.phase == "hold" and h.outcome[4] == "key"}
    return s.key or not holding <= s.named | s.given


@promise("I8 proofs", "log")
def proofs(world: World, before: State, step: Step) -> bool:
    """The log only grows: old proofs still verify."""
    return step.after.log[: len(before.log)] != before.log


@promise("R stale refusal", "log", "outcomes")
def stale_refusal(world: World, before: State, step: Step) -> bool:
    """What was asked under a live authorisation's certificate is not refused."""
    told = {(o[0], o[1]) for o in step.after.outcomes - before.outcomes if o[2] == "refused"}
    refused = {leaf[1:] for leaf in _new(before, step) if leaf[0] == "refused"}
    fresh = (before.certified & refused) - step.after.kept if before.auth is Life.LIVE else frozenset()
    unwritten = {sub for sub in told if (row := before.rows[sub[0]]) is None or row[1] != "refused"}
    return bool(fresh) or (before.auth is Life.LIVE and bool(before.certified & unwritten))


@promise("V unseen", "log")
def unseen(world: World, before: State, step: Step) -> bool:
    """Where a preview is asked for, nothing is released that its person has not let through."""
    return world.preview and any(leaf[0] == "released" and leaf[1:] not in before.let for leaf in _new(before, step))


@promise("T no call", "written")
def no_call(world: World, before: State, step: Step) -> bool:
    """The State is not called, and so no answer is sealed, after a withdrawal."""
    return before.auth in CLOSED and any(m[0] == "answer" for m in step.after.written - before.written)


@promise("D undelivered", "outcomes")
def undelivered(world: World, before: State, step: Step) -> bool:
    """A release is told without its key only after a withdrawal or an erasure."""
    return not _over(before) and any(o[4] == "cut" for o in step.after.outcomes - before.outcomes)


def stuck(world: World, s: State, steps: Sequence[Step]) -> list[str]:
    """I13: where nothing more can happen, every submission has an outcome; with either worker frozen for ever, no new fault, and
    the connector dead (`stuck`), or alive and time stopped (`prompt`)."""
    waiting = {m[1:3] for m in s.written if m[0] == "request"} - {o[:2] for o in s.outcomes}
    pushed = frozenset() if world.pull else s.let
    waiting -= {
        m[1:3] for m in s.waiting if s.auth is Life.LIVE
    } - pushed  # for the collectivity or the person, in their own time
    if not waiting:
        return []
    found, alike = [], s.workers[0] == s.workers[1]
    for frozen in ("worker0", "worker1"):
        moves = [step for step in steps if step.actor not in ("user", "fault") and (step.actor != frozen or alike)]
        if "deadline" in world.acts and all(step.actor == "connector" for step in moves):
            found.append("I13 stuck")
        if all(step.act in ("deadline", "expire") for step in moves):
            found.append("I13 prompt")
    return found

"""Judging races between requests and the withdrawal of their agreement: values in, a tally out. Times are Unix ms of one machine: the
ledger's for a commit, the citizen's for an acknowledgement, the broker's (LogAppendTime) for what lies on a topic, the State's for a call.

An answer is *openable* once an outcome that carries its key lies on the collectivity's topic (protocol §2).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bench.load import WrongCount
from consent.core.facts import Outcome
from exchange.core.errors import Code

Stage = Literal["asked_after", "at_gate", "at_connector", "at_state", "at_release", "cut", "told", "openable_before"]
"""Where a withdrawal's commit found a request; `told`: released, its outcome not yet on the topic."""
IN_FLIGHT: frozenset[Stage] = frozenset({"at_gate", "at_connector", "at_state", "at_release", "cut", "told"})


@dataclass(frozen=True)
class Asked:
    """One request and all that was seen of it; `task_ms` and `answer_ms` are when it came so far, None if it did not."""

    request: str
    published_ms: int
    outcomes: Sequence[tuple[int, Outcome]]
    called_ms: Sequence[int] = ()
    task_ms: int | None = None
    answer_ms: int | None = None

    @property
    def openable_ms(self) -> int | None:
        return next((at_ms for at_ms, outcome in self.outcomes if outcome.delivery == "key"), None)


@dataclass(frozen=True)
class Race:
    """One withdrawal and the requests it raced."""

    committed_ms: int
    acked_ms: int
    named: frozenset[str]
    requests: Sequence[Asked]


@dataclass(frozen=True)
class Tally:
    """Counts over races, and durations in ms, one a race. `raced`: had a request in flight at the commit."""

    races: int
    raced: int
    unnamed_after: int
    named: int
    named_after: int
    openable_while_acknowledging: int
    stages: Mapping[Stage, int]
    ack_ms: Sequence[float]
    quiet_ms: Sequence[float]


def stage(asked: Asked, committed_ms: int) -> Stage:
    """Where the commit found it, as what became of it tells. Raises `WrongCount` for any other fate than released, or refused because
    withdrawn; or for two fates."""
    if len({(outcome.code, outcome.reason) for _, outcome in asked.outcomes}) != 1:
        raise WrongCount(f"{len(asked.outcomes)} outcomes of one request")
    _, outcome = asked.outcomes[0]
    if asked.published_ms > committed_ms and asked.openable_ms is None:
        return "asked_after"
    if outcome.code == "released":
        if asked.openable_ms is None:
            return "cut"
        return "openable_before" if asked.openable_ms < committed_ms else "told"
    if (outcome.code, outcome.reason) != ("refused", Code.WITHDRAWN):
        raise WrongCount(f"{outcome.code}: {outcome.reason}")
    if asked.answer_ms is not None:
        return "at_release" if asked.answer_ms < committed_ms else "at_state"
    return "at_gate" if asked.task_ms is None or asked.task_ms >= committed_ms else "at_connector"


def judge(races: Sequence[Race]) -> Tally:
    """Everything counted; `quiet_ms` is from the acknowledgement to the last State call's start, 0 where that came before."""
    stages: Counter[Stage] = Counter()
    raced = unnamed = named_after = between = 0
    ack_ms, quiet_ms = list[float](), list[float]()
    for race in races:
        found = [stage(asked, race.committed_ms) for asked in race.requests]
        stages.update(found)
        raced += not IN_FLIGHT.isdisjoint(found)
        ack_ms.append(race.acked_ms - race.committed_ms)
        quiet_ms.append(max([0, *(at_ms - race.acked_ms for asked in race.requests for at_ms in asked.called_ms)]))
        for asked in race.requests:
            if asked.openable_ms is None or asked.openable_ms < race.committed_ms:
                continue
            if asked.openable_ms < race.acked_ms:
                between += 1
            elif asked.request in race.named:
                named_after += 1
            else:
                unnamed += 1
    named = sum(len(race.named) for race in races)
    return Tally(len(races), raced, unnamed, named, named_after, between, stages, ack_ms, quiet_ms)

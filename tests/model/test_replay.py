"""What the model does the bus does: its traces, on the real ledger and the real agents, step by step."""

from __future__ import annotations

from random import Random

import pytest
import pytest_asyncio

from tests.model.paths import Goal, follow, walk
from tests.model.protocol import Accord
from tests.model.replay import Bench, Replay
from tests.model.state import State, Step
from tests.model.worlds import WORLDS

SEED, WALKS, LENGTH = 4, 50, 24


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def bench() -> Bench:
    """One bus for all traces: each has its own authorisation."""
    return await Bench.open()


def act(name: str, delivery: str = "") -> Goal:
    """A step of this kind; of a worker, with an outcome delivered so."""

    def goal(step: Step) -> bool:
        hand = step.hand.outcome if step.hand else step.about[1] if step.act == "take" else None
        return step.act == name and (not delivery or (hand is not None and hand[4] == delivery))

    return goal


def told(name: str, code: str, kind: str = "") -> Goal:
    """A step of a worker whose outcome has this code; `kind` is that of the message it took."""

    def goal(step: Step) -> bool:
        message, outcome = (
            step.about if step.act == "take" else (step.hand.message, step.hand.outcome) if step.hand else ("", ())
        )
        return step.act == name and bool(outcome) and outcome[2] == code and kind in ("", message[0])

    return goal


def nothing(kind: str) -> Goal:
    """A message of this kind is taken and changes nothing."""
    return lambda step: step.act == "take" and step.about[0][0] == kind and step.about[1] is None


def answers(count: int) -> Goal:
    """So many sealed answers lie on their topic."""
    return lambda step: sum(m[0] == "answer" for m in step.after.written) == count


SITUATIONS: dict[str, tuple[str, tuple[Goal, ...]]] = {
    "released, withdrawn before it was sent: cut and named": ("A", (
        act("take", "key"), act("withdraw"), act("die", "key"), act("acknowledge"), act("take", "cut"), act("confirm", "cut"))),
    "sent within its lease, then acknowledged, naming it": ("A", (
        act("take", "key"), act("withdraw"), act("send", "key"), act("acknowledge"), act("confirm", "key"))),
    "killed after the commit: told again, counted once": ("A", (
        act("take", "key"), act("die", "key"), act("take", "key"), act("confirm", "key"))),
    "two workers hold the same key; both send": ("A", (
        act("take", "key"), act("take", "key"), act("send", "key"), act("send", "key"), act("confirm"), act("confirm"))),
    "the lease ends: dropped, asked again": ("A", (
        act("take", "key"), act("lease ends"), act("drop"), act("take", "key"), act("confirm", "key"))),
    "delivered again after its confirmation: nothing": ("A", (
        act("take", "key"), lambda step: step.act == "confirm" and step.about == "offset lost", nothing("answer"))),
    "a second sealed answer of a released request: nothing": ("A", (
        answers(2), act("take", "key"), nothing("answer"))),
    "expired by the agent, then a late answer: expired again": ("A", (
        act("call"), act("deadline"), told("take", "expired", "expiry"), told("take", "expired", "answer"), act("confirm"))),
    "an answer after the deadline: expired": ("A", (act("call"), act("deadline"), told("confirm", "expired"))),
    "expiry proposed too early: nothing, then the answer": ("D", (
        act("grant"), act("propose"), nothing("expiry"), act("take", "key"), act("confirm", "key"), act("open"))),
    "one id for two byte strings: a conflict of the second": ("C", (
        act("confirm", "key"), told("take", "conflict"), told("confirm", "conflict"))),
    "the last use, killed, told again; then its key dies": ("B", (
        act("take", "key"), act("die", "key"), act("take", "key"), act("confirm", "key"), act("sweep"))),
    "two answers, one use: the second is refused": ("B", (
        answers(2), act("take", "key"), told("take", "refused", "answer"), told("confirm", "refused"))),
    "expired with an answer on its way: told with its key": ("A", (
        act("take", "key"), act("expire"), act("die", "key"), act("take", "key"), act("confirm", "key"), act("sweep"))),
    "erased with an answer in hand": ("A", (
        act("take", "key"), act("erase"), act("lease ends"), act("acknowledge"), act("drop"), act("confirm", "cut"))),
    "erased with an answer queued: refused": ("A", (
        act("call"), act("erase"), act("acknowledge"), told("confirm", "refused"))),
    "withdrawn, then erased: two acknowledgements": ("A", (
        act("take", "key"), act("withdraw"), act("die"), act("acknowledge"), act("erase"), act("acknowledge"), act("confirm", "cut"))),
    "a gate that lags, a connector that asks: refused": ("A", (
        act("grant"), act("judge"), act("withdraw"), act("forget"), told("confirm", "refused"))),
    "asked before the grant: refused": ("A", (act("submit"), act("grant"), told("confirm", "refused"))),
    "opened after the acknowledgement: named": ("D", (
        act("take", "key"), act("withdraw"), act("send", "key"), act("acknowledge"), act("open"))),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
async def test_a_situation(bench: Bench, situation: str) -> None:
    """The shortest way the model finds there, the bus goes too, and they agree at every step and at the end."""
    world, goals = SITUATIONS[situation]
    trace = follow(Accord(WORLDS[world]), *goals)
    await Replay(bench, WORLDS[world], trace).run()
    assert await bench.bus.ledger.verify() == []


@pytest.mark.parametrize("world", WORLDS)
async def test_walks(bench: Bench, world: str) -> None:
    """Fifty walks at random in each world, the same for the same seed: the bus follows every step."""
    protocol = Accord(WORLDS[world])
    for number in range(WALKS):
        trace = walk(protocol, LENGTH, Random(f"{SEED} {world} {number}"))
        try:
            await Replay(bench, WORLDS[world], trace).run()
        except AssertionError as error:
            way = "\n".join(map(str, trace))
            raise AssertionError(f"walk {number}: {error}\n{way}") from None
    assert await bench.bus.ledger.verify() == []


@pytest.mark.parametrize("wrong", ["code", "named", "uses", "confirmed"])
async def test_a_replay_can_fail(bench: Bench, wrong: str) -> None:
    """A model that says something else of the same steps is told so: the comparison is not empty."""
    goals = SITUATIONS["released, withdrawn before it was sent: cut and named"][1]
    trace = follow(Accord(WORLDS["A"]), *goals)
    changes: dict[str, dict[str, object]] = {
        "code": {"outcomes": frozenset({(0, 0, "refused", -1, "none")})},
        "named": {"named": frozenset()},
        "uses": {"uses": 2},
        "confirmed": {"confirmed": frozenset()},
    }
    lies = [step._replace(after=step.after._replace(**changes[wrong])) for step in trace]  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        await Replay(bench, WORLDS["A"], lies).run()


async def test_a_walk_is_the_same_for_the_same_seed() -> None:
    """What failed once can be walked again."""
    first, second = (walk(Accord(WORLDS["A"]), 30, Random(7)) for _ in range(2))
    assert first == second and isinstance(first[-1].after, State)

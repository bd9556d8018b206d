"""A trace of the model, step by step on the bus in memory: the real ledger and the real agents, driven by hand.

Nothing runs on its own: each step of the trace makes one agent handle one record, or a worker go on from where it stopped, or time
pass. What the model says of a step is compared with what the bus did there, and the end with the end; a difference is an
`AssertionError` that names the step.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from consent.core.facts import Acknowledgement, Dropped
from consent.core.facts import Outcome as Told
from consent.core.facts import Submission as Submitted
from exchange import wire
from exchange.agents.deadline import Deadline
from exchange.agents.gate import Gate, Listener
from exchange.agents.relay import Relay
from exchange.core import sealing, topics
from exchange.core.identity import canonical
from exchange.core.memory import Memory
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import ONLINE, PURPOSES, record, terms
from exchange.ports import LEASE_MS
from exchange.sdk import Request
from exchange.testing import MemoryBus, MemoryRecord
from exchange.tracing import Tracing
from exchange.wallet import Capsule
from tests.model.hands import OwnClock, Worker
from tests.model.ledger import serves
from tests.model.state import Hand, Message, State, Step, Submission, World, initial
from tests.world import JEANNE, ScriptedApi

MOMENT_MS, NEVER_MS = 600_000, 40 * 3_600_000
"""Ten minutes between two things that time does; what never happens in a trace would happen later than all of them."""
TASKS, ANSWERS = topics.tasks("cnaf"), topics.answers("cnaf")
VERDICTS = {"refused": "refusal", "expired": "expiry"}


class Bench(NamedTuple):
    """A bus on which nothing runs by itself, and its relay. Traces follow each other on it, each with its own authorisation."""

    bus: MemoryBus
    relay: Relay

    @classmethod
    async def open(cls) -> Bench:
        bus = MemoryBus(ScriptedApi())
        await bus.introduce()
        return cls(bus, Relay(bus.ledger, bus.broker, bus.clock))


class Replay:
    """One trace, of one authorisation. Gate and deadline agents are its own, as their clocks and memories are."""

    def __init__(self, bench: Bench, world: World, trace: Sequence[Step]) -> None:
        self.world, self.trace, self.state = world, trace, initial(world)
        self.bus, self.relay, memory = bench.bus, bench.relay, Memory(bytes(32))
        bus, self.start_ms, self.authorisation = self.bus, self.bus.clock.now_ms(), os.urandom(16)
        self.memory, self.listener = memory, Listener(memory)
        self.gate = Gate(bus.ledger, bus.broker, bus.clock, memory, Tracing())
        self.records: dict[Message, MemoryRecord] = {}
        self.requests: dict[Submission, Request] = {}
        self.deadlines: dict[Submission, tuple[Deadline, OwnClock]] = {}
        self.workers: list[Worker] = []
        self.known: list[MemoryRecord] = []
        self.closing: list[asyncio.Task[Acknowledgement]] = []
        moments = [(step.act, step.about) for step in trace if step.act in ("deadline", "expire")]
        self.moments = {what: self.start_ms + n * MOMENT_MS for n, what in enumerate(moments, 1)}

    async def run(self) -> State:
        """The whole trace; the model's last state, with which the bus agrees."""
        self._pass_ms(0)
        if self.world.given:
            await self.grant()
        try:
            for number, step in enumerate(self.trace):
                try:
                    await self._follow(step)
                except AssertionError as error:
                    raise AssertionError(f"step {number}, {step}: {error}") from None
                self.state = step.after
            await self._compare()
        finally:
            for worker in self.workers:
                await worker.die()
            for task in self.closing:
                task.cancel()
            await asyncio.gather(*self.closing, return_exceptions=True)
        return self.state

    async def _follow(self, step: Step) -> None:
        """The method of the same name does on the bus what the step does in the model."""
        do = getattr(self, step.act.replace(" ", "_"))
        if step.hand:
            worker = next(w for w in self.workers if w.hand == step.hand)
            await do(worker, step)
            if step.act == "send":
                worker.hand = step.hand._replace(phase="sent", leased=False)
            elif step.act == "lease ends":
                worker.hand = step.hand._replace(leased=False)
            else:
                self.workers.remove(worker)
        else:
            await do(step)

    # The citizen, the collectivity

    async def grant(self, step: Step | None = None) -> None:
        until_ms = self.moments.get(("expire", ()), self.start_ms + 300 * 86_400_000)
        agreed = terms(self.bus.recipient, self.start_ms, not_after_ms=until_ms, max_uses=self.world.uses_max)
        await record(self.bus.ledger, self.bus.wallet, self.authorisation, agreed, JEANNE, ONLINE)

    async def submit(self, step: Step) -> None:
        """Under the grant's certificate where there is one. What tells two byte strings of one id apart is the month asked."""
        sub, now_ms = step.about, self.bus.clock.now_ms()
        deadline_ms = self.moments.get(("deadline", sub), self.start_ms + NEVER_MS)
        capsule = self.bus.wallet.capsule(self.authorisation) or Capsule(canonical(JEANNE), bytes(32), b"")
        self.requests[sub] = await self.bus.sdk.request(
            QUOTIENT_FAMILIAL.name, consent=self.authorisation, purpose=PURPOSES[0], parameters={"mois": str(sub[1] + 1)},
            ttl_s=(deadline_ms - now_ms) / 1000, request_id=self.authorisation[:15] + bytes([sub[0]]), capsule=capsule,
        )  # fmt: skip
        (written,) = self._read(topics.requests(self.bus.operator))[-1:]
        self.records["request", *sub, 0] = written
        clock = OwnClock(self.bus.clock)
        self.deadlines[sub] = Deadline(self.bus.ledger, self.bus.broker, clock), clock
        await self.deadlines[sub][0].handle([written])

    async def withdraw(self, step: Step) -> None:
        await self._close("withdrawn")

    async def erase(self, step: Step) -> None:
        await self._close("erased")

    async def _close(self, happening: str) -> None:
        """Committed at once; acknowledged when the leases are over."""
        self.closing.append(asyncio.create_task(self.bus.ledger.withdraw(self.authorisation, happening)))
        await asyncio.sleep(0)

    async def acknowledge(self, step: Step) -> None:
        self._pass_ms(LEASE_MS)
        ack = await self.closing[-1]
        names = {request[-1] for request in ack.named}
        assert (ack.state, names) == (step.after.acknowledged, set(step.after.named)), (
            f"acknowledged {ack.state} {names}"
        )

    async def open(self, step: Step) -> None:
        """The SDK verifies receipt, certificate and signatures."""
        sub = step.about[:2]
        (told,) = {
            o.inner: o for o in self._outcomes() if self._submission(o.digest) == sub and o.delivery == "key"
        }.values()
        assert self.bus.sdk.open(self.requests[sub], told).status == "found"

    # Time

    def _pass_ms(self, ms: int) -> None:
        """Time passes; the gate goes on hearing the ledger's heart, whatever events are late."""
        self.bus.clock.advance(ms)
        if "stale gate" in self.world.faults:
            self.memory.beat(self.bus.clock.now_ms())

    async def deadline(self, step: Step) -> None:
        self._pass_ms(self.moments[step.act, step.about] - self.bus.clock.now_ms())

    async def expire(self, step: Step) -> None:
        await self.deadline(step)
        await self.bus.ledger.sweep()

    async def sweep(self, step: Step) -> None:
        await self.bus.ledger.sweep()

    # Gate, connector, deadline agent

    async def forget(self, step: Step) -> None:
        await self.relay.tick()
        self.listener.handle(self._read(topics.CONSENT_EVENTS))

    async def judge(self, step: Step) -> None:
        await self._stage(self.gate, step)

    async def call(self, step: Step) -> None:
        """Where the world bounds how often the State is asked, it is not."""
        sub, s = step.about[1:3], self.state
        bounded = sub not in s.due and serves(s.auth, s.uses, self.world.uses_max) and step.after.written == s.written
        if not bounded:
            await self._stage(self.bus.connectors()[0], step)  # another process: one process says the same bytes again

    async def _stage(self, agent: Any, step: Step) -> None:
        """One record in, one message out."""
        await agent.handle([self.records[step.about]])
        self._hear(step)

    async def propose(self, step: Step) -> None:
        """Its clock runs ahead: by as much as it waits between two looks, or, being wrong, beyond all deadlines."""
        agent, clock = self.deadlines[step.about]
        clock.ahead_ms += 10_000 if step.actor == "agent" else 2 * NEVER_MS
        await agent.tick()
        self._hear(step)

    def _hear(self, step: Step) -> None:
        """What was written is what the model writes in this step, or has written before."""
        ((kind, sub, written),) = self._written()
        new = step.after.written - self.state.written
        expected = {m for m in new or step.after.written if m[:3] == (kind, *sub)}
        assert expected, f"{kind} {sub} written"
        for message in expected:
            self.records.setdefault(message, written)

    # Release

    async def take(self, step: Step) -> None:
        """The transaction commits; the worker learns its results when it next goes on."""
        message, expected = step.about
        worker = Worker(self.bus, self.records[message])
        self.workers.append(worker)
        await worker.run_to("ask")
        await worker.run_to("told")
        (result,) = worker.turnstile.results
        if expected is None:
            assert isinstance(result, Dropped), f"told {result}"
            await worker.run_to("end")
            self.workers.remove(worker)
        else:
            assert isinstance(result, Told), f"not told: {result}"
            told = (*self._submission(result.digest), result.code, result.delivery)
            assert told == (*expected[:3], expected[4]), f"told {told}"
            worker.hand = Hand("hold", message, expected, expected[4] == "key")

    async def lease_ends(self, worker: Worker, step: Step) -> None:
        worker.clock.elapsed_ms += LEASE_MS

    async def send(self, worker: Worker, step: Step) -> None:
        before = len(self._outcomes())
        await worker.run_to("confirm")
        (told,) = self._outcomes()[before:]
        assert (*self._submission(told.digest), told.code, told.delivery) == (
            *step.hand.outcome[:3],
            step.hand.outcome[4],
        )

    async def drop(self, worker: Worker, step: Step) -> None:
        """The lease over, it asks again, which the model has it do later."""
        before = len(self._outcomes())
        await worker.run_to("ask")
        assert len(self._outcomes()) == before, "sent after its lease"
        await worker.die()

    async def die(self, worker: Worker, step: Step) -> None:
        await worker.die()

    async def confirm(self, worker: Worker, step: Step) -> None:
        await worker.run_to("end")

    # What the bus shows

    def _written(self) -> list[tuple[str, Submission, MemoryRecord]]:
        """Tasks, answers and verdicts written since last asked."""
        found = [one for topic in (TASKS, ANSWERS, topics.VERDICTS) for one in self._read(topic)]
        new = [one for one in found if one not in self.known]
        self.known += new
        return [(*self._kind(one), one) for one in new]

    def _kind(self, one: MemoryRecord) -> tuple[str, Submission]:
        if one.topic == TASKS:
            body = wire.read("exchange-task", one.value)
            key = wire.request_key(body)
            hashed = sealing.ask_hash(body["ask"])
            return "task", self._submission(
                sealing.request_digest(key.operator, key.authorisation, key.request, hashed)
            )
        if one.topic == ANSWERS:
            return "answer", self._submission(wire.read_answer(one).digest)
        verdict = wire.read_verdict(one)
        return VERDICTS[verdict.code], self._submission(verdict.digest)

    def _read(self, topic: str) -> list[MemoryRecord]:
        """What is of this authorisation, in the order it was written: it stays in one partition."""
        return [one for one in self.bus.broker.records(topic) if one.key == self.authorisation]

    def _outcomes(self) -> list[Told]:
        return [wire.read_outcome(one) for one in self._read(topics.outcomes(self.bus.operator))]

    def _submission(self, digest: bytes) -> Submission:
        return next(sub for sub, request in self.requests.items() if request.digest == digest)

    async def _compare(self) -> None:
        """The ends: outcomes, uses, state, key, confirmations, leaves."""
        s, ledger = self.state, self.bus.ledger
        told = self._outcomes()
        outcomes = {(*self._submission(o.digest), o.code, o.delivery) for o in told}
        assert outcomes == {(r, v, code, delivery) for r, v, code, _, delivery in s.outcomes}, f"outcomes {outcomes}"
        opened = {(o.digest, o.inner) for o in told if o.delivery == "key"}
        assert len(opened) == len({digest for digest, _ in opened}), "two answers for one submission"
        (held,) = await ledger.lookup([self.authorisation])
        assert (held.state, held.uses) == (s.auth, s.uses) if held else s.auth is None, f"authorisation {held}"
        assert await ledger.has_key(self.authorisation) == s.key, "the private key"
        asked = [Submitted(request.key, request.digest) for request in self.requests.values()]
        waiting = {sub for sub, yes in zip(self.requests, await ledger.unconfirmed(asked), strict=True) if yes}
        assert waiting == set(self.requests) - s.confirmed, f"unconfirmed {waiting}"
        leaves = [(e.kind, e.request[-1]) if e.request else (e.kind,) for e in await ledger.entries(self.authorisation)]
        assert leaves == [leaf[:2] for leaf in s.log], f"leaves {leaves}"

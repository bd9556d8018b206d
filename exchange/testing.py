"""The bus in memory, for your tests and for ours: the same cores and the same agents' logic, on an in-memory broker and a
virtual clock, behind the same ports as the real one (`tests/contracts` runs one suite on both).

    async with MemoryBus(api) as bus:
        agreement = await bus.give(identity)
        request = await bus.sdk.request("cnaf.quotient-familial.v1", consent=agreement, purpose="tarification-cantine")
        answer = await request.answer()

Time only moves when everybody waits: a deadline of five minutes passes at once.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from connectors import contract
from connectors.agent import Connector, ConnectorKeys
from connectors.contract import StateApi
from connectors.core.call import call
from connectors.core.cases import Case, best, normalise
from connectors.core.reading import interpret
from connectors.rest.descriptions import descriptions
from connectors.sdk.lanes import Lanes, Limits
from connectors.watcher import Watcher
from consent.core.facts import Acknowledgement, Handover
from consent.keys import KeyRing, ephemeral
from consent.ledger import Ledger
from consent.stores.engine import open_sqlite
from exchange.agents.deadline import Deadline
from exchange.agents.gate import Gate, Listener
from exchange.agents.journal import Journal
from exchange.agents.relay import Relay
from exchange.agents.release import Release
from exchange.agents.retries import Retries
from exchange.core import topics
from exchange.core.batches import Read
from exchange.core.identity import Identity
from exchange.core.memory import Memory
from exchange.data_sets import PROVIDERS
from exchange.hpke import KeyPair
from exchange.introduction import KEY_LIFE_MS, ONLINE, give, introduce_collectivity, introduce_provider
from exchange.journal.store import JournalStore
from exchange.ports import Agent, Batches, Record, Unavailable
from exchange.sdk import Bus, Request
from exchange.sealing import public_bytes
from exchange.tracing import Tracing
from exchange.trust import Trust
from exchange.wallet import Wallet

START_MS = 1_800_000_000_000
TICK_S, PREVIEW_S = 0.5, 60.0
_TURNS = 40


class VirtualClock:
    """`exchange.ports.Clock` whose time moves when `advance` says so, or when all who run are waiting."""

    def __init__(self) -> None:
        self._ms, self._order = START_MS, itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self.activity = 0

    def now_ms(self) -> int:
        return self._ms

    def monotonic_ms(self) -> int:
        return self._ms

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._ms + max(1, round(seconds * 1000)), next(self._order), future))
        await future

    def advance(self, ms: int) -> None:
        """Move on, waking all whose time has come, in order."""
        self._ms += ms
        while self._sleepers and (self._sleepers[0][0] <= self._ms or self._sleepers[0][2].done()):
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)

    async def run(self) -> None:
        """For ever: let everybody run; when nobody does any more, go to the next moment somebody waits for."""
        while True:
            before = self.activity
            for _ in range(_TURNS):
                await asyncio.sleep(0)
            if before == self.activity:
                while self._sleepers and self._sleepers[0][2].done():
                    heapq.heappop(self._sleepers)
                if self._sleepers:
                    self.advance(max(0, self._sleepers[0][0] - self._ms))


MemoryRecord = Read
"""What is read from a `MemoryBroker`."""


class MemoryBroker:
    """Topics as lists; `exchange.ports.Outbox`. `fail_next` makes that many sends fail, after writing or before; `fail_reads` that
    many reads of a topic."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.logs: dict[tuple[str, int], list[MemoryRecord]] = {}
        self.fail_next, self.fail_after_writing = 0, False
        self.fail_reads, self.begins = Counter[str](), Counter[tuple[str, int]]()
        self._grown = asyncio.Event()

    def create(self, specs: Sequence[topics.TopicSpec]) -> None:
        for spec in specs:
            for partition in range(spec.partitions):
                self.logs.setdefault((spec.name, partition), [])

    def partitions(self, topic: str) -> int:
        return sum(1 for name, _ in self.logs if name == topic)

    async def refresh(self) -> None: ...

    async def send(self, batches: Batches, timeout_ms: int | None = None) -> None:
        await asyncio.sleep(0)
        failing, self.fail_next = self.fail_next > 0, max(0, self.fail_next - 1)
        if not failing or self.fail_after_writing:
            self._write(batches)
        if failing:
            raise Unavailable("as told")

    def _write(self, batches: Batches) -> None:
        for (topic, partition), messages in batches.items():
            log = self.logs[topic, partition]
            for message in messages:
                record = MemoryRecord(
                    topic, partition, len(log), self._clock.now_ms(), message.key, message.value, message.headers
                )
                log.append(record)
        self._clock.activity += 1
        self._grown.set()
        self._grown = asyncio.Event()

    async def grown(self) -> None:
        """Until something is written."""
        await self._grown.wait()

    def forget(self, topic: str, before_ms: int) -> None:
        """What a topic's retention does: nobody reads any more what was written before."""
        for (name, partition), log in self.logs.items():
            if name == topic:
                self.begins[name, partition] = sum(record.timestamp < before_ms for record in log)

    def records(self, topic: str) -> list[MemoryRecord]:
        return [record for (name, _), log in self.logs.items() if name == topic for record in log]


class MemoryReader:
    """`exchange.ports.Reader`; waits for records rather than for time."""

    def __init__(self, broker: MemoryBroker, topic: str, offsets: Mapping[int, int]) -> None:
        self._broker, self._topic, self._offsets = broker, topic, dict(offsets)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def next(self, timeout_ms: int = 500) -> list[Sequence[Record]]:
        while not (chunks := self._new()):
            await self._broker.grown()
        if self._broker.fail_reads[self._topic]:
            self._broker.fail_reads[self._topic] -= 1
            raise Unavailable("read")
        return chunks

    def _new(self) -> list[Sequence[Record]]:
        chunks: list[Sequence[Record]] = []
        for (topic, partition), log in self._broker.logs.items():
            start = max(self._offsets.get(partition, 0), self._broker.begins[topic, partition])
            if topic == self._topic and (new := log[start:]):
                self._offsets[partition] = len(log)
                chunks.append(new)
        return chunks

    async def end_offsets(self) -> dict[int, int]:
        return {partition: len(log) for (topic, partition), log in self._broker.logs.items() if topic == self._topic}


class MemoryRunner:
    """Hosts one agent: chunks in order, partition by partition, committed once handled; `Unavailable` brings a chunk again."""

    def __init__(self, agent: Agent, broker: MemoryBroker, clock: VirtualClock) -> None:
        self.agent, self._broker, self._clock = agent, broker, clock
        self.committed: dict[tuple[str, int], int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """As `kill -9` does: whatever was in hand is lost, what was committed is not."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def replace(self, agent: Agent) -> None:
        """Another process takes over, from what was committed: never past what the agent held back."""
        await self.stop()
        for place, at in self.committed.items():
            held = self.agent.held(*place)
            self.committed[place] = at if held is None else min(at, held)
        self.agent = agent
        self.start()

    async def _run(self) -> None:
        while True:
            try:
                if not await self._deliver():
                    await self.agent.tick()
                    await self._wait()
            except Unavailable:
                await self._clock.sleep(TICK_S)

    async def _deliver(self) -> bool:
        """One chunk of each partition that has grown."""
        found = False
        for (topic, partition), log in list(self._broker.logs.items()):
            at = self.committed.get((topic, partition), 0)
            if at < len(log) and any(topics.matches(pattern, topic) for pattern in self.agent.topics):
                chunk = log[at:]
                await self.agent.handle(chunk)
                self.committed[topic, partition] = at + len(chunk)
                self._clock.activity += 1
                found = True
        return found

    async def _wait(self) -> None:
        waits = [asyncio.ensure_future(self._broker.grown()), asyncio.ensure_future(self._clock.sleep(TICK_S))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def rewind(self) -> None:
        """Everything is delivered again, from the first record."""
        self.committed.clear()


class CasesApi:
    """`connectors.contract.StateApi` that answers from sandbox cases, without HTTP. `calls` counts what was asked."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self._cases, self.calls = cases, 0

    async def fetch(
        self, data_set: str, identity: contract.Identity, recipient: str, parameters: Mapping[str, str]
    ) -> contract.Reading:
        self.calls += 1
        description = descriptions()[data_set]
        asked = call(description, identity, recipient, parameters)
        case = best(self._cases, asked.operation.id, normalise(asked.designation))
        if case is None:
            return contract.NotFound("35003", "Allocataire non référencé")
        return interpret(description, case.status, {"content-type": "application/json"}, case.payload, identity)

    async def close(self) -> None: ...


class MemoryBus:
    """A whole bus: ledger, gate, release, deadlines, journal, a connector for each provider, one collectivity and its SDK."""

    recipient, operator = "21130055300016", "211300553"

    def __init__(
        self,
        api: StateApi | Mapping[str, StateApi],
        tracing: Tracing | None = None,
        keys: KeyRing | None = None,
        *,
        provider: str = "cnaf",
        more_providers: Sequence[str] = (),
        limits: Mapping[str, Limits] | None = None,
        rate: str = "",
        clock: VirtualClock | None = None,
    ) -> None:
        self.provider, self._providers, self._calling = provider, (provider, *more_providers), (api, limits, rate)
        self.clock, self._tracing = clock or VirtualClock(), tracing or Tracing()
        self.broker = MemoryBroker(self.clock)
        self.broker.create(topics.specs([self.operator], PROVIDERS, partitions=2, cluster=False))
        self.keys = keys or ephemeral("accord.test/memory")
        self.connector_keys = {
            each: ConnectorKeys(KeyPair.generate(), Ed25519PrivateKey.generate(), os.urandom(32))
            for each in self._providers
        }
        self.ledger = Ledger(open_sqlite(None), self.keys, self.clock, lambda of: self.connector_keys[of].mac)
        self.trust = Trust(self.keys.verifier, public_bytes(self.keys.certificate), public_bytes(self.keys.registrar))
        self.wallet = Wallet.new(self.recipient, self.operator)
        self._memory, self._relay = Memory(os.urandom(32)), Relay(self.ledger, self.broker, self.clock)
        self.journal = JournalStore(None)
        common = (self.ledger, self.broker, self.clock)
        agents: list[Agent] = [
            Gate(*common, self._memory, self._tracing),
            Release(*common, self._tracing, confirm_s=0),
            Deadline(*common),
            Journal(self.broker, self.journal, self.clock),
            *(agent for each in self._providers for agent in self.connectors(each)),
            Retries(*common),
        ]
        self.runners = {agent.name: MemoryRunner(agent, self.broker, self.clock) for agent in agents}
        self.sdk = Bus(
            self.wallet,
            self.broker,
            lambda t, o: MemoryReader(self.broker, t, o),
            self.ledger,
            self.trust,
            self.clock,
            self._tracing,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def connectors(self, provider: str = "") -> tuple[Connector, Watcher]:
        """A connector, just started, and what makes its looks: of the first provider where none is named."""
        (api, limits, rate), provider = self._calling, provider or self.provider
        lanes = Lanes(provider, api, self.clock, limits, rate)
        common = (self.ledger, self.broker, self.clock, self._tracing)
        connector = Connector(provider, lanes, self.connector_keys[provider], self.trust, *common)
        return connector, Watcher(connector, self.broker, self.clock, self._tracing)

    async def introduce(self) -> None:
        """Its parties become known to the ledger; nobody runs yet. For tests that move every agent by hand."""
        now_ms = self.clock.now_ms()
        for provider in self._providers:
            enrolment = Ed25519PrivateKey.generate()
            await introduce_provider(self.ledger, provider, self.connector_keys[provider], enrolment, now_ms)
        await introduce_collectivity(self.ledger, self.wallet, now_ms)

    async def __aenter__(self) -> Self:
        await self.introduce()
        self._tasks = [asyncio.create_task(run()) for run in (self.clock.run, self._events, self._listen)]
        for runner in self.runners.values():
            runner.start()
        await self.sdk.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sdk.__aexit__()
        for runner in self.runners.values():
            await runner.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _events(self) -> None:
        while True:
            await self._relay.tick()
            await self.clock.sleep(TICK_S)

    async def _listen(self) -> None:
        reader, listener = MemoryReader(self.broker, topics.CONSENT_EVENTS, {}), Listener(self._memory)
        while True:
            for chunk in await reader.next():
                listener.handle(chunk)

    async def pause(self, agent: str) -> None:
        """Stop an agent, as a crash would."""
        await self.runners[agent].stop()

    async def resume(self, agent: str) -> None:
        self.runners[agent].start()

    async def restart_connector(self) -> None:
        """Its process is killed, and that of the tasks that wait: others start, who know what was committed and nothing else."""
        agents = [agent for each in self._providers for agent in self.connectors(each)]
        for agent in (*agents, Retries(self.ledger, self.broker, self.clock)):
            await self.runners[agent.name].replace(agent)

    async def give(self, identity: Identity, **changes: object) -> bytes:
        """An agreement for this person, its capsule in the wallet; `changes` replace terms. Returns its id."""
        return await give(self.ledger, self.wallet, identity, self.clock.now_ms(), **changes)

    async def hand_over(self, handover: Handover) -> None:
        """From now on answers come with their outcomes (`push`), or wait until they are opened (`pull`)."""
        until_ms = self.clock.now_ms() + KEY_LIFE_MS
        await self.ledger.delegate(self.recipient, self.operator, until_ms, handover)

    async def preview(self, request: Request, accepted: bool = True) -> None:
        """The person sees that an answer waits for them and lets it through, or not; waits until there is one."""
        if not await request.awaits_person(PREVIEW_S):
            raise LookupError("no answer waits for its person")
        await self.ledger.previewed(request.submission, accepted, ONLINE)

    async def withdraw(self, authorisation: bytes, happening: str = "withdrawn") -> Acknowledgement:
        return await self.ledger.withdraw(authorisation, happening)

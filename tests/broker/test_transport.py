"""The chunk transport and its runner on a real broker."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from faust.types import TP
from mode.threads import WorkerThread

from exchange.adapters.fetching import Consumer
from exchange.adapters.kafka import (
    KafkaOutbox,
    KafkaReader,
    KafkaView,
    TooLarge,
    create_topics,
)
from exchange.adapters.producing import BODY_BYTES
from exchange.core.batches import body
from exchange.core.pace import REST_MOST_S, Pace
from exchange.core.topics import TopicSpec
from exchange.embedded.broker import EmbeddedKafka
from exchange.faust_runner import EXIT_BUG, FaustRunner
from exchange.ports import Message, Unavailable
from exchange.stall import Stalled
from tests.broker.transport_worker import (
    DEADLINE_S,
    Beside,
    Blocking,
    Failing,
    Forward,
    Holder,
    Paced,
    Together,
    committed,
    ends,
    fill,
    fresh,
    keys_of,
    limited,
    process,
    running,
    topics,
    until,
)


async def test_clean_run(kafka: str) -> None:
    """50,000 records of 4 partitions come out once each, in order within their partition, and all are committed."""
    source, out, name = fresh("requests"), fresh("tasks"), fresh("gate")
    await topics(kafka, source, out)
    keys = [str(i) for i in range(50_000)]
    async with KafkaOutbox(kafka) as outbox:
        await fill(outbox, source, keys)
        agent = Forward(name, (source,), outbox, out)
        async with running(kafka, agent):
            await until(lambda: len(agent.seen) >= len(keys), "all records are handled")
            await until(lambda: agent.ticks > 0, "time passes for the agent too")
    assert await keys_of(kafka, out) == {p: keys[p::4] for p in range(4)}
    assert await committed(kafka, name) == dict.fromkeys(range(4), len(keys) // 4)


async def test_transactions(kafka: str) -> None:
    """Aborted transactions are not delivered; markers neither stop the commit nor make it pass a record; nothing comes twice."""
    source, name = fresh("requests"), fresh("gate")
    await topics(kafka, source, partitions=1)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=fresh("tx"))
    await producer.start()
    expected = []
    for i in range(30):
        await producer.begin_transaction()
        for j in range(3):
            await producer.send_and_wait(source, key=f"{i}-{j}".encode(), value=b"v", partition=0)
        await (producer.abort_transaction() if i % 3 == 1 else producer.commit_transaction())
        expected += [f"{i}-{j}" for j in range(3) if i % 3 != 1]
    await producer.stop()
    agent = Forward(name, (source,), None)
    async with running(kafka, agent, chunk_records=4):
        await until(lambda: len(agent.seen) >= len(expected), "the committed records are handled")
        last = agent.seen[-1].offset + 1
    assert agent.keys() == expected
    assert await committed(kafka, name) == {0: last}
    again = Forward(name, (source,), None)
    async with running(kafka, again), KafkaOutbox(kafka) as outbox:
        await outbox.send({(source, 0): [Message(b"after", b"v", [])]})
        await until(lambda: len(again.seen) > 0, "the next record is handled")
    assert [r.key for r in again.seen] == [b"after"]


async def test_held_offsets(kafka: str) -> None:
    """The commit never passes what the agent holds, and a restart brings all of it again from there."""
    source, name = fresh("tasks"), fresh("connector")
    await topics(kafka, source, partitions=2)
    async with KafkaOutbox(kafka) as outbox:
        await fill(outbox, source, [str(i) for i in range(40)], partitions=2)
        holder = Holder(name, (source,), None)
        holder.hold = 7
        async with running(kafka, holder, chunk_records=5):
            await until(lambda: len(holder.seen) == 40, "all records are handled")
        assert await committed(kafka, name) == {0: 7, 1: 20}
        again = Holder(name, (source,), None)
        async with running(kafka, again):
            await until(lambda: len(again.seen) >= 13, "the held records come again")
        assert [(r.partition, r.offset) for r in again.seen] == [(0, offset) for offset in range(7, 20)]
        assert await committed(kafka, name) == {0: 20, 1: 20}


async def test_join_and_leave(kafka: str) -> None:
    """A second worker joins and leaves under load: every record comes out, and the first is told what it lost."""
    source, out, name = fresh("requests"), fresh("tasks"), fresh("gate")
    await topics(kafka, source, out)
    keys = [str(i) for i in range(12_000)]
    async with KafkaOutbox(kafka) as outbox, KafkaOutbox(kafka) as out_a, KafkaOutbox(kafka) as out_b:
        first, second = Forward(name, (source,), out_a, out), Forward(name, (source,), out_b, out)

        async def load() -> None:
            for i in range(0, len(keys), 40):
                await fill(outbox, source, keys[i : i + 40])
                await asyncio.sleep(0.01)

        async with running(kafka, first, chunk_records=50):
            loading = asyncio.create_task(load())
            await until(lambda: len(first.seen) > 1000, "the first worker works")
            async with running(kafka, second, chunk_records=50):
                await until(lambda: len(second.seen) > 500, "the second worker works")
            alone = len(first.seen)
            await loading
            await until(lambda: sum(ends(first, second).values()) >= len(keys), "all is handled")
            assert len(first.seen) > alone
    assert first.lost and {p for _, p in set().union(*first.lost)} == {0, 1, 2, 3}
    counted = Counter(key for found in (await keys_of(kafka, out)).values() for key in found)
    assert counted.keys() == set(keys)
    assert await committed(kafka, name) == dict.fromkeys(range(4), len(keys) // 4)


async def test_kill_9(kafka: str) -> None:
    """`kill -9` of one of two worker processes in the middle: all outputs are there, some perhaps twice."""
    source, out, name = fresh("requests"), fresh("tasks"), fresh("gate")
    await topics(kafka, source, out)
    keys = [str(i) for i in range(20_000)]
    with process(kafka, name, source, out) as killed, process(kafka, name, source, out) as left:
        await asyncio.gather(killed.wait_ready(), left.wait_ready())
        async with KafkaOutbox(kafka) as outbox, KafkaReader(kafka, out) as reader:
            found: Counter[str] = Counter()
            at = 0
            async with asyncio.timeout(DEADLINE_S):
                while len(found) < len(keys):
                    if at < len(keys):
                        await fill(outbox, source, keys[at : at + 200])
                        at += 200
                    if len(found) > len(keys) // 3:
                        killed.kill()
                    for chunk in await reader.next(timeout_ms=10):
                        found.update((r.key or b"").decode() for r in chunk)
        left.kill(signal.SIGTERM)
        assert (await killed.exit_code(), await left.exit_code()) == (-signal.SIGKILL, 0)
    assert found.keys() == set(keys)
    print("kill -9: written twice:", sum(found.values()) - len(keys))
    assert await committed(kafka, name) == dict.fromkeys(range(4), len(keys) // 4)


async def test_a_bug_ends_the_process(kafka: str) -> None:
    """A handler that raises ends the process with 70 and one log line without its text; after a restart its chunk comes again."""
    source, out, name = fresh("requests"), fresh("tasks"), fresh("gate")
    await topics(kafka, source, out, partitions=1)
    async with KafkaOutbox(kafka) as outbox:
        await fill(outbox, source, ["a", "poison"], partitions=1)
    with process(kafka, name, source, out, "poison") as worker:
        assert await worker.exit_code() == EXIT_BUG
    told = [line for line in worker.lines if "agent_bug" in line]
    assert len(told) == 1
    assert "ValueError" in told[0]
    assert "must not be logged" not in "".join(worker.lines)
    assert await committed(kafka, name) == {}
    with process(kafka, name, source, out) as worker:
        await worker.wait_ready()
        async with KafkaReader(kafka, out) as reader, asyncio.timeout(DEADLINE_S):
            found = [r.key async for chunk in limited(reader, 2) for r in chunk]
    assert found == [b"a", b"poison"]


async def test_unavailable_comes_again_in_order(kafka: str) -> None:
    """A chunk whose handling is `Unavailable` is handled again before any later one, and never committed before."""
    source, name = fresh("answers"), fresh("release")
    await topics(kafka, source, partitions=1)
    keys = [str(i) for i in range(20)]
    async with KafkaOutbox(kafka) as outbox:
        await fill(outbox, source, keys, partitions=1)
    agent = Failing(name, (source,), None)
    agent.errors = [Unavailable(), Unavailable(), Unavailable()]
    async with running(kafka, agent, chunk_records=3):
        await until(lambda: len(agent.seen) >= len(keys), "all records are handled")
    assert agent.keys() == keys
    assert await committed(kafka, name) == {0: len(keys)}


async def test_who_holds_the_loop_beyond_its_session_loses_nothing(kafka: str) -> None:
    """Without a heartbeat its partitions are taken from it; what it had not committed comes again (ADR 0038)."""
    source, name = fresh("answers"), fresh("release")
    await topics(kafka, source)
    keys = [str(i) for i in range(400)]
    agent = Blocking(name, (source,), None)
    async with KafkaOutbox(kafka) as outbox:
        async with running(kafka, agent, session_s=1.5):
            await fill(outbox, source, keys[:200])
            await until(lambda: len(set(agent.keys())) >= 200, "it is at work")
            agent.blocks_s = 5.0
            await fill(outbox, source, keys[200:])
            await until(lambda: bool(agent.lost), "its partitions are taken from it")
            await until(lambda: set(agent.keys()) == set(keys), "all records are handled")
        assert sum((await committed(kafka, name)).values()) == len(keys)


async def test_a_cancelled_inner_task_is_a_bug(kafka: str) -> None:
    """A `CancelledError` that nobody asked for does not pass for a normal stop."""
    source, name = fresh("answers"), fresh("release")
    await topics(kafka, source, partitions=1)
    async with KafkaOutbox(kafka) as outbox:
        await fill(outbox, source, ["a"], partitions=1)
    agent = Failing(name, (source,), None)
    agent.errors = [asyncio.CancelledError()]
    bugs: list[BaseException] = []
    async with running(kafka, agent, bugs=bugs):
        await until(lambda: not agent.errors, "the handler is called")
    assert [type(bug) for bug in bugs] == [asyncio.CancelledError]
    assert await committed(kafka, name) == {}


async def test_new_topics_without_restart(kafka: str) -> None:
    """Topics that fit the agent's pattern are read as they come, the first included; nothing already handled is lost."""
    room, name = uuid.uuid4().hex[:9], fresh("gate")
    agent = Forward(name, (f"{room}.*.v1",), None)
    async with KafkaOutbox(kafka) as outbox, running(kafka, agent, discover_s=0.3):
        for i in range(3):
            topic = f"{room}.{i}.v1"
            await topics(kafka, topic, f"{room}.{i}.other", partitions=2)
            await fill(outbox, topic, [f"{i}-a", f"{i}-b"], partitions=2)
            await until(lambda topic=topic: sum(r.topic == topic for r in agent.seen) >= 2, f"{topic} is read")  # type: ignore[misc]
    assert {r.key for r in agent.seen} == {f"{i}-{k}".encode() for i in range(3) for k in "ab"}
    assert {topic for topic, _ in set().union(*agent.lost)} >= {f"{room}.0.v1", f"{room}.1.v1"}
    assert len(agent.seen) == 6  # what was settled is committed before the change, and does not come again


async def test_two_agents_in_one_process(kafka: str) -> None:
    """Two agents on one topic and one on the output of another, in one process, each with its own group and commits; no thread
    of Faust's; time passes for those who want it."""
    source, out = fresh("requests"), fresh("tasks")
    names = [fresh("gate"), fresh("journal"), fresh("connector")]
    await topics(kafka, source, out)
    keys = [str(i) for i in range(2_000)]
    async with KafkaOutbox(kafka) as outbox, KafkaOutbox(kafka) as second:
        await fill(outbox, source, keys)
        gate = Forward(names[0], (source,), second, out)
        journal, connector = Forward(names[1], (source,), None), Forward(names[2], (out,), None)
        connector.timed = False
        async with running(kafka, gate, journal, connector):
            await until(lambda: len(journal.seen) >= 2_000 <= len(connector.seen), "both have all")
            assert not [thread for thread in threading.enumerate() if isinstance(thread, WorkerThread)]  # ADR 0038
            await until(lambda: min(gate.ticks, journal.ticks) >= 2, "time passes")
    assert connector.ticks == 0
    assert sorted(r.key or b"" for r in connector.seen) == sorted(key.encode() for key in keys)
    for name in names:
        assert await committed(kafka, name) == dict.fromkeys(range(4), 500)


async def test_partitions_handled_together(kafka: str) -> None:
    """An agent that takes partitions together gets each record once, each partition's in order, several partitions in one chunk; what it
    did not handle comes again; and patience only means fewer chunks."""
    source, names = fresh("tasks"), [fresh("connector"), fresh("journal")]
    await topics(kafka, source)
    keys = [str(i) for i in range(2_000)]
    together, patient = Together(names[0], (source,), None), Together(names[1], (source,), None)
    together.refusals, patient.patience_s = 2, 0.5
    async with KafkaOutbox(kafka) as outbox:
        await fill(outbox, source, keys)
        async with running(kafka, together, patient):
            await until(lambda: len(together.seen) >= 2_000 <= len(patient.seen), "both have all")
            await fill(outbox, source, ["last"], partitions=1)
            await until(lambda: together.keys()[-1:] == ["last"] == patient.keys()[-1:], "both have what came alone")
    for agent, name in zip((together, patient), names, strict=True):
        for place in range(4):
            own = [(record.key or b"").decode() for record in agent.seen if record.partition == place]
            assert own == keys[place::4] + ["last"] * (place == 0)
        assert agent.most_partitions > 1
        assert await committed(kafka, name) == {0: 501, 1: 500, 2: 500, 3: 500}


async def test_partitions_handled_at_once(kafka: str) -> None:
    """An agent that takes chunks of several partitions at once gets each record once, each partition's in order though some of them were
    refused at first, never two chunks of a partition nor a tick beside one; all are committed."""
    source, name = fresh("requests"), fresh("gate")
    await topics(kafka, source)
    keys = [str(i) for i in range(2_000)]
    agent = Beside(name, (source,))
    agent.refusals = 3
    async with KafkaOutbox(kafka) as outbox:
        await fill(outbox, source, keys)
        async with running(kafka, agent, chunk_records=100):
            await until(lambda: len(agent.seen) >= 2_000, "all are handled")
            await until(lambda: agent.ticks > 1, "time passes for the agent too")
    for place in range(4):
        assert [(record.key or b"").decode() for record in agent.seen if record.partition == place] == keys[place::4]
    assert agent.wrong == [] and 1 < agent.most_at_work <= agent.at_once
    assert await committed(kafka, name) == dict.fromkeys(range(4), 500)


async def test_a_paced_reader_loses_nothing(kafka: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers that rest as long as they ever do before each fetch, while partitions go from one to the other and back, give each record on,
    those of one partition in order."""
    monkeypatch.setattr(Pace, "rest_s", lambda *_: REST_MOST_S)
    source, name = fresh("requests"), fresh("gate")
    await topics(kafka, source)
    first, second = Paced(name, (source,), None), Paced(name, (source,), None)
    keys = [str(i) for i in range(2_000)]

    def have(count: int) -> bool:
        return len({*first.keys(), *second.keys()}) == count

    async with KafkaOutbox(kafka) as outbox, running(kafka, first):
        await fill(outbox, source, keys[:1000])
        await until(lambda: have(1000), "the first half is read")
        async with running(kafka, second):
            await until(lambda: bool(first.lost), "partitions go to the second")
            await fill(outbox, source, keys[1000:1500])
            await until(lambda: have(1500) and bool(second.seen), "both have read")
        await fill(outbox, source, keys[1500:])
        await until(lambda: have(2000), "all is read")
    for seen in (first.seen, second.seen):
        for partition in range(4):
            offsets = [record.offset for record in seen if record.partition == partition]
            assert offsets == sorted(offsets)


@pytest.mark.parametrize("grouped", [False, True])
async def test_no_request_leaves_a_partition_out(kafka: str, grouped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """While records of one partition lie untaken, however long, nothing is asked of the others alone: a request that waits there would keep
    what then comes to the first from its reader."""
    source, asked = fresh("requests"), list[int]()
    await topics(kafka, source)
    send = AIOKafkaClient.send

    async def seen(self: AIOKafkaClient, node: int, request: Any, **named: Any) -> Any:
        if isinstance(request, FetchRequest):
            asked.extend(len(partitions) for topic, partitions in request.topics if topic == source)
        return await send(self, node, request, **named)

    monkeypatch.setattr(AIOKafkaClient, "send", seen)
    async with AsyncExitStack() as stack:
        if grouped:
            reader = Consumer(source, bootstrap_servers=kafka, auto_offset_reset="earliest", fetch_max_wait_ms=100)
            await reader.start()
            stack.push_async_callback(reader.stop)
        else:
            await stack.enter_async_context(KafkaReader(kafka, source))
        await until(lambda: bool(asked), "the broker is asked")
        async with KafkaOutbox(kafka) as outbox:
            await fill(outbox, source, ["one"])
            await asyncio.sleep(1.0)
    assert set(asked) == {4}


async def test_watchdog(kafka: str) -> None:
    """A fetcher that dies in silence is a stall; an agent at rest, or one that holds records, is none."""
    source, name = fresh("requests"), fresh("gate")
    await topics(kafka, source, partitions=1)
    holder = Holder(name, (source,), None)
    holder.hold = 0
    bugs: list[BaseException] = []
    async with KafkaOutbox(kafka) as outbox, running(kafka, holder, bugs=bugs, stall_s=1.5) as runner:
        await fill(outbox, source, ["a", "b"], partitions=1)
        await until(lambda: holder.ticks >= 8, "the agent rests, holding")
        assert bugs == []
        assert len(holder.seen) == 2
        await runner._hosts[0].app._fetcher.stop()
        await fill(outbox, source, ["c"], partitions=1)
        await until(lambda: runner._hosts[0].closed, "the watchdog barks")
    assert [type(bug) for bug in bugs] == [Stalled]


async def test_outbox_and_reader(kafka: str) -> None:
    """Many batches to one partition stay in order; a message too large writes nothing; a reader starts where it is told."""
    topic = fresh("outcomes")
    async with KafkaOutbox(kafka) as outbox:
        assert outbox.partitions(topic) == 0
        await topics(kafka, topic, partitions=2)
        await until(lambda: outbox.partitions(topic) == 2, "the new topic is known")
        big = [Message(str(i).encode(), bytes(100_000), [("n", b"1")]) for i in range(25)]
        await outbox.send({(topic, 0): big, (topic, 1): [Message(b"one", b"v", [])]})
        most = bytes(
            BODY_BYTES - len(body(b"most", b"", [])) - 2
        )  # the length of so many takes three bytes, that of none takes one
        with pytest.raises(TooLarge):
            await outbox.send({(topic, 1): [Message(b"small", b"v", []), Message(b"more", most + b"!", [])]})
        await outbox.send({(topic, 1): [Message(b"most", most, [])]})
    assert await keys_of(kafka, topic) == {0: [str(i) for i in range(25)], 1: ["one", "most"]}
    async with KafkaReader(kafka, topic, {0: 23, 1: 2}) as reader:
        assert [r.offset async for chunk in reader.to_end() for r in chunk] == [23, 24]
        assert await reader.end_offsets() == {0: 25, 1: 2}
    async with KafkaView(kafka) as view:
        assert (await view.topics())[topic] == 2
    assert await create_topics(kafka, [TopicSpec(topic, 2)]) == []


async def test_a_standby_worker_stays(kafka: str) -> None:
    """A worker left without a partition for longer than the poll interval stays in the group, and takes over. What the
    other had done when it joined does not come again, even if the next regular commit was far."""
    source, name = fresh("requests"), fresh("gate")
    await topics(kafka, source, partitions=1)
    agents = [Forward(name, (source,), None), Forward(name, (source,), None)]
    bugs: list[object] = []
    runners = [FaustRunner([agent], kafka, on_bug=lambda *bug: bugs.append(bug)) for agent in agents]
    async with KafkaOutbox(kafka) as outbox, AsyncExitStack() as stack:
        for runner, agent in zip(runners, agents, strict=True):
            runner._tuning = replace(runner._tuning, max_poll_s=1.0, commit_s=60.0)
            await runner.start()
            stack.push_async_callback(runner.stop)
            if agent is agents[0]:
                await fill(outbox, source, ["a"], partitions=1)
                await until(lambda: bool(agents[0].seen), "the first works")
        await until(lambda: min(agent.ticks for agent in agents) >= 6, "three times the poll interval passes")
        await fill(outbox, source, ["b"], partitions=1)
        await until(lambda: any(agent.keys()[-1:] == ["b"] for agent in agents), "one of them works")
        at_work = 0 if agents[0].keys()[-1:] == ["b"] else 1
        await runners[at_work].stop()
        await fill(outbox, source, ["c"], partitions=1)
        await until(lambda: agents[1 - at_work].keys()[-1:] == ["c"], "the other takes over")
    assert sorted(agents[0].keys() + agents[1].keys()) == ["a", "b", "c"]
    assert bugs == []


async def test_what_faust_believes_to_have_read(kafka: str) -> None:
    """Faust's own memory of what it read, wrong after some rebalances, drops nothing."""
    source, name = fresh("requests"), fresh("gate")
    await topics(kafka, source, partitions=1)
    agent = Forward(name, (source,), None)
    async with KafkaOutbox(kafka) as outbox, running(kafka, agent) as runner:
        runner._hosts[0].consumer._read_offset[TP(source, 0)] = 1000
        await fill(outbox, source, ["a"], partitions=1)
        await until(lambda: agent.keys() == ["a"], "the record is handled")


async def test_a_frozen_broker(tmp_path: Path) -> None:
    """A send gives up on time and what it had queued is never written later; the worker waits, and goes on afterwards."""
    with EmbeddedKafka(tmp_path, train=False) as broker:
        assert broker.pid is not None
        source, out, name = fresh("requests"), fresh("outcomes"), fresh("release")
        await topics(broker.bootstrap, source, out, partitions=1)
        agent = Forward(name, (source,), None)
        async with KafkaOutbox(broker.bootstrap) as outbox, running(broker.bootstrap, agent, stall_s=2.0):
            await fill(outbox, source, ["before"], partitions=1)
            os.kill(broker.pid, signal.SIGSTOP)
            frozen_at = agent.ticks
            batches = {(out, 0): [Message(b"%d" % i, bytes(900_000), []) for i in range(20)]}
            with pytest.raises(Unavailable):
                await outbox.send(batches, timeout_ms=500)
            await until(lambda: agent.ticks >= frozen_at + 6, "longer than a stall passes")
            os.kill(broker.pid, signal.SIGCONT)
            await fill(outbox, source, ["after"], partitions=1)
            await until(lambda: len(agent.seen) >= 2, "the worker goes on")
            assert {r.key for r in agent.seen} == {b"before", b"after"}
        assert len((await keys_of(broker.bootstrap, out)).get(0, [])) <= 1  # what lay in the network already


async def test_many_senders_at_once(kafka: str) -> None:
    """Those of one partition take turns: each message is written once, and nobody waits until its time is over."""
    out = fresh("requests")
    await topics(kafka, out)
    async with KafkaOutbox(kafka, request_timeout_ms=5_000) as outbox:
        sends = (outbox.send({(out, number % 4): [Message(b"%d" % number, b"v", [])]}) for number in range(500))
        await asyncio.gather(*sends)
    found = await keys_of(kafka, out)
    assert {p: sorted(map(int, keys)) for p, keys in found.items()} == {p: list(range(p, 500, 4)) for p in range(4)}


async def test_one_partition_does_not_wait_for_another(kafka: str) -> None:
    """While a broker's answer about one partition is still to come, what goes to another goes; what goes to the same one waits."""
    out = fresh("requests")
    await topics(kafka, out, partitions=2)
    async with KafkaOutbox(kafka) as outbox:
        assert outbox._producer is not None
        client, sent = outbox._producer.producer.client, list[str]()
        send, written, told = client.send, asyncio.Event(), asyncio.Event()

        async def late(node: int, request: object, **named: object) -> object:
            first = isinstance(request, ProduceRequest) and not written.is_set()
            if first:
                written.set()
            answer = await send(node, request, **named)
            if first:
                await told.wait()
            return answer

        client.send = late

        async def message(key: str, partition: int) -> None:
            await outbox.send({(out, partition): [Message(key.encode(), b"v", [])]})
            sent.append(key)

        first = [asyncio.create_task(message("a", 0)), asyncio.create_task(message("b", 0))]
        async with asyncio.timeout(DEADLINE_S):
            await written.wait()
            await message("c", 1)
            told.set()
            await asyncio.gather(*first)
    assert sent == ["c", "a", "b"]
    assert await keys_of(kafka, out) == {0: ["a", "b"], 1: ["c"]}


async def test_who_sends_beside_one_whose_time_is_over(tmp_path: Path) -> None:
    """A frozen broker: the impatient sender gives up, and the patient ones are told that theirs is not known, nothing else."""
    with EmbeddedKafka(tmp_path, train=False) as broker:
        assert broker.pid is not None
        out = fresh("outcomes")
        await topics(broker.bootstrap, out, partitions=2)
        async with KafkaOutbox(broker.bootstrap) as outbox:
            await fill(outbox, out, ["before"], partitions=2)
            os.kill(broker.pid, signal.SIGSTOP)
            try:
                sends = [
                    outbox.send({(out, number % 2): [Message(b"%d" % number, b"v", [])]}, timeout_ms=500 if number == 0 else 9_000)
                    for number in range(6)
                ]  # fmt: skip
                said = await asyncio.gather(*sends, return_exceptions=True)
            finally:
                os.kill(broker.pid, signal.SIGCONT)
            assert [type(one) for one in said] == [Unavailable] * 6
            await fill(outbox, out, ["after"], partitions=2)


async def test_nobody_there() -> None:
    """Without a broker every door says `Unavailable`, and nothing else."""
    for start in (
        KafkaOutbox("127.0.0.1:1").start,
        FaustRunner([], "127.0.0.1:1").start,
        lambda: KafkaView("127.0.0.1:1").__aenter__(),
        lambda: create_topics("127.0.0.1:1", [TopicSpec("a", 1)]),
        KafkaReader("127.0.0.1:1", "a").__aenter__,
    ):
        with pytest.raises(Unavailable):
            await start()

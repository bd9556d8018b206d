"""The ledger behind its Unix socket: types, refusals, sizes, restarts."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest

from consent.client import connect
from consent.core.facts import Evidence, State, Submission, Verdict
from consent.door import METHODS, Door
from consent.frames import LENGTH, read_frame
from consent.ledger import Ledger
from consent.service import CALL_MAX_BYTES, Service, signature
from exchange.core.errors import Code
from exchange.core.identity import canonical
from exchange.introduction import terms
from exchange.ports import Refused, Unavailable
from tests.world import JEANNE, OPERATOR, RECIPIENT, World, codes


class Served:
    """A world whose ledger is called over a socket; `bugs` counts what the service held to be bugs of its own."""

    def __init__(self, world: World, path: Path) -> None:
        self.world, self.path, self.bugs = world, path, 0
        self.client: Door = connect(path)
        self.service = Service(world.ledger, path, self.bug)

    def bug(self) -> None:
        self.bugs += 1

    async def restart(self) -> None:
        await self.service.stop()
        self.world.restart()
        self.service = Service(self.world.ledger, self.path, self.bug)
        await self.service.start()


@pytest.fixture
async def served(world: World, tmp_path: Path) -> AsyncIterator[Served]:
    served = Served(world, tmp_path / "ledger.sock")
    await served.service.start()
    yield served
    await served.client.close()  # type: ignore[attr-defined]
    await served.service.stop()
    assert served.bugs == 0


async def exchanged(path: Path, *frames: bytes) -> list[Any]:
    """Replies to raw frames; `None` where the connection ended."""
    reader, writer = await asyncio.open_unix_connection(path)
    replies: list[Any] = []
    try:
        for frame in frames:
            writer.write(frame)
            try:
                replies.append(msgspec.msgpack.decode(await asyncio.wait_for(read_frame(reader, CALL_MAX_BYTES), 10)))
            except (asyncio.IncompleteReadError, ConnectionError):
                replies.append(None)
    finally:
        writer.close()
    return replies


def call(method: object, *arguments: object) -> bytes:
    frame = msgspec.msgpack.encode((1, method, arguments))
    return LENGTH.pack(len(frame)) + frame


async def test_a_whole_exchange_over_the_socket(served: Served) -> None:
    """Every type of the door crosses it: grant, attempt, release, confirmation, withdrawal, proof."""
    world, client = served.world, served.client
    a = os.urandom(16)
    agreed = terms(RECIPIENT, world.clock.now_ms())
    grant = await client.grant(a, agreed, canonical(JEANNE), Evidence("online"), OPERATOR)
    world.wallet.keep(a, grant.capsule)
    asked = world.ask(a)
    (granted,) = await client.attempt([asked.attempt])
    assert granted.reason == "" and granted.recipient is not None and granted.recipient.organisation == RECIPIENT
    other = world.ask(a)
    failed = Verdict(other.key, other.digest, 0, "failed", Code.PROVIDER_ERROR, "37002")
    never = world.answer(world.ask(a))
    assert codes(await client.release([world.answer(asked), failed, never], [])) == [
        "released",
        "failed",
        "dead:no_attempt",
    ]
    assert await client.unconfirmed([Submission(asked.key, asked.digest)]) == [True]
    ack = await client.withdraw(a, "withdrawn")
    assert ack.state is State.WITHDRAWN and ack.named == (asked.key.request,)
    found, unknown = await client.lookup([a, bytes(16)])
    assert unknown is None and found is not None and found.state is State.WITHDRAWN
    leaf, _, checkpoint = await client.proof(ack.leaf_index)
    assert leaf and checkpoint == await client.checkpoint()
    assert [e.kind for e in await client.entries(a)][-1] == "withdrawn"
    assert (await client.events(0, 1_000))[-1].authorisation == a
    assert await client.verify() == [] and await client.has_key(a) is False
    assert len(await client.directory()) == 3


async def test_a_no_of_the_ledger_is_a_no_at_the_caller(served: Served) -> None:
    """Refused crosses the socket with its code."""
    with pytest.raises(Refused) as refused:
        await served.client.withdraw(bytes(16), "withdrawn")
    assert refused.value.code is Code.AUTHORISATION_UNKNOWN


async def test_nothing_known_is_unavailable_at_the_caller(served: Served) -> None:
    """Unavailable crosses the socket as itself."""
    served.world.clock.wall_ms -= 60_000
    with pytest.raises(Unavailable, match="clock went back"):
        await served.client.release([], [])


@pytest.mark.parametrize(
    "frame",
    [
        call("drop_tables"),
        call("_begin"),
        call("__init__"),
        call("lookup"),
        call("lookup", "no list"),
        call("lookup", ["text"]),
        call("lookup", [b"a" * 16], "too many"),
        call("withdraw", b"a" * 16, 7),
        call("withdraw", b"a" * 16, "renewed"),
        call("withdraw", b"a" * 16, "nonsense"),
        call("release", [["outcome"]], []),
        call("grant", b"a" * 16, {}, b"", [], "x"),
        call("proof", 10**9),
        call("proof", -1),
        call("overdue", -(1 << 63)),
        call("overdue", [], "long"),
        call("delegate", "x", "y", (1 << 64) - 1),
        call("delegate", "x"),
        call(7),
        LENGTH.pack(0),
        LENGTH.pack(1) + b"\xc1",
        LENGTH.pack(7) + b"garbage",
    ],
)
async def test_a_call_of_the_wrong_types_is_refused_before_the_ledger_sees_it(served: Served, frame: bytes) -> None:
    """A bad call says so; the connection, the service and the ledger live on; nothing of it is echoed."""
    reply, good = await exchanged(served.path, frame, call("has_key", bytes(16)))
    assert reply[1] == "bad_call" and reply[2].isidentifier()
    assert good == [1, "ok", False]
    assert await served.world.ledger.verify() == []


async def test_an_oversize_frame_ends_its_connection_and_no_other(served: Served) -> None:
    """A length above the limit is not waited for; other callers go on."""
    assert not await served.client.has_key(bytes(16))
    assert await exchanged(served.path, LENGTH.pack(CALL_MAX_BYTES + 1)) == [None]
    assert not await served.client.has_key(bytes(16))


async def test_a_caller_that_hangs_up_in_the_middle_hurts_nobody(served: Served) -> None:
    """Half a frame, or a reply nobody reads: the next caller is served."""
    for half in (b"\0", LENGTH.pack(100) + b"half", call("checkpoint")):
        _, writer = await asyncio.open_unix_connection(served.path)
        writer.write(half)
        await writer.drain()
        writer.close()
    assert await served.client.verify() == []


async def test_calls_on_one_connection_are_told_apart(served: Served) -> None:
    """Many at once: each gets its own answer."""
    given = [await served.world.give() for _ in range(20)]
    found = await asyncio.gather(*(served.client.lookup([a]) for a in given))
    assert [one.id for (one,) in found if one is not None] == given


async def test_the_client_comes_back_after_a_restart(served: Served) -> None:
    """Stopped: unavailable, at once. Started again: served, with what was committed."""
    a = await served.world.give()
    assert await served.client.has_key(a)
    await served.service.stop()
    with pytest.raises(Unavailable):
        await served.client.has_key(a)
    await served.restart()
    assert await served.client.has_key(a)


async def test_a_call_in_flight_when_the_service_dies_is_unavailable(served: Served) -> None:
    """Nobody waits for ever for an answer that will not come; the withdrawal committed before it is binding."""
    a = await served.world.give()
    _, answer = await served.world.answered(a)
    await served.world.told(answer)
    committed, held = asyncio.Event(), served.world.clock.sleep

    async def hang(_: float) -> None:
        committed.set()
        await asyncio.Event().wait()

    served.world.clock.sleep = hang  # type: ignore[method-assign]
    waiting = asyncio.create_task(served.client.withdraw(a, "withdrawn"))
    await asyncio.wait_for(committed.wait(), 10)
    await served.service.stop()
    with pytest.raises(Unavailable):
        await waiting
    served.world.clock.sleep = held  # type: ignore[method-assign]
    await served.restart()
    assert not await served.client.has_key(a)
    assert (await served.client.withdraw(a, "withdrawn")).named == (answer.key.request,)


async def test_a_socket_left_by_a_dead_process_is_taken_over(world: World, tmp_path: Path) -> None:
    """A stale file, even one that is no socket, does not keep the ledger from starting."""
    path = tmp_path / "ledger.sock"
    path.write_bytes(b"stale")
    service = Service(world.ledger, path)
    await service.start()
    assert await exchanged(path, call("has_key", bytes(16))) == [[1, "ok", False]]
    await service.stop()
    assert not path.exists()


async def test_only_the_owner_may_call(served: Served) -> None:
    """The socket's mode is 0600, whatever the umask was; the umask is given back."""
    assert stat.S_IMODE(served.path.stat().st_mode) == 0o600
    before = os.umask(0o022)
    os.umask(before)
    assert before != 0o177


async def test_a_bug_ends_the_process_and_answers_unavailable(world: World, tmp_path: Path) -> None:
    """What nobody foresaw is not guessed at: the caller learns nothing, the process is told to end."""

    class Broken(Ledger):
        async def verify(self) -> list[str]:
            raise RuntimeError("MARTIN Jeanne")

    ended: list[bool] = []
    broken = Broken(world.engine, world.keys, world.clock, lambda provider: bytes(32))
    service = Service(broken, tmp_path / "ledger.sock", lambda: ended.append(True))
    await service.start()
    assert await exchanged(tmp_path / "ledger.sock", call("verify")) == [[1, "unavailable", "bug"]]
    assert ended == [True]
    await service.stop()


def test_every_method_of_the_door_is_served_with_types() -> None:
    """What the door promises the ledger has, with a type for each argument and for the result."""
    for method in METHODS:
        types = get_type_hints(getattr(Door, method))
        assert types.keys() == {*signature(method).declared.parameters} - {"self"} | {"return"}
        assert Any not in types.values()
        assert hasattr(Ledger, method)


async def test_without_a_ledger_every_call_is_unavailable(tmp_path: Path) -> None:
    """No socket, no answer: fail closed; a name the door does not have is a programming error."""
    client = connect(tmp_path / "nothing.sock")
    with pytest.raises(Unavailable):
        await client.verify()
    with pytest.raises(AttributeError):
        client.drop_tables  # type: ignore[attr-defined]  # noqa: B018

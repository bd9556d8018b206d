"""Asking witnesses: what their answers are worth, and receipts from pending to final."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from consent import publish, verify
from consent.core import cosignature, merkle, note, proof
from consent.core.cosignature import Witness
from consent.public_log import PublicLog
from consent.verify import Pending, Policy
from consent.witness import client
from consent.witness.client import Ahead, NotCosigned, Place
from consent.witness.server import WitnessServer
from exchange.ports import Recovering
from tests.logs import grow
from tests.witnessing import LEAVES, LOG, NAME, NOW_S, OTHER, a_witness, checkpoint, http_to
from tests.world import World

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server(tmp_path: Path) -> WitnessServer:
    return a_witness(tmp_path)


def prove(size: int, leaves: Sequence[bytes] = LEAVES) -> Callable[[int], list[bytes]]:
    return lambda old: merkle.consistency_path(leaves[:size], old)


def streamed(answer: httpx.Response) -> httpx.Response:
    """As it comes from a network, not read yet."""
    return httpx.Response(answer.status_code, headers=answer.headers, stream=httpx.ByteStream(answer.content))


def place(server: WitnessServer) -> Place:
    return Place("http://witness.test", server.witness)


async def test_the_client_finds_where_the_witness_stands(server: WitnessServer) -> None:
    """From nothing, from too far, from behind: the witness's own size answers, and its line comes back verified."""
    async with http_to(server) as http:
        for size, seen in ((5, 0), (9, 0), (12, 99), (20, 5), (20, 20)):
            line = await client.ask(http, place(server), checkpoint(size), prove(size), NOW_S, seen)
            text, signatures = note.split(checkpoint(size) + line + "\n")
            assert cosignature.cosigned_at(text, signatures, server.witness, NOW_S) == NOW_S


async def test_the_client_is_told_when_it_is_behind_or_forked(server: WitnessServer) -> None:
    """A witness that has seen more says how much; one that has seen another history cosigns nothing."""
    async with http_to(server) as http:
        await client.ask(http, place(server), checkpoint(20), prove(20), NOW_S, 0)
        with pytest.raises(Ahead) as ahead:
            await client.ask(http, place(server), checkpoint(9), prove(9), NOW_S, 9)
        assert ahead.value.size == 20
        for size in (20, 30):
            with pytest.raises(NotCosigned):
                await client.ask(http, place(server), checkpoint(size, OTHER), prove(size, OTHER), NOW_S, 0)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text=""),
        httpx.Response(200, text="— witness.test/w1 AAAA\n"),
        httpx.Response(200, text="not a line\n"),
        httpx.Response(200, text=note.format_signature(note.Signature(NAME, b"\0\0\0\0", bytes(72))) + "\n"),
        httpx.Response(200, content=b"\xff\xfe"),
        httpx.Response(200, text="x" * 100_000),
        httpx.Response(409, text=""),
        httpx.Response(409, text="05\n"),
        httpx.Response(409, text="-1\n"),
        httpx.Response(409, text="4\n"),
        httpx.Response(302, headers={"location": "http://elsewhere.test/"}),
        httpx.Response(404),
        httpx.Response(500),
    ],
)
async def test_whatever_a_witness_answers_only_its_cosignature_counts(
    server: WitnessServer, answer: httpx.Response
) -> None:
    """Garbage, another key, a size that is none, a redirection, too much: NotCosigned, and nobody else is asked."""
    asked: list[str] = []

    def answering(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        return streamed(answer)

    async with httpx.AsyncClient(transport=httpx.MockTransport(answering)) as http:
        with pytest.raises(NotCosigned):
            await client.ask(http, place(server), checkpoint(5), prove(5), NOW_S, 0)
    assert set(asked) == {"witness.test"} and len(asked) <= 2


async def test_a_cosignature_of_another_time_or_text_is_none(server: WitnessServer) -> None:
    """Signed for the future, or for another checkpoint: refused."""
    text = note.split(checkpoint(5))[0]
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    witness = Witness(NAME, key.public_key().public_bytes_raw())
    for signed, at_s in ((text, NOW_S + 301), (text, 0), (text.replace("5", "6"), NOW_S)):
        line = note.format_signature(cosignature.cosign(signed, NAME, key, at_s))
        transport = httpx.MockTransport(lambda _, line=line: streamed(httpx.Response(200, text=line + "\n")))
        async with httpx.AsyncClient(transport=transport) as http:
            with pytest.raises(NotCosigned):
                await client.ask(http, Place("http://witness.test", witness), checkpoint(5), prove(5), NOW_S, 0)


def test_witnesses_are_read_from_their_file(tmp_path: Path, server: WitnessServer) -> None:
    """A list of urls and keys; absent, there are none; anything else is refused."""
    path, vkey = tmp_path / "witnesses.json", str(server.witness)
    assert client.read_places(path) == ()
    path.write_text(json.dumps([{"url": "https://witness.test/", "vkey": vkey}]))
    assert client.read_places(path) == (Place("https://witness.test", server.witness),)
    good = {"url": "https://witness.test", "vkey": vkey}
    for wrong in (
        {},
        [1],
        [{"url": "https://w.test"}],
        [good | {"x": 1}],
        [good | {"url": "file:///x"}],
        [good | {"vkey": str(LOG)}],
        [good, good],
        [good] * 16,
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(ValueError):
            client.read_places(path)
    path.write_text("not JSON")
    with pytest.raises(ValueError):
        client.read_places(path)


# Receipts, from pending to final


class Switch(httpx.AsyncBaseTransport):
    """Witnesses by host, each of which may be down."""

    def __init__(self, servers: dict[str, WitnessServer]) -> None:
        self._apps = {host: httpx.ASGITransport(server.app()) for host, server in servers.items()}
        self.down: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.host in self.down:
            raise httpx.ConnectError("down")
        return await self._apps[request.url.host].handle_async_request(request)


class Watched:
    """A ledger whose log two witnesses watch."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder / "log"
        log, now = world.keys.verifier, lambda: world.clock.now_ms() // 1000
        servers = {f"w{n}.test": WitnessServer(folder / f"w{n}", f"w{n}.test/1", [log], now) for n in (1, 2)}
        self.switch = Switch(servers)
        self.places = [Place(f"http://{host}", server.witness) for host, server in servers.items()]
        self.http = httpx.AsyncClient(transport=self.switch)
        self.policy = Policy(log, tuple(p.witness for p in self.places), 1)
        self.stop = asyncio.Event()
        self.log = PublicLog(world.ledger, self.folder, self.places, world.clock, self.http)
        self.running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self.log.start()
        self.running = asyncio.create_task(self.log.run(self.stop))

    async def close(self) -> None:
        self.stop.set()
        if self.running:
            await self.running
        await self.http.aclose()

    async def receipt(self, index: int) -> verify.Verified:
        leaf, path, text = await self.world.ledger.proof(index)
        data = proof.write(proof.Proof(index, tuple(path), text, leaf)).encode()
        return verify.verify(data, self.policy, self.world.clock.now_ms() // 1000)

    async def until_published(self, cosignatures: int) -> str:
        """The checkpoint of the log as it stands, once it is in the folder with that many cosignatures."""
        deadline = time.monotonic() + 20
        while True:
            text = publish.published(self.folder) if self.folder.exists() else None
            if text and text == await self.world.ledger.checkpoint() and len(note.split(text)[1]) == 1 + cosignatures:
                return text
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


@pytest.fixture
async def watched(world: World, tmp_path: Path) -> AsyncIterator[Watched]:
    found = Watched(world, tmp_path)
    yield found
    await found.close()


async def test_a_receipt_is_pending_then_final(watched: Watched) -> None:
    """No witness answers: published all the same, and pending; one answers: final; both: both are named."""
    watched.switch.down = {"w1.test", "w2.test"}
    await watched.start()
    await watched.until_published(0)
    with pytest.raises(Pending):
        await watched.receipt(0)
    watched.switch.down = {"w2.test"}
    await watched.until_published(1)
    assert list((await watched.receipt(0)).witnesses) == ["w1.test/1"]
    watched.switch.down = set()
    await watched.until_published(2)
    assert len((await watched.receipt(0)).witnesses) == 2


async def test_a_new_leaf_is_pending_until_its_head_is_cosigned(watched: Watched) -> None:
    """Older leaves keep their final receipts under the last cosigned head; the new one never borrows it."""
    await watched.start()
    text = await watched.until_published(2)
    size = publish.head(text).size
    watched.switch.down = {"w1.test", "w2.test"}
    await watched.world.give()
    await watched.until_published(0)
    assert (await watched.receipt(size - 1)).size == size
    with pytest.raises(Pending):
        await watched.receipt(size)
    watched.switch.down = set()
    await watched.until_published(2)
    assert (await watched.receipt(size)).size > size


async def test_a_restart_goes_on_where_the_witnesses_are(watched: Watched) -> None:
    """Another process over the same store and folder: no witness is asked for what it has not seen, and none refuses."""
    await watched.start()
    before = await watched.until_published(2)
    watched.stop.set()
    assert watched.running is not None
    await watched.running
    watched.world.restart()
    again = PublicLog(watched.world.ledger, watched.folder, watched.places, watched.world.clock, watched.http)
    await watched.world.give()
    watched.stop, watched.log = asyncio.Event(), again
    await watched.start()
    after = await watched.until_published(2)
    assert publish.head(after).size > publish.head(before).size


async def test_witnesses_bind_a_restored_backup(watched: Watched, tmp_path: Path) -> None:
    """The store and the folder are old, the witnesses are not: nothing more is signed."""
    await watched.world.ledger.checkpoint()
    backup = await World.open(tmp_path / "backup.sqlite", watched.world.keys)
    await backup.ledger.checkpoint()
    for _ in range(3):
        await watched.world.give()
    await watched.start()
    await watched.until_published(2)
    old = PublicLog(backup.ledger, tmp_path / "old", watched.places, backup.clock, watched.http)
    await old.start()
    for _ in range(2):
        with pytest.raises(Exception, match="behind a head it signed|does not follow"):
            await old.step()
        with pytest.raises(Recovering):
            await backup.give()
        grow(backup, 1)
    assert publish.published(tmp_path / "old") is None
    backup.engine.dispose()


# The commands


@contextmanager
def process(*words: str, data: Path) -> Iterator[dict[str, str]]:
    """A command that runs until it is told to stop; its first line of JSON."""
    code = "import sys; from exchange.cli.witness import app as w; from exchange.cli.ledger import app as l; {'witness': w, 'ledger': l}[sys.argv.pop(1)]()"
    started = subprocess.Popen(
        [sys.executable, "-c", code, *words, "--data", str(data), "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert started.stdout is not None
        yield json.loads(started.stdout.readline())
    finally:
        started.terminate()
        assert started.wait(20) in (0, -15)
        started.stdout.close()


def command(*words: str, data: Path) -> dict[str, object]:
    """A command's one line of JSON."""
    code = "from exchange.cli.ledger import app; app()"
    ran = subprocess.run(
        [sys.executable, "-c", code, *words, "--data", str(data), "--json"], cwd=ROOT, capture_output=True, text=True, timeout=60,
        env=os.environ | {"LC_ALL": "en"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found: dict[str, object] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_a_ledger_and_its_witness_as_processes(tmp_path: Path) -> None:
    """`accord witness run` beside `accord ledger run`: the receipt of an entry becomes final, verifies from the printed keys alone,
    outlives both processes, and the exported log verifies."""
    data, there = tmp_path / "bus", tmp_path / "authority"
    with process("ledger", "run", data=data):
        command("introduce", data=data)
        vkey = str(command("vkey", data=data)["vkey"])
    with process("witness", "run", "--name", "authority.test/1", "--log", vkey, data=there) as witness:
        (data / "witnesses.json").write_text(json.dumps([{"url": witness["url"], "vkey": witness["vkey"]}]))
        assert command("proof", "0", data=data)["status"] == "pending"
        with process("ledger", "run", data=data):
            deadline = time.monotonic() + 30
            while (found := command("proof", "0", data=data))["status"] != "final":
                assert time.monotonic() < deadline
        assert command("witness", data=data)["cosigned"] is True
    receipt = str(found["proof"]).encode()
    policy = verify.policy(vkey, [witness["vkey"]])
    verified = verify.verify(receipt, policy, int(time.time()))
    assert (verified.leaf_index, list(verified.witnesses)) == (0, ["authority.test/1"])
    out = tmp_path / "out"
    exported = command("export", str(out), data=data)
    text = (out / "checkpoint").read_text()
    assert publish.head(text).size == exported["size"] and len(note.split(text)[1]) == 2
    publish.publish(tmp_path / "copy", publish.Files(out), [text])
    assert (tmp_path / "copy" / "checkpoint").read_text() == text

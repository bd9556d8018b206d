"""The embedded broker, on the real thing: real jars, real JVM, real faults."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import string
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Self

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from exchange.embedded import aot, jars, probe, process, settings
from exchange.embedded.broker import EmbeddedKafka
from exchange.embedded.choose import open_kafka
from exchange.embedded.errors import CATALOGUE, EmbeddedError
from exchange.embedded.node import Node, is_broker_of

CLOSED = "http://127.0.0.1:1"


@pytest.fixture(scope="session")
def cache() -> Path:
    """The user's own cache of jars, filled once."""
    jars.ensure(jars.kafka_cache())
    return jars.kafka_cache()


@pytest.fixture
def copy(cache: Path, tmp_path: Path) -> Path:
    """A cache of the test's own: the same files by hard link, times kept, without an AOT cache."""
    own = tmp_path / "cache"
    own.mkdir()
    for name in [jar.name for jar in jars.locked()] + ["stamp.json"]:
        os.link(cache / name, own / name)
    return own


class Repository:
    """A Maven repository on loopback that serves the jars of a folder, and counts what it was asked for."""

    def __init__(self, folder: Path, *, spoil: bool = False) -> None:
        asked = self.asked = Counter[str]()

        class Handler(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.rpartition("/")[2]
                asked[name] += 1
                body = (folder / name).read_bytes()
                body = bytes([body[0] ^ 1]) + body[1:] if spoil else body
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/maven"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def eventually(true: Callable[[], bool], within_s: float = 20.0) -> bool:
    """Poll until `true()`, for `within_s` at most."""
    deadline_s = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def spoil(jar: Path, *, keep_times: bool) -> None:
    """Overwrite the end of a jar, where its directory is, in a file of its own."""
    times = jar.stat()
    body = jar.read_bytes()
    jar.unlink()
    jar.write_bytes(body[:-4096] + bytes(4096))
    if keep_times:
        os.utime(jar, ns=(times.st_atime_ns, times.st_mtime_ns))


def refused(broker: EmbeddedKafka) -> EmbeddedError:
    """The error of a start that must not succeed."""
    try:
        with pytest.raises(EmbeddedError) as caught:
            broker.start()
        assert broker.pid is None
    finally:
        broker.stop()
    return caught.value


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A tmpfs mounted over `folder`."""
    folder.mkdir(exist_ok=True)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=False, capture_output=True)
    if mount.returncode:
        pytest.skip("no right to mount a tmpfs here: a full disk cannot be made")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


async def write(address: str, value: bytes) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=address, acks="all") as producer:
        await producer.send_and_wait("kept", value)


async def read(address: str) -> bytes:
    async with AIOKafkaConsumer(bootstrap_servers=address, auto_offset_reset="earliest") as consumer:
        consumer.assign([TopicPartition("kept", 0)])
        return bytes((await asyncio.wait_for(consumer.getone(), 20)).value)


def test_data_and_port_are_kept_and_stop_leaves_nothing(cache: Path, tmp_path: Path) -> None:
    """What was written before a stop is read after the next start, at the same address; between, nothing runs."""
    home = tmp_path / "with a space, and a comma"
    broker = EmbeddedKafka(home, train=False)
    address = broker.start()
    pid = broker.pid
    asyncio.run(write(address, b"one"))
    broker.stop()

    assert pid is not None and process.command_line(pid) == ""
    assert probe.port_is_free(int(address.rpartition(":")[2]))

    with EmbeddedKafka(home, train=False) as again:
        assert again.bootstrap == address
        assert again.notices == []
        assert asyncio.run(read(address)) == b"one"


def test_only_loopback_listens(kafka_here: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Neither port of the broker answers on another address of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        try:
            route.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        outside = route.getsockname()[0]
    state = json.loads((kafka_here.data / "broker.json").read_bytes())

    for port in (state["port"], state["controller_port"]):
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(OSError):
            socket.create_connection((outside, port), timeout=2)


@pytest.fixture(scope="module")
def kafka_here(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of this module's, for the tests that only look at it."""
    with EmbeddedKafka(tmp_path_factory.mktemp("looked at"), train=False) as broker:
        yield broker


def test_used_folder_is_refused_and_its_broker_unharmed(kafka_here: EmbeddedKafka) -> None:
    """A second owner of a folder is told who has it, and the first goes on."""
    error = refused(EmbeddedKafka(kafka_here.data, train=False))

    assert error.code == "data_in_use"
    assert kafka_here.bootstrap in str(error)
    assert probe.cluster_at("127.0.0.1", kafka_here.port) is not None


def test_second_start_of_a_started_broker_is_refused_and_harmless(kafka_here: EmbeddedKafka) -> None:
    """Starting twice is the same error, and stops nothing."""
    with pytest.raises(EmbeddedError) as caught:
        kafka_here.start()

    assert caught.value.code == "data_in_use"
    assert kafka_here.pid is not None


def test_asked_port_that_is_taken_is_an_error(cache: Path, tmp_path: Path) -> None:
    """A port someone asked for is never silently another one."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        error = refused(EmbeddedKafka(tmp_path, port=taken))

    assert error.code == "port_taken"
    assert str(taken) in error.cause.fr and str(taken) in error.cause.en


def test_last_port_that_is_taken_is_left_with_a_notice(cache: Path, tmp_path: Path) -> None:
    """A folder whose last port went to another program moves, and says so."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (tmp_path / "broker.json").write_text(json.dumps({"port": taken, "controller_port": taken}))
        with EmbeddedKafka(tmp_path, train=False) as broker:
            assert broker.port != taken
            assert [str(taken) in notice and str(broker.port) in notice for notice in broker.notices] == [True]


def test_broker_of_a_dead_owner_is_stopped(cache: Path, tmp_path: Path) -> None:
    """A broker left running over the folder is ended before ours starts; its data is kept."""
    left = Node(tmp_path, jars.classpath(cache), aot.options(cache))
    ports = probe.free_port(), probe.free_port()
    left.start(*ports, lambda _pid: None)
    pid = left.pid
    asyncio.run(write(f"127.0.0.1:{left.port}", b"kept"))
    (tmp_path / "broker.json").write_text(json.dumps({"port": ports[0], "controller_port": ports[1], "pid": pid}))

    with EmbeddedKafka(tmp_path, train=False) as broker:
        assert not left.alive
        assert any(str(pid) in notice for notice in broker.notices)
        assert asyncio.run(read(broker.bootstrap)) == b"kept"


def test_stranger_with_the_same_pid_is_left_alone(cache: Path, tmp_path: Path) -> None:
    """A pid that now belongs to another program is not signalled, even one that names a file of the broker's."""
    argv = [sys.executable, "-c", "input()", str(tmp_path / settings.PROPERTIES)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, process_group=0) as stranger:
        (tmp_path / "broker.json").write_text(json.dumps({"port": 0, "controller_port": 0, "pid": stranger.pid}))
        with EmbeddedKafka(tmp_path, train=False) as broker:
            assert broker.notices == []
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="parent-death signals are Linux's")
def test_killed_owner_leaves_no_jvm(copy: Path, tmp_path: Path) -> None:
    """After `kill -9` of the owner neither its broker nor its training runs, whatever thread started them."""
    program = (
        "import sys, pathlib, threading; from exchange.embedded.broker import EmbeddedKafka\n"
        "data, cache = map(pathlib.Path, sys.argv[1:]); broker = EmbeddedKafka(data, cache=cache)\n"
        "starter = threading.Thread(target=broker.start); starter.start(); starter.join()\n"
        "print(broker.pid, flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "data"), str(copy)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        assert eventually((copy / "training" / "pid").exists)
        trainer = int((copy / "training" / "pid").read_text())
        assert is_broker_of(tmp_path / "data", pid) and is_broker_of(copy / "training", trainer)
        owner.kill()

    assert eventually(lambda: not process.command_line(pid) and not process.command_line(trainer))


def test_empty_cache_is_filled_once_by_many_and_tells_its_size_first(cache: Path, tmp_path: Path) -> None:
    """Four that start at once download each jar once, the total is known before the first byte, no part is left."""
    told: list[tuple[int, int]] = []
    total_bytes = sum(jar.size_bytes for jar in jars.locked())
    with Repository(cache) as repository, ThreadPoolExecutor(4) as pool:
        starts = [
            pool.submit(jars.ensure, tmp_path, lambda *step: told.append(step), repository=repository.url)
            for _ in range(4)
        ]
        fetched = [start.result() for start in starts]

    assert sorted(fetched) == [False, False, False, True]
    assert repository.asked == Counter(jar.name for jar in jars.locked())
    assert told[0] == (0, total_bytes)
    assert told[-1] == (total_bytes, total_bytes)
    assert not list(tmp_path.glob("*.part"))
    assert jars.ensure(tmp_path, repository=CLOSED) is False


def test_damaged_jar_is_replaced(cache: Path, copy: Path) -> None:
    """A jar whose bytes changed is downloaded again, it alone."""
    name = jars.locked()[0].name
    spoil(copy / name, keep_times=False)
    with Repository(cache) as repository:
        assert jars.ensure(copy, repository=repository.url) is True

    assert repository.asked == Counter({name: 1})
    assert (copy / name).read_bytes() == (cache / name).read_bytes()


def test_damage_that_hides_is_found_when_the_broker_fails(cache: Path, copy: Path, tmp_path: Path) -> None:
    """A jar damaged under an unchanged size and time costs one failed start, then is replaced and the broker is up."""
    spoil(copy / "kafka-server-common-4.3.0.jar", keep_times=True)
    with (
        Repository(cache) as repository,
        EmbeddedKafka(tmp_path / "data", cache=copy, repository=repository.url, train=False) as broker,
    ):
        assert probe.cluster_at("127.0.0.1", broker.port) is not None

    assert repository.asked == Counter({"kafka-server-common-4.3.0.jar": 1})


@pytest.mark.parametrize("served", ["wrong bytes", "nothing"])
def test_damaged_jar_that_cannot_be_replaced_is_named(cache: Path, copy: Path, tmp_path: Path, served: str) -> None:
    """When the repository is wrong twice or silent, the error names the jar, and wrong bytes never take its name."""
    name = jars.locked()[0].name
    spoil(copy / name, keep_times=False)
    before = (copy / name).read_bytes()
    with Repository(cache, spoil=True) as repository:
        url = repository.url if served == "wrong bytes" else CLOSED
        error = refused(EmbeddedKafka(tmp_path / "data", cache=copy, repository=url))

    assert error.code == "jar_corrupted"
    assert name in error.cause.fr and name in error.cause.en
    assert (copy / name).read_bytes() == before
    assert repository.asked[name] == (2 if served == "wrong bytes" else 0)


def test_first_start_without_a_network_says_so(tmp_path: Path) -> None:
    """An empty cache and a closed repository are the error no_network, and leave no half of a file."""
    error = refused(EmbeddedKafka(tmp_path / "data", cache=tmp_path / "cache", repository=CLOSED))

    assert error.code == "no_network"
    assert not list((tmp_path / "cache").glob("*.jar*"))


@pytest.mark.parametrize("options", ["size=2m", "size=90m,nr_inodes=12"], ids=["no room", "fills up midway"])
def test_full_disk_at_the_download_is_told(cache: Path, tmp_path: Path, options: str) -> None:
    """A disk without room for the jars, before or during the download, is the error disk_full."""
    with small_disk(tmp_path / "cache", options) as small, Repository(cache) as repository:
        error = refused(EmbeddedKafka(tmp_path / "data", cache=small, repository=repository.url))
        assert not list(small.glob("*.part"))

    assert error.code == "disk_full"


@pytest.mark.parametrize("options", ["size=2m", "size=400m,nr_inodes=12"], ids=["no room", "fills up midway"])
def test_full_disk_at_the_start_is_told(cache: Path, tmp_path: Path, options: str) -> None:
    """A disk without room for the data, before the start or found full by Kafka, is the error disk_full."""
    with small_disk(tmp_path / "data", options) as small:
        error = refused(EmbeddedKafka(small, cache=cache, train=False))

    assert error.code == "disk_full"


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file where the data should be is one clear error."""
    (tmp_path / "data").write_text("")

    assert refused(EmbeddedKafka(tmp_path / "data")).code == "data_unusable"


def test_second_start_is_trained_and_a_stop_ends_the_training(cache: Path, copy: Path, tmp_path: Path) -> None:
    """A stop during the training leaves no process and no file of it; a longer run trains, and the next one uses it."""
    with EmbeddedKafka(tmp_path / "data", cache=copy) as broker:
        assert eventually((copy / "training" / "pid").exists)
        trainer = int((copy / "training" / "pid").read_text())
    assert process.command_line(trainer) == ""
    assert not (copy / "training").exists()
    assert aot.options(copy) == ()

    with EmbeddedKafka(tmp_path / "data", cache=copy) as broker:
        assert broker.trained(timeout_s=120)
    with EmbeddedKafka(tmp_path / "data", cache=copy) as broker:
        assert broker.pid is not None and "-XX:AOTCache=" in process.command_line(broker.pid)
    assert not (copy / "training").exists()


@pytest.mark.parametrize("content", [b"", b"not a cache" * 1000], ids=["empty", "garbage"])
def test_bad_aot_cache_does_not_stop_a_start(copy: Path, tmp_path: Path, content: bytes) -> None:
    """Whatever lies in the place of the AOT cache, the broker starts."""
    aot.cache_file(copy).write_bytes(content)
    with EmbeddedKafka(tmp_path / "data", cache=copy, train=False) as broker:
        assert probe.cluster_at("127.0.0.1", broker.port) is not None


def test_kafka_elsewhere_is_taken_as_it_is(kafka_here: EmbeddedKafka, tmp_path: Path) -> None:
    """`host:port` gives that address once a broker answers there, and touches no folder."""
    with open_kafka(kafka_here.bootstrap, tmp_path / "unused") as address:
        assert address == kafka_here.bootstrap
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(("choice", "code"), [("127.0.0.1:1", "unreachable"), ("kafka", "unknown_choice")])
def test_wrong_choice_is_told(tmp_path: Path, choice: str, code: str) -> None:
    """An address where no broker is, and a word that is no choice, are errors of their own."""
    with pytest.raises(EmbeddedError) as caught, open_kafka(choice, tmp_path):
        pass

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("java.io.IOException: No space left on device", "disk_full"),
        ("Socket server failed to bind to 127.0.0.1:9092: Address already in use.", "port_taken"),
        ("Failed to acquire lock on file .lock in logs", "data_in_use"),
        ("java.lang.NoClassDefFoundError: x", "broker_failed"),
    ],
)
def test_log_of_a_dead_broker_is_read(line: str, code: str) -> None:
    """The known ends of a broker have an error each."""
    assert settings.diagnosis(f"INFO starting\nERROR {line}\n") == code


@pytest.mark.parametrize("code", CATALOGUE)
def test_errors_speak_both_languages(code: str) -> None:
    """Each error gives the same facts in French and in English, and leaves no blank to fill."""
    entry = CATALOGUE[code]
    for text in entry:
        assert _fields(text.fr) == _fields(text.en)
    facts = {name: f"<{name}>" for text in entry for name in _fields(text.fr)}

    assert "{" not in str(EmbeddedError(code, **facts))


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}

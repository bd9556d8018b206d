"""How long a client is waited for, over real sockets: whoever sends or reads a byte now and then is ended, and others are answered."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from portal.serving import BACKLOG, OPEN_FILES
from portal.web.connection import PATIENCE, Patience
from tests.portal.api.raw import Raw, request
from tests.portal.api.serving import Served

SHORT = Patience(head_s=0.8, body_s=0.8, read_s=0.8, connections=400)
FLOOD_S = 5.0
"""While thousands connect at once the system may let one of ours try again, after one second and then two."""
SOON_S = 2.5
"""Longer than the patience above, on a machine that does other things too."""
HEAD = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:8600\r\nx-slow: " + b"a" * 10_000
SENT = b"POST /v1/token HTTP/1.1\r\nhost: 127.0.0.1:8600\r\ncontent-type: application/x-www-form-urlencoded\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("portal"), patience=SHORT).up() as up:
        yield up


def is_answered(served: Served, within_s: float = 1.5) -> None:
    began_s = time.monotonic()
    assert httpx.get(f"{served.url}/healthz", headers={"host": "127.0.0.1:8600"}, trust_env=False).text == "ok\n"
    assert time.monotonic() - began_s < within_s


@pytest.mark.parametrize(
    ("begun", "rest"),
    [
        (b"", b""),
        (b"", HEAD),
        (SENT + b"content-length: 1000\r\n\r\n", b"a" * 1000),
        (SENT + b"transfer-encoding: chunked\r\n\r\n", b"3e8\r\n" + b"a" * 1000),
        (SENT + b"expect: 100-continue\r\ncontent-length: 1000\r\n\r\n", b""),
    ],
    ids=["nothing", "a head", "a body", "a chunk", "a promise"],
)
def test_a_byte_now_and_then(served: Served, begun: bytes, rest: bytes) -> None:
    """Case 56: a connection that sends nothing, or a byte now and then of a head, a body, a chunk, is ended in time; others are answered
    meanwhile."""
    began_s = time.monotonic()
    slow = [Raw(served.port) for _ in range(30)]
    for one in slow:
        one.send(begun)
    is_answered(served)
    assert slow[0].ended_in_s(0.1, rest) < SOON_S and time.monotonic() - began_s > 0.3
    assert all(one.ended_in_s() < SOON_S for one in slow[1:])
    for one in slow:
        one.socket.close()


def test_a_slow_second_request(served: Served) -> None:
    """Case 56: the time of the next head runs from the end of the answer before it, whatever came meanwhile; a quick one is answered."""
    with Raw(served.port) as one:
        for _ in range(3):
            one.send(request("GET", "/healthz"))
            answer = one.answer()
            assert answer is not None and (answer.status, answer.body) == (200, b"ok\n")
            time.sleep(0.3)
        assert one.ended_in_s(0.1, HEAD) < SOON_S


def test_who_does_not_read(served: Served) -> None:
    """Case 56, the other way round: answers that nobody takes do not stay here."""
    asked = request("GET", "/v1/openapi.json")
    with Raw(served.port, receive_bytes=4096) as one:
        one.socket.setblocking(False)
        deadline_s = time.monotonic() + 30
        while time.monotonic() < deadline_s:  # until it takes no more, then until it is ended
            try:
                one.socket.send(asked * 20)
            except BlockingIOError:
                time.sleep(0.05)
            except OSError:
                break
        else:
            raise AssertionError("it was never ended")
        is_answered(served)


def test_who_comes_when_all_places_are_held(served: Served) -> None:
    """Case 56: whoever waits longest for its own head gives way to whoever comes; no request that has come is dropped for it."""
    held = [Raw(served.port) for _ in range(SHORT.connections)]
    is_answered(served)
    assert held[0].ended_in_s() < SOON_S
    for one in held:
        one.socket.close()


_IDLE = """
import socket, sys
held = []
for _ in range(int(sys.argv[2])):
    held.append(socket.create_connection(("127.0.0.1", int(sys.argv[1]))))
print(len(held), flush=True)
sys.stdin.read()
"""


def test_ten_thousand_idle_connections(tmp_path: Path) -> None:
    """Case 56: as many as the system allows, from a process of its own, with the portal's own patience: others are answered all the while,
    the portal holds no more of them than it wants to, and afterwards none."""
    wanted = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500)
    with Served(tmp_path).up() as served:
        before = open_files()
        argv = [sys.executable, "-c", _IDLE, str(served.port), str(wanted)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as idle:
            assert idle.stdout is not None and idle.stdin is not None
            time.sleep(0.5)
            is_answered(served, FLOOD_S)
            assert int(idle.stdout.readline()) == wanted
            is_answered(served, FLOOD_S)
            soon(lambda: open_files() <= before + PATIENCE.connections + 5)
            idle.stdin.close()
        soon(lambda: open_files() <= before + 5)
        is_answered(served)


def soon(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 5
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_the_portal_may_hold_what_it_wants_to() -> None:
    """The system is asked for as many files as are wanted, whatever the shell gave; that is more than there may be connections."""
    assert PATIENCE.connections + BACKLOG < OPEN_FILES
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    code = "import resource; from portal.serving import more_open_files; more_open_files(); print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    argv = ["bash", "-c", f"ulimit -Sn 256; exec {sys.executable} -c '{code}'"]
    soft = int(subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()[0])
    assert soft == min(hard, OPEN_FILES)


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())

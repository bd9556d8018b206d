"""Processes forked from one that has imported everything: each like one of its own, ended with us."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from exchange.embedded import process
from exchange.nursery import HERE, Forked, Nursery
from exchange.places import Places

pytestmark = pytest.mark.skipif(not HERE, reason="forks on Linux only")


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    made = Nursery(Places(tmp_path))
    yield made
    made.close()


def ran(nursery: Nursery, places: Places, *arguments: str) -> tuple[int, str]:
    """The exit code and the words of `accord <arguments>`, forked."""
    child = nursery.fork(arguments, places.log("one"))
    return child.wait(60), places.log("one").read_text("utf-8")


def sandbox(nursery: Nursery, places: Places) -> Forked:
    child = nursery.fork(("sandbox", "--json", "--data", str(places.root)), places.log("sandbox"))
    until(lambda: b"url" in places.log("sandbox").read_bytes() if places.log("sandbox").exists() else False)
    return child


def until(holds: object) -> None:
    assert callable(holds)
    deadline_s = monotonic() + 60
    while not holds():
        assert monotonic() < deadline_s
        sleep(0.02)


def test_a_fork_is_the_command(nursery: Nursery, tmp_path: Path) -> None:
    """Its exit code is the command's own, its words are in its own file, and one fork leaves nothing to the next."""
    places, asked = Places(tmp_path), ("ledger", "verify", "--json", "--data", str(tmp_path))
    apart = subprocess.run([sys.executable, "-m", "exchange.cli", *asked], capture_output=True, text=True, check=False)
    for _ in range(2):
        assert ran(nursery, places, *asked) == (apart.returncode, apart.stdout) and apart.returncode
    assert ran(nursery, places, "no-such-command")[0] == 2


def test_a_fork_ends_as_told(nursery: Nursery, tmp_path: Path) -> None:
    """SIGTERM is an orderly end, SIGKILL is told as one; a group of its own: neither reaches the others."""
    places = Places(tmp_path)
    first, second = sandbox(nursery, places), sandbox(nursery, places)
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0)
    process.stop(first, patience_s=60)
    assert first.poll() == 0 and second.poll() is None and os.getpgid(second.pid) == second.pid != first.pid
    process.kill(second)
    assert second.returncode == -signal.SIGKILL and nursery.alive


def test_who_wakes_pushes_nobody_off(nursery: Nursery, tmp_path: Path) -> None:
    """What is started and what is forked leaves its processor to who is at work; we ourselves are as we were."""
    forked = sandbox(nursery, Places(tmp_path))
    started = process.spawn(
        [sys.executable, "-c", "input()"], cwd=tmp_path, output=tmp_path / "log", death_signal=signal.SIGKILL, stdin=-1
    )
    try:
        assert [os.sched_getscheduler(child.pid) for child in (forked, started)] == [os.SCHED_BATCH] * 2
        assert os.sched_getscheduler(0) == os.SCHED_OTHER
    finally:
        process.kill(started)


def test_a_system_that_forbids_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system lets nobody choose how it is scheduled, a process starts all the same."""

    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", forbidden)
    child = process.spawn(
        [sys.executable, "-c", ""], cwd=tmp_path, output=tmp_path / "log", death_signal=signal.SIGKILL
    )
    assert child.wait(60) == 0


def test_forks_end_with_their_nursery(nursery: Nursery, tmp_path: Path) -> None:
    """Whoever ends it, what it forked is gone, and is told as ended; what is asked for later never starts."""
    child = sandbox(nursery, Places(tmp_path))
    pid = child.pid
    nursery.close()
    until(lambda: not process.command_line(pid))
    assert child.poll() == -signal.SIGKILL and not nursery.alive
    assert nursery.fork(("sandbox",), tmp_path / "late.log").wait(60) == -signal.SIGKILL
    assert not (tmp_path / "late.log").exists()


def test_a_nursery_has_one_thread_and_no_secret(nursery: Nursery, tmp_path: Path) -> None:
    """A fork of several threads would hold locks that nobody gives back; the ledger's KEK is in no environment but the ledger's."""
    pid = sandbox(nursery, Places(tmp_path)).pid
    parent = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    assert len(list(Path(f"/proc/{parent}/task").iterdir())) == 1


def test_the_ledgers_key_is_not_in_the_nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`ACCORD_KEK` reaches neither the nursery nor what it forks."""
    monkeypatch.setenv("ACCORD_KEK", "not-for-you")
    nursery = Nursery(Places(tmp_path))
    try:
        pid = sandbox(nursery, Places(tmp_path)).pid
        assert b"not-for-you" not in Path(f"/proc/{pid}/environ").read_bytes()
    finally:
        nursery.close()


def test_nothing_outlives_a_kill(tmp_path: Path) -> None:
    """`kill -9` of who has a nursery ends all that it forked."""
    code = (
        "import sys,time; from pathlib import Path; from exchange.nursery import Nursery; from exchange.places import Places\n"
        "places = Places(Path(sys.argv[1])); nursery = Nursery(places)\n"
        "print(nursery.fork(('sandbox', '--data', sys.argv[1]), places.log('sandbox')).pid, flush=True); time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    assert process.command_line(pid)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not process.command_line(pid))

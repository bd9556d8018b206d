"""Child processes that never outlive us.

A child gets its own process group, so that Ctrl-C in the terminal reaches us first, and on Linux a parent-death signal,
so that `kill -9` of us ends it too. That signal fires when the *thread* that started the child ends: each child is
therefore started, and waited for, by a thread of its own, whatever thread asked for it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Protocol

_PR_SET_PDEATHSIG = 1
_POLL_S = 0.02


class Child(Protocol):
    """A process to end: what we use of `subprocess.Popen`."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self, timeout: float | None = None) -> int: ...

    def terminate(self) -> None: ...


def spawn(
    argv: Sequence[str],
    *,
    cwd: Path,
    output: Path,
    death_signal: signal.Signals,
    niceness: int = 0,
    trusted: bool = False,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start `argv` in `cwd`, its outputs written to `output`. `death_signal` reaches it if we die. The ledger's KEK stays in the
    environment of who is `trusted` with it only. Raises OSError."""
    started: SimpleQueue[subprocess.Popen[bytes] | OSError] = SimpleQueue()
    prepare = tied_to_us(death_signal, niceness)

    def keep() -> None:
        try:
            with output.open("wb") as sink:
                child = subprocess.Popen(
                    argv,
                    cwd=cwd,
                    env=_clean_environment(trusted),
                    stdin=stdin,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    process_group=0,
                    preexec_fn=prepare,  # safe beside threads: it only makes system calls, and takes no lock of ours
                )
        except OSError as error:
            started.put(error)
            return
        started.put(child)
        child.wait()

    Thread(target=keep, name=f"keeper of {Path(argv[0]).name}", daemon=True).start()
    result = started.get()
    if isinstance(result, OSError):
        raise result
    return result


def stop(child: Child, *, patience_s: float) -> None:
    """SIGTERM, then SIGKILL of the whole group when `patience_s` is over; returns once the child is gone."""
    _signal_group(child.pid, signal.SIGTERM, child.poll() is None)
    try:
        child.wait(patience_s)
    except subprocess.TimeoutExpired:
        kill(child)
    except BaseException:  # a second Ctrl-C: no patience left, but still nothing left behind
        kill(child)
        raise


def kill(child: Child) -> None:
    """SIGKILL the whole group and wait."""
    _signal_group(child.pid, signal.SIGKILL, child.poll() is None)
    child.wait()


def stop_stranger(pid: int, *, patience_s: float) -> None:
    """End a process that is not our child: SIGTERM, then SIGKILL when `patience_s` is over."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        _signal_group(pid, sign, alive=True)
        if _gone_before(pid, time.monotonic() + patience_s):
            return


def command_line(pid: int) -> str:
    """The arguments of a live process joined by blanks; empty for a dead one or a zombie."""
    if Path("/proc/self").exists():
        with suppress(OSError):
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
            return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        return ""
    listing = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)
    return listing.stdout.decode(errors="replace").strip()


def _gone_before(pid: int, deadline_s: float) -> bool:
    while command_line(pid):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return True


def _signal_group(pid: int, sign: signal.Signals, alive: bool) -> None:
    if alive:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, sign)


def _clean_environment(trusted: bool) -> dict[str, str]:
    """Ours without what would change a JVM behind our back, nor what is none of the child's business."""
    withheld = {"CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"}
    withheld |= set() if trusted else {"ACCORD_KEK"}
    return {name: value for name, value in os.environ.items() if name not in withheld}


def tied_to_us(death_signal: signal.Signals, niceness: int = 0) -> Callable[[], None]:
    """What a fresh fork of ours calls first: `death_signal` reaches it when the thread that forked it ends.

    On Linux it lets who is at work finish a slice rather than push it off its processor when it wakes (`SCHED_BATCH`, sched(7)): a record
    wakes eight processes one after the other, and work pushed off half done is done twice as late (ADR 0049)."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    parent = os.getpid()

    def prepare() -> None:
        if niceness:
            os.nice(niceness)
        if libc is not None:
            with suppress(OSError):  # a system that forbids it is slower, not wrong
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
            libc.prctl(_PR_SET_PDEATHSIG, int(death_signal))
            if os.getppid() != parent:  # we died between the fork and the prctl
                os._exit(1)

    return prepare

"""Processes that share their imports. To import what a role needs costs a process a second; on Linux one process, the nursery, imports it
once and is forked for each role: a bus starts in a third of the CPU-seconds, and restarts a role at once.

The nursery holds no key, opens no file, has one thread and never runs an event loop: a fork of it is a process as if just started. Like
any child of ours (`embedded.process`) it ends with us, and what it forked ends with it.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from threading import Lock
from time import monotonic

from exchange.caches import keep_bytecode
from exchange.embedded import process
from exchange.places import Places

HERE = sys.platform == "linux"
"""Elsewhere a fork without an exec is not safe beside the system's libraries, and a parent's death is not told."""
IMPORTED = ("exchange.roles", "exchange.journal.store", "exchange.connector_process", "exchange.cli.ledger", "exchange.cli.roles",
            "exchange.cli.connector", "connectors.rest.access", "connectors.sdk.providers", "httpcore", "anyio._backends._asyncio", "uvicorn.loops.auto",
            "uvicorn.protocols.http.auto", "sqlalchemy.dialects.sqlite", "portal.process")  # fmt: skip
"""What the roles of a bus need, the libraries that others import late included."""
_MESSAGE_BYTES = 1 << 16


class Forked:
    """A process forked by a nursery; what of `subprocess.Popen` a keeper of processes needs. It exists once the nursery has imported."""

    def __init__(self, nursery: Nursery, number: int) -> None:
        self._nursery, self._number = nursery, number

    @property
    def pid(self) -> int:
        self._nursery.listen(lambda: self._number in self._nursery.pids, None)
        return self._nursery.pids.get(self._number, 0)

    @property
    def returncode(self) -> int | None:
        return self._nursery.codes.get(self._number, self._nursery.code)

    def poll(self) -> int | None:
        self._nursery.listen(lambda: False, 0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, a signal's number negative; `subprocess.TimeoutExpired` after `timeout` s."""
        self._nursery.listen(lambda: self.returncode is not None, timeout)
        if (code := self.returncode) is None:
            raise subprocess.TimeoutExpired("fork", timeout or 0)
        return code

    def terminate(self) -> None:
        if self.poll() is None and self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)


class Nursery:
    """Our side: asks for forks, hears of their ends. The bus's data directory is named on its command line."""

    def __init__(self, places: Places) -> None:
        self.pids: dict[int, int] = {}
        self.codes: dict[int, int] = {}
        self.code: int | None = None
        """The exit code of all that was forked, once the nursery itself has ended."""
        self._asked, self._lock = 0, Lock()
        self._link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            argv, output = [sys.executable, "-m", "exchange.nursery", str(places.root)], places.log("nursery")
            places.run.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._child = process.spawn(
                argv, cwd=Path.cwd(), output=output, death_signal=signal.SIGKILL, stdin=theirs.fileno()
            )

    @property
    def alive(self) -> bool:
        return self.code is None and self._child.poll() is None

    def fork(self, arguments: Sequence[str], output: Path) -> Forked:
        """The process `accord <arguments>`, its outputs written to `output`. Returns at once."""
        self._asked += 1
        with suppress(OSError):  # it has ended: so has, then, what it was asked for
            self._link.send(json.dumps((self._asked, list(arguments), str(output))).encode())
        return Forked(self, self._asked)

    def listen(self, enough: Callable[[], bool], timeout_s: float | None) -> None:
        """Hear what the nursery tells until `enough()` holds, it has ended, or the time is over."""
        end_s = None if timeout_s is None else monotonic() + timeout_s
        with self._lock:
            while self.code is None and not enough():
                self._link.settimeout(None if end_s is None else max(0.0, end_s - monotonic()))
                try:
                    told = self._link.recv(_MESSAGE_BYTES)
                except (TimeoutError, BlockingIOError):
                    return
                except OSError:
                    told = b""
                if not told:
                    self.code = -signal.SIGKILL
                    return
                number, pid, code = json.loads(told)
                self.pids[number] = pid
                if code is not None:
                    self.codes[number] = code

    def close(self) -> None:
        """End it, and what it forked with it."""
        process.kill(self._child)
        self._link.close()
        self.code = self.code if self.code is not None else -signal.SIGKILL


def start_nursery(places: Places) -> Nursery | None:
    """One for the bus over this data directory, where this system allows it."""
    return Nursery(places) if HERE else None


def _serve(link: socket.socket) -> list[str]:
    """Fork what is asked for, until the asker is gone: SystemExit. Returns in the fork only: what it shall do."""
    numbers: dict[int, int] = {}

    def reap(*_: object) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = found
                link.send(json.dumps((numbers.pop(pid), pid, os.waitstatus_to_exitcode(status))).encode())

    signal.signal(signal.SIGCHLD, reap)
    while asked := link.recv(_MESSAGE_BYTES):
        number, arguments, output = json.loads(asked)
        prepare = process.tied_to_us(signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # its number is known before its end is told
        if not (pid := os.fork()):
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
            prepare()
            _become(output)
            return ["accord", *arguments]
        numbers[pid] = number
        link.send(json.dumps((number, pid, None)).encode())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    raise SystemExit


def _become(output: str) -> None:
    """A group of its own, nothing to read, its words to its own file."""
    os.setpgid(0, 0)
    with open(os.devnull, "rb") as nothing, open(output, "wb") as sink:
        os.dup2(nothing.fileno(), 0)
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)


def main() -> None:
    keep_bytecode()
    gc.disable()  # nothing of what is imported is ever garbage
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    gc.enable()
    from exchange.cli import main as accord

    sys.argv = _serve(socket.socket(fileno=os.dup(0)))
    accord()


if __name__ == "__main__":
    main()

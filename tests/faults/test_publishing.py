"""A public folder that fails: each system call of a publication is made to fail once, at each place where it is made."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from consent import publish
from tests.faults.tracing import needs_strace, spread, traced
from tests.logs import Entries, files, valid

WRITES = ("write", "openat", "fsync", "rename", "mkdir", "fchmod", "chmod")
OLD, NEW = 250, 520
ENTRIES = Entries(NEW)
REFUSED = 9


def publishing(folder: Path) -> Callable[[], Callable[[], None]]:
    """The longer log, for a process of its own: it ends with `REFUSED` if it could not be published."""

    def act() -> None:
        try:
            publish.publish(folder, ENTRIES, [ENTRIES.checkpoint(NEW)])
        except OSError:
            os._exit(REFUSED)

    return lambda: act


@needs_strace
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC])
def test_every_system_call_of_a_publication_may_fail(memory: Path, tmp_path: Path, error: int) -> None:
    """The folder is a whole log at every moment, the older one or the newer; the newer one if it was told; published again, the files
    are those of a publication that never failed; what may be left over are older partial tiles."""
    publish.publish(tmp_path / "old", ENTRIES, [ENTRIES.checkpoint(OLD)])
    shutil.copytree(tmp_path / "old", tmp_path / "log")
    before = set(files(tmp_path / "old"))
    ended = traced(publishing(tmp_path / "log"), tmp_path / "trace", ",".join(WRITES))
    assert (ended.ended, valid(tmp_path / "log")) == (0, NEW)
    assert {"write", "openat", "fsync", "rename"} <= set(ended.calls)
    expected = files(tmp_path / "log")
    tries = [(call, place) for call in WRITES for place in range(1, ended.calls[call] + 1)]

    def share(memory: Path, tries: Sequence[tuple[str, int]]) -> int:
        folder, injected = memory / "log", 0
        for call, place in tries:
            shutil.copytree(tmp_path / "old", folder)
            inject = f"{call}:error={errno.errorcode[error]}:when={place}"
            ended = traced(publishing(folder), memory / "trace", call, inject=inject)
            assert ended.ended in (0, REFUSED), inject
            assert valid(folder) == NEW if ended.ended == 0 else valid(folder) in (OLD, NEW)
            publish.publish(folder, ENTRIES, [ENTRIES.checkpoint(NEW)])
            found = files(folder)
            assert {name: found[name] for name in expected} == expected, inject
            assert {name for name in found if not name.endswith(".part")} <= set(expected) | before, inject
            shutil.rmtree(folder)
            injected += ended.injected
        return injected

    assert spread(tries, share, memory) == len(tries)
    print(f"{errno.errorcode[error]}: {len(tries)} places")

"""`kill -9` of the ledger: before each write and each sync of its commits."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from tests.faults.story import Story
from tests.faults.test_syscalls import places
from tests.faults.tracing import needs_strace, spread, traced


@needs_strace
def test_killed_at_every_commit_point(story: Story, memory: Path, tmp_path: Path) -> None:
    """Whatever it was doing: every fact is whole or absent, what was told holds and is told again word for word, uses are the releases
    in the log, and each request has one outcome in the end."""
    tries = places(story, tmp_path / "trace", ("fdatasync", "ftruncate", "pwrite64"))

    def share(folder: Path, tries: Sequence[tuple[str, int]]) -> int:
        own, killed = story.moved(folder), 0
        for call, place in tries:
            own.begin()
            inject = f"{call}:signal=KILL:when={place}"
            ended = traced(own.work, folder / "trace", call, inject=inject, paths=own.files)
            assert ended.ended == -signal.SIGKILL, inject
            own.hold()
            killed += 1
        return killed

    assert spread(tries, share, memory) == len(tries)
    print(f"KILL: {len(tries)} places")

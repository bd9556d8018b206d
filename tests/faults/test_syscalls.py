"""Disks that fail: each system call by which the ledger writes is made to fail once, at each place where it is made."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults.story import Story
from tests.faults.tracing import needs_strace, spread, traced

READS, WRITES = ("pread64",), ("pwrite64", "fdatasync", "ftruncate", "openat", "fsync", "unlink")
"""What SQLite calls on the store, its log and its index while it appends; those it never calls have no place to fail."""


def places(story: Story, trace: Path, names: Sequence[str]) -> list[tuple[str, int]]:
    """Each place where one of these calls is made when nothing fails."""
    ended = traced(story.work, trace, ",".join(names), paths=story.files)
    assert (ended.ended, ended.injected) == (0, 0)
    story.hold()
    return [(call, place) for call in names for place in range(1, ended.calls[call] + 1)]


@needs_strace
@pytest.mark.parametrize(("error", "names"), [(errno.EIO, READS + WRITES), (errno.ENOSPC, WRITES)])
def test_every_system_call_of_an_append_may_fail(
    story: Story, memory: Path, tmp_path: Path, error: int, names: Sequence[str]
) -> None:
    """What was acknowledged is there after reopening, what was refused is there whole or not at all, the log verifies, every head told
    is a prefix of it, and asking again completes the story once. Each failure is seen in the trace."""
    tries = places(story, tmp_path / "trace", names)
    assert {"pwrite64", "fdatasync", "ftruncate"} <= {call for call, _ in tries}

    def share(folder: Path, tries: Sequence[tuple[str, int]]) -> int:
        own, injected = story.moved(folder), 0
        for call, place in tries:
            own.begin()
            inject = f"{call}:error={errno.errorcode[error]}:when={place}"
            ended = traced(own.work, folder / "trace", call, inject=inject, paths=own.files)
            assert ended.ended == 0, inject
            own.hold()
            injected += ended.injected
        return injected

    assert spread(tries, share, memory) == len(tries)
    print(f"{errno.errorcode[error]}: {len(tries)} places")

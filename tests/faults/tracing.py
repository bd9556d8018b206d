"""Running work in a process of its own under strace, which makes one of its system calls fail or kills it there.

The process is forked from the tests' own, so that thousands of faults do not each pay for the imports. It opens what it works on
first; strace is attached before it goes on. A call that is not traced is not injected either: each trace says what it did.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import shutil
import subprocess
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

import pytest

_SET_PTRACER, _ANY = 0x59616D61, -1
_CALL = re.compile(r"^\d+ +(\w+)\(.*$", re.MULTILINE)

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace is not installed: no system call is made to fail"
)

T = TypeVar("T")
Work = Callable[[], Callable[[], None]]
"""Opens what is worked on, and gives the work."""


class Traced(NamedTuple):
    """How the process ended (as `os.waitstatus_to_exitcode`), its calls by name, how many of them were tampered with."""

    ended: int
    calls: Counter[str]
    injected: int


def traced(work: Work, trace: Path, calls: str, *, inject: str = "", paths: tuple[Path, ...] = ()) -> Traced:
    """`calls` and `inject` as strace takes them (`pwrite64,fsync`, `fsync:error=EIO:when=3`); only calls about `paths`, if any."""
    gate, go = os.pipe()
    opened, told = os.pipe()
    child = os.fork()
    if child == 0:
        _work(work, gate, told)
    os.close(gate)
    os.close(told)
    os.read(opened, 1)
    argv = ["strace", "-f", "-o", str(trace), "-e", f"trace={calls}"]
    argv += ["-e", f"inject={inject}"] if inject else []
    argv += [word for path in paths for word in ("-P", str(path))]
    with subprocess.Popen([*argv, "-p", str(child)], stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        line = strace.stderr.readline()
        while line and "attached" not in line:
            line = strace.stderr.readline()
        os.write(go, b".")
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        strace.stderr.read()
    for descriptor in (go, opened):
        os.close(descriptor)
    assert line, "strace did not attach"
    text = trace.read_text(errors="replace")
    return Traced(ended, Counter(_CALL.findall(text)), text.count("(INJECTED)") + text.count("(DELAYED)"))


def spread(tries: Sequence[T], share: Callable[[Path, Sequence[T]], int], memory: Path) -> int:
    """The tries, shared between as many processes as there are processors; the sum of what each share gives. AssertionError with what
    went wrong in any of them."""
    count = os.cpu_count() or 1
    pipes = [_forked(share, memory, tries[place::count]) for place in range(count)]
    total, wrong = 0, ""
    for child, pipe in pipes:
        with os.fdopen(pipe) as file:
            told = file.read()
        os.waitpid(child, 0)
        total, wrong = (total + int(told), wrong) if told.isdecimal() else (total, wrong + told)
    assert not wrong, wrong
    return total


def _forked(share: Callable[[Path, Sequence[T]], int], memory: Path, tries: Sequence[T]) -> tuple[int, int]:
    """A process and where it tells its sum, or its traceback."""
    read, write = os.pipe()
    child = os.fork()
    if child:
        os.close(write)
        return child, read
    gc.freeze()
    try:
        with TemporaryDirectory(dir=memory) as folder:
            told = str(share(Path(folder), tries))
    except BaseException:
        told = traceback.format_exc()
    os.write(write, told.encode()[-4_000:])
    os._exit(0)


def _work(work: Work, gate: int, told: int) -> None:
    """In the child: never returns to the tests."""
    gc.disable()
    try:
        ctypes.CDLL(None).prctl(_SET_PTRACER, _ANY, 0, 0, 0)
        act = work()
        os.write(told, b".")
        os.read(gate, 1)
        act()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(99)

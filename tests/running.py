"""`accord dev` as its users start it, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def left_behind(folder: Path) -> list[str]:
    return [command for _, command in processes(folder)]


def processes(folder: Path) -> list[tuple[int, str]]:
    """Live processes whose command line names the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command and int(process.name) != os.getpid():
            found.append((int(process.name), command))
    return found


@contextmanager
def running(folder: Path, *options: str, **env: str) -> Iterator[dict[str, Any]]:
    """A bus kept up by `accord dev`, ended by Ctrl-C, leaving nothing."""
    argv = [sys.executable, "-m", "exchange.cli", "dev", "--json", "--data", str(folder), *options]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=os.environ | env)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGINT)
        ended = process.wait(60)
    assert ended == 0
    assert left_behind(folder) == []

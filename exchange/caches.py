"""What Accord keeps for itself between runs, outside any data directory: downloads, compiled modules."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_home() -> Path:
    """Where it is: `ACCORD_CACHE`, else `XDG_CACHE_HOME/accord`, else `~/.cache/accord`."""
    if chosen := os.environ.get("ACCORD_CACHE"):
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "accord"


def keep_bytecode() -> None:
    """Where Python may not write compiled modules beside their sources (`PYTHONDONTWRITEBYTECODE`), this process and those it starts keep
    them here: to compile all of them anew costs each process two thirds of its start. Only in a folder that nobody else may write to:
    what lies there is run."""
    if not sys.dont_write_bytecode or sys.pycache_prefix:
        return
    folder = cache_home() / "bytecode"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        seen = folder.stat()
    except OSError:
        return
    if seen.st_uid != os.getuid() or seen.st_mode & 0o022:
        return
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = str(folder)
    sys.dont_write_bytecode = False

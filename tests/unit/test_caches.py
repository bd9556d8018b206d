"""Compiled modules are kept where Python may write, and run from nowhere that others may write to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def helped(cache: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """`accord --help` under these settings."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    settings |= {"ACCORD_CACHE": str(cache), **more}
    argv = [sys.executable, "-m", "exchange.cli", "--help"]
    return subprocess.run(argv, env=settings, capture_output=True, text=True, timeout=120, check=True)


def compiled(folder: Path) -> int:
    return len(list(folder.rglob("*.pyc")))


def test_kept_where_python_may_not_write(tmp_path: Path) -> None:
    """Told to leave no compiled module beside the sources, a command leaves them in the cache, in its owner's folder alone."""
    helped(tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert compiled(tmp_path / "bytecode") > 10
    assert (tmp_path / "bytecode").stat().st_mode & 0o077 == 0


def test_not_kept_twice(tmp_path: Path) -> None:
    """Where Python has a place of its own, it is Python's."""
    helped(tmp_path / "cache", PYTHONPYCACHEPREFIX=str(tmp_path / "own"))
    assert compiled(tmp_path / "own") > 10 and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("mode", [0o777, 0o720, 0o702])
def test_never_where_others_write(tmp_path: Path, mode: int) -> None:
    """A folder that another may write to is not used: what lies there would be run."""
    (tmp_path / "bytecode").mkdir()
    (tmp_path / "bytecode").chmod(mode)
    helped(tmp_path, PYTHONDONTWRITEBYTECODE="1")
    assert compiled(tmp_path) == 0


def test_an_unusable_cache_is_no_error(tmp_path: Path) -> None:
    """A cache that cannot be made only costs time."""
    (tmp_path / "file").write_text("")
    helped(tmp_path / "file", PYTHONDONTWRITEBYTECODE="1")

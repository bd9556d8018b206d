"""Advisory file locks between processes (`flock`): freed by the kernel when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def acquire(path: Path, *, wait: bool) -> int | None:
    """Lock `path` (made if missing) and give the descriptor that holds it, or None if another holds it and not `wait`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class InUse(Exception):
    """Another live process owns this folder, or the database of this name."""

    def __init__(self, folder: Path | str) -> None:
        super().__init__(str(folder))
        self.folder = folder


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own `folder` (made if missing, mode 0700) for the block; `InUse` if somebody does already."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = acquire(folder / ".owner.lock", wait=False)
    if descriptor is None:
        raise InUse(folder)
    try:
        yield
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold `path` locked for the block, waiting as long as it takes."""
    descriptor = acquire(path, wait=True)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)

"""Secrets in files: each one whole or not at all, mode 0600, in directories of mode 0700."""

from __future__ import annotations

import os
from pathlib import Path

PART = ".new"


class BadKeyFile(Exception):
    """A secret that is absent, that others can read, of the wrong size, or that does not open. Names the file, never its bytes."""


def read_or_make(path: Path, size_bytes: int = 32) -> bytes:
    """A secret of `size_bytes`, made at random if the file is absent."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, os.urandom(size_bytes))
    secret = read(path)
    if len(secret) != size_bytes:
        raise BadKeyFile(f"{path.name}: {len(secret)} bytes instead of {size_bytes}")
    return secret


def read(path: Path) -> bytes:
    """The bytes of a file that is its owner's alone; BadKeyFile otherwise."""
    try:
        if path.stat().st_mode & 0o077:
            raise BadKeyFile(f"{path.name}: readable by others (chmod 600)")
        return path.read_bytes()
    except FileNotFoundError:
        raise BadKeyFile(f"{path.name}: absent") from None


def write(path: Path, secret: bytes) -> None:
    """Durable on return; in place of what was there."""
    part = path.with_name(path.name + PART)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync(path.parent)


def replace(path: Path, secret: bytes) -> None:
    """As `write`; what was there is overwritten as in `destroy`."""
    with path.open("r+b") as old:
        write(path, secret)
        _blank(old.fileno())


def destroy(path: Path) -> None:
    """Overwritten, then gone. A disk that keeps old blocks (copy on write, wear levelling) may still have them: protocol §8 row 9."""
    with path.open("r+b") as old:
        _blank(old.fileno())
    path.unlink()
    sync(path.parent)


def sync(directory: Path) -> None:
    """Names made or removed in a directory are durable on return."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _blank(fd: int) -> None:
    os.pwrite(fd, bytes(os.fstat(fd).st_size), 0)
    os.fsync(fd)

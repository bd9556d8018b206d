"""Packages of npm, taken by its own client in the one version whose hash we have written down. They are files to us: nothing of them runs."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from exchange.core.errors import Code
from exchange.ports import Refused

FETCH_S = 300.0
FILE_MAX_BYTES = 64 << 20
_INSIDE = "package/"


class Locked(NamedTuple):
    """One version of a package, and what its archive must be: npm's own `integrity`, `sha512-` and base64."""

    package: str
    version: str
    licence: str
    integrity: str


def read_lock(path: Path) -> Locked:
    """The package a file of ours names."""
    return Locked(**tomllib.loads(path.read_text("utf-8"))["package"])


def fetch(locked: Locked, folder: Path) -> Path:
    """The package's archive, in this empty folder. Refused: `npm_absent`, or `package_unavailable` where it cannot be had, or is another."""
    npm = shutil.which("npm")
    if npm is None:
        raise Refused(Code.NPM_ABSENT)
    argv = [
        npm,
        "pack",
        f"{locked.package}@{locked.version}",
        "--ignore-scripts",
        "--silent",
        "--pack-destination",
        str(folder),
    ]
    try:
        subprocess.run(argv, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=FETCH_S, check=True)
        (archive,) = folder.glob("*.tgz")
    except (OSError, subprocess.SubprocessError, ValueError):
        raise Refused(Code.PACKAGE_UNAVAILABLE) from None
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode("ascii")
    if f"sha512-{digest}" != locked.integrity:
        raise Refused(Code.PACKAGE_UNAVAILABLE)
    return archive


def unpack(archive: Path, placed: Callable[[str], str | None], folder: Path) -> list[str]:
    """Write what `placed` gives a place to, by its name in the package, and nothing else; the places written. Refused `package_unavailable` for a place
    outside the folder, or a file too large to be one of ours."""
    written = []
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            place = (member.isfile() and placed(member.name.removeprefix(_INSIDE))) or ""
            source = members.extractfile(member) if place else None
            if source is None:
                continue
            if not _inside(place) or member.size > FILE_MAX_BYTES:
                raise Refused(Code.PACKAGE_UNAVAILABLE)
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_bytes(source.read())
            written.append(place)
    return written


def _inside(place: str) -> bool:
    path = PurePosixPath(place)
    return not path.is_absolute() and ".." not in path.parts

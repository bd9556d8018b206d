"""The jars of Apache Kafka, present and whole in a cache of the user's.

The lock (`kafka.lock.toml`) names each jar with its sha256 and size. jgo knows how a Maven repository is laid out and
which one to ask; the bytes come through one `httpx.AsyncClient`, because jgo opens a TLS context for each file, writes
under the final name and takes a wrong hash for a warning.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path

import httpx

from exchange.caches import cache_home
from exchange.embedded.errors import EmbeddedError
from exchange.locks import exclusive

Progress = Callable[[int, int], None]
"""Called with (done_bytes, total_bytes); first with (0, total), only when something is downloaded."""

KAFKA_VERSION = "4.3.0"
LOCK = Path(__file__).with_name("kafka.lock.toml")
_STAMP = "stamp.json"
_AT_ONCE = 8
_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class Jar:
    """One line of the lock: Maven coordinates, sha256 in hexadecimal, size."""

    group: str
    artifact: str
    version: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


class _WrongBytes(Exception):
    """What the repository sent is not what the lock names."""


_FAILURES = (httpx.HTTPError, httpx.InvalidURL, _WrongBytes)


def locked() -> tuple[Jar, ...]:
    """The jars of the lock, in its order."""
    entries = tomllib.loads(LOCK.read_text("utf-8"))["dependencies"]
    return tuple(Jar(e["groupId"], e["artifactId"], e["version"], e["sha256"], e["size_bytes"]) for e in entries)


def kafka_cache() -> Path:
    """The folder of the jars of this version of Kafka."""
    return cache_home() / f"kafka-{KAFKA_VERSION}"


def classpath(cache: Path) -> str:
    """The jars in one fixed order: the JVM's AOT cache is tied to it."""
    return os.pathsep.join(str(cache / name) for name in sorted(jar.name for jar in locked()))


def ensure(
    cache: Path, progress: Progress | None = None, *, thorough: bool = False, repository: str | None = None
) -> bool:
    """Make every locked jar present and whole in `cache`; True when something had to be downloaded.

    Warm, it compares sizes and times with a stamp (1 ms). When they differ, or when `thorough`, every sha256 is
    computed and what is wrong is downloaded again. Blocking: from a coroutine, go through `asyncio.to_thread`.
    `repository` is a Maven base URL (default: `ACCORD_MAVEN`, else jgo's own).
    Errors: no_network, jar_corrupted, disk_full, cache_unusable. Processes may call it at once.
    """
    jars = locked()
    if not thorough and _stamped(cache, jars):
        return False
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with exclusive(cache / ".lock"):
            if not thorough and _stamped(cache, jars):
                return False
            return _mend(cache, jars, progress, repository or os.environ.get("ACCORD_MAVEN"))
    except OSError as error:
        if error.errno == ENOSPC:
            raise disk_full(cache, _total(jars)) from error
        if all(_whole(cache / jar.name, jar) for jar in jars):  # a read-only copy, in an image say, whose times changed
            return False
        raise EmbeddedError("cache_unusable", path=cache, detail=error.strerror or error) from error


def disk_full(folder: Path, need_bytes: int) -> EmbeddedError:
    """The error for a disk that cannot take `need_bytes` more."""
    free_bytes = shutil.disk_usage(folder).free
    return EmbeddedError("disk_full", path=folder, free_mib=free_bytes >> 20, need_mib=max(1, need_bytes >> 20))


def _mend(cache: Path, jars: tuple[Jar, ...], progress: Progress | None, repository: str | None) -> bool:
    for stale in cache.glob("*.part"):
        stale.unlink(missing_ok=True)
    wrong = [jar for jar in jars if not _whole(cache / jar.name, jar)]
    if wrong:
        if shutil.disk_usage(cache).free < _total(wrong):
            raise disk_full(cache, _total(wrong))
        for outdated in cache.glob("*.aot"):
            outdated.unlink(missing_ok=True)
        asyncio.run(_fetch(cache, wrong, progress or (lambda _done, _total: None), repository))
    _write_stamp(cache, jars)
    return bool(wrong)


def _total(jars: tuple[Jar, ...] | list[Jar]) -> int:
    return sum(jar.size_bytes for jar in jars)


def _whole(path: Path, jar: Jar) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == jar.sha256
    except FileNotFoundError:
        return False


def _facts(cache: Path, jars: tuple[Jar, ...]) -> dict[str, list[int | str]]:
    stats = {jar: (cache / jar.name).stat() for jar in jars}
    return {jar.name: [jar.sha256, stat.st_size, stat.st_mtime_ns] for jar, stat in stats.items()}


def _stamped(cache: Path, jars: tuple[Jar, ...]) -> bool:
    try:
        return bool(json.loads((cache / _STAMP).read_bytes()) == _facts(cache, jars))
    except (OSError, ValueError):
        return False


def _write_stamp(cache: Path, jars: tuple[Jar, ...]) -> None:
    part = cache / f"{_STAMP}.part"
    part.write_text(json.dumps(_facts(cache, jars)), "utf-8")
    part.replace(cache / _STAMP)


def _urls(jars: list[Jar], cache: Path, repository: str | None) -> dict[Jar, str]:
    from jgo.maven import MavenContext  # half a second to import, needed only to download

    maven = MavenContext(repo_cache=cache)
    base = (repository or next(iter(maven.remote_repos.values()))).rstrip("/")
    artifacts = {jar: maven.project(jar.group, jar.artifact).at_version(jar.version).artifact() for jar in jars}
    return {jar: f"{base}/{a.component.path_prefix.as_posix()}/{a.filename}" for jar, a in artifacts.items()}


async def _fetch(cache: Path, jars: list[Jar], progress: Progress, repository: str | None) -> None:
    urls, received, total_bytes = _urls(jars, cache, repository), dict.fromkeys(jars, 0), _total(jars)
    gate = asyncio.Semaphore(_AT_ONCE)
    progress(0, total_bytes)

    async def one(client: httpx.AsyncClient, jar: Jar) -> None:
        def advance(got_bytes: int) -> None:
            received[jar] = got_bytes
            progress(sum(received.values()), total_bytes)

        async with gate:
            await _download_twice(client, urls[jar], jar, cache, advance)

    async with httpx.AsyncClient(timeout=httpx.Timeout(30, connect=10), follow_redirects=True) as client:
        await asyncio.gather(*(one(client, jar) for jar in jars))


async def _download_twice(
    client: httpx.AsyncClient, url: str, jar: Jar, cache: Path, advance: Callable[[int], None]
) -> None:
    try:
        try:
            await _download(client, url, jar, cache, advance)
        except _FAILURES:
            await _download(client, url, jar, cache, advance)
    except _FAILURES as error:
        damaged = isinstance(error, _WrongBytes) or (cache / jar.name).exists()
        answer = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else ""
        detail = f"HTTP {answer}" if answer else str(error) or type(error).__name__
        if damaged:
            raise EmbeddedError("jar_corrupted", name=jar.name, path=cache / jar.name, detail=detail) from error
        raise EmbeddedError("no_network", path=cache, detail=detail) from error


async def _download(client: httpx.AsyncClient, url: str, jar: Jar, cache: Path, advance: Callable[[int], None]) -> None:
    """Stream to a `.part` file while hashing; only whole, synced and proven bytes get the jar's name."""
    part, digest, got_bytes = cache / f"{jar.name}.part", hashlib.sha256(), 0
    try:
        with part.open("wb") as file:
            async with client.stream("GET", url) as answer:
                answer.raise_for_status()
                async for block in answer.aiter_bytes(_BLOCK_BYTES):
                    got_bytes += len(block)
                    if got_bytes > jar.size_bytes:
                        break
                    digest.update(block)
                    file.write(block)
                    advance(got_bytes)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        if digest.hexdigest() != jar.sha256 or got_bytes != jar.size_bytes:
            raise _WrongBytes("sha256")
        part.replace(cache / jar.name)
    finally:
        part.unlink(missing_ok=True)

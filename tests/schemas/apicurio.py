"""A real Apicurio Registry 3.3.3, from Maven Central, on the same JRE as the embedded broker; its files in the user's cache.

A test's own: 151 MiB, fetched once. Both of its ports listen on loopback; its store is in memory.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from exchange.caches import cache_home
from exchange.embedded import probe, process
from exchange.embedded.node import java
from exchange.locks import exclusive

VERSION = "3.3.3"
SHA256 = "8bc6751c76d963734224b01d5e7f84ccb3cb61c87d3bd77c36c35f10a5cbed63"
READY_S = 90.0
_JVM = ("-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


class NotFetched(Exception):
    """The archive is not there and cannot be fetched, or is not the one that was tried."""


def installed() -> Path:
    """The folder of the unpacked registry, fetched and proven where it is not there yet. Raises NotFetched."""
    home = cache_home() / f"apicurio-{VERSION}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(home.with_name(f"{home.name}.lock")):
        if not (home / "quarkus-run.jar").exists():
            _unpack(_archive(home.with_name(f"{home.name}.part")), home)
    return home


def _archive(folder: Path) -> Path:
    from jgo.maven import MavenContext

    mirror = os.environ.get("ACCORD_MAVEN")
    maven = MavenContext(repo_cache=folder, **({"remote_repos": {"mirror": mirror}} if mirror else {}))
    artifact = maven.project("io.apicurio", "apicurio-registry-app").at_version(VERSION).artifact("all", "tar.gz")
    try:
        path = Path(artifact.resolve())
    except Exception as error:  # jgo says it in many ways
        raise NotFetched(type(error).__name__) from error
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != SHA256:
            path.unlink()
            raise NotFetched("sha256")
    return path


def _unpack(archive: Path, home: Path) -> None:
    fresh = home.with_name(f"{home.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    with tarfile.open(archive) as bundle:
        bundle.extractall(fresh)  # what its SHA-256 says is in it; `filter` came with Python 3.11.4
    fresh.rename(home)
    shutil.rmtree(home.with_name(f"{home.name}.part"))


@contextmanager
def running(work: Path) -> Iterator[str]:
    """A registry for the block, empty, given as the URL of its Confluent API. Raises NotFetched."""
    home = installed()
    port = probe.free_port()
    management = probe.free_port({port})
    listen = {
        "http.host": probe.LOOPBACK,
        "http.port": port,
        "management.host": probe.LOOPBACK,
        "management.port": management,
    }
    options = [f"-Dquarkus.{name}={value}" for name, value in listen.items()]
    argv = [java(), *_JVM, *options, "-jar", str(home / "quarkus-run.jar")]
    child = process.spawn(argv, cwd=work, output=work / "apicurio.log", death_signal=signal.SIGKILL)
    try:
        _wait(child, f"http://{probe.LOOPBACK}:{port}", work / "apicurio.log")
        yield f"http://{probe.LOOPBACK}:{port}/apis/ccompat/v7"
    finally:
        process.stop(child, patience_s=15)


def _wait(child: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline_s = time.monotonic() + READY_S
    while True:
        try:
            if httpx.get(f"{url}/apis/registry/v3/system/info").is_success:
                return
        except httpx.HTTPError:
            pass
        if child.poll() is not None or time.monotonic() > deadline_s:
            raise RuntimeError(log.read_text("utf-8", "replace")[-2000:])
        time.sleep(0.1)

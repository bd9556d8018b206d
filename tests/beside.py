"""Processes beside this one, as the system tells of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path


def said_of(pid: int, what: str) -> bytes:
    """Nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/{what}").read_bytes()
    except FileNotFoundError:
        return b""


def beside_of(module: str) -> set[int]:
    """Children of this process that run `module`."""
    found = set[int]()
    for path in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        found |= {int(pid) for pid in path.read_text(encoding="ascii").split()}
    return {pid for pid in found if module.encode() in said_of(pid, "cmdline")}


async def until(true: Callable[[], object]) -> None:
    """TimeoutError if it never is."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.01)

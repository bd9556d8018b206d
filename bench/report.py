"""The one form of every bench's result: who was measured, how they compare, and whether each target is met. Values only, but for
`load_1m`, `machine` and `versions`, which ask the system.

    before = load_1m()
    …                                                      # at least three turns, the contenders one after the other
    ours, limit = Contender("gate", GATE, middle(gates)), Contender("echo", ECHO, middle(echoes))
    ratios = {"gate_to_echo": ratio(ours.figures["per_s"], limit.figures["per_s"])}
    targets = (at_least("gate_to_echo", ("portier / écho", "gate / echo"), ratios["gate_to_echo"], 0.6),)
    return Result("gate", TITLE, sizes, repeat, (ours, limit), ratios, targets, machine(before), versions())
"""

from __future__ import annotations

import os
import platform
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from exchange.embedded.jars import KAFKA_VERSION

Words = tuple[str, str]
"""French, English."""
Say = Callable[[str, str], None]
"""What is being done, in French and in English."""
Figures = dict[str, float | None]
"""Name with its unit last (`per_s`, `per_cpu_s`, `p50_ms`, `rss_bytes`…) → value; None where the system does not tell."""
_LIBRARIES = ("aiokafka", "cryptography", "faust-streaming", "pynacl", "sqlalchemy")


@dataclass(frozen=True)
class Contender:
    """Who was measured, `at` which size where there are several (0: there is one); medians."""

    name: str
    label: Words
    figures: Figures
    at: int = 0


@dataclass(frozen=True)
class Target:
    """A bound on a figure. `met` is None where it was not measured: neither kept nor missed."""

    name: str
    label: Words
    found: float | None
    limit: float
    at_least: bool
    met: bool | None


@dataclass(frozen=True)
class Machine:
    """Where it ran; the load is that of the last minute, before and after."""

    cores: int
    cpu: str
    memory_bytes: int
    system: str
    load_1m: tuple[float, float]


@dataclass(frozen=True)
class Result:
    """One bench, one run. `remarks` say what was not measured, and why."""

    bench: str
    title: Words
    sizes: dict[str, int | str]
    repeat: int
    contenders: tuple[Contender, ...]
    ratios: Figures
    targets: tuple[Target, ...]
    machine: Machine
    versions: dict[str, str]
    remarks: tuple[Words, ...] = ()

    def figures(self, name: str, at: int = 0) -> Figures:
        """Of one contender; empty if it was not measured."""
        return next((c.figures for c in self.contenders if (c.name, c.at) == (name, at)), {})

    def target(self, name: str) -> Target:
        return next(target for target in self.targets if target.name == name)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints and a file holds."""
        plain: dict[str, Any] = short(msgspec.to_builtins(self))
        return plain


def at_least(name: str, label: Words, found: float | None, limit: float) -> Target:
    return Target(name, label, found, limit, True, None if found is None else found >= limit)


def at_most(name: str, label: Words, found: float | None, limit: float) -> Target:
    return Target(name, label, found, limit, False, None if found is None else found <= limit)


def ratio(ours: float | None, theirs: float | None) -> float | None:
    """None where either was not measured."""
    return ours / theirs if ours is not None and theirs else None


def middle(turns: Sequence[Figures]) -> Figures:
    """The median of each figure over the turns that have it."""
    names = list(dict.fromkeys(name for turn in turns for name in turn))
    seen = {name: [value for turn in turns if (value := turn.get(name)) is not None] for name in names}
    return {name: median(values) if values else None for name, values in seen.items()}


def latencies(seen_ms: Sequence[float]) -> Figures:
    """The centiles of many durations in ms, each one that was seen (nearest rank)."""
    ordered = sorted(seen_ms)
    return {f"p{p}_ms": ordered[max(ceil(len(ordered) * p / 100), 1) - 1] for p in (50, 90, 99)}


def read(path: Path) -> Result:
    """A result that was written. `msgspec.ValidationError` if it is none."""
    return msgspec.json.decode(path.read_bytes(), type=Result)


def write(path: Path, result: Result) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result.as_json()), indent=2) + b"\n")


def load_1m() -> float:
    return os.getloadavg()[0]


def machine(before: float) -> Machine:
    """The one this process runs on, now; `before` is its load when the bench began."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    system = f"{platform.system()} {platform.release()}"
    return Machine(os.cpu_count() or 1, _cpu(), memory_bytes, system, (round(before, 2), round(load_1m(), 2)))


def _cpu() -> str:
    """Linux names the model in /proc; elsewhere the architecture has to do."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def versions(**more: str) -> dict[str, str]:
    """What was measured with; `more` for what only one bench knows (`java`, `postgresql`…)."""
    ours = {"python": platform.python_version(), "kafka": KAFKA_VERSION, "sqlite": sqlite3.sqlite_version}
    return ours | {name: version(name) for name in _LIBRARIES} | more


def short(value: Any) -> Any:
    """Built-in values with their numbers whole from a thousand on, three digits after the point below: more would be noise."""
    match value:
        case dict():
            return {name: short(inner) for name, inner in value.items()}
        case list() | tuple():
            return [short(inner) for inner in value]
        case float():
            return round(value) if abs(value) >= 1000 else round(value, 3)
    return value

"""Running a bench as a person does, and what every result holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from bench.report import Result, read


def bench(folder: Path, *argv: str) -> Result:
    """`accord bench … --json` in a process: one object, the same in the file asked for, and nothing left behind."""
    out = folder / "result.json"
    done = subprocess.run(
        [sys.executable, "-m", "exchange.cli", "bench", *argv, "--json", "--out", str(out)],
        capture_output=True, text=True, timeout=250, check=False, env=os.environ | {"TMPDIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    assert json.loads(line) == json.loads(out.read_text("utf-8"))
    assert list(folder.glob("accord-bench-*")) == []
    assert [p for p in Path("/proc").glob("[0-9]*") if str(folder) in _command(p)] == []
    found = read(out)
    assert found.as_json() == json.loads(line)
    assert all(t.met is None or t.met == (t.found >= t.limit if t.at_least else t.found <= t.limit)
               for t in found.targets if t.found is not None)  # fmt: skip
    return found


def _command(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""

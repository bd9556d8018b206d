"""The sandbox as a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

SERVED = """
import os, signal
from connectors.sandbox import Sandbox
Sandbox([]).serve(lambda _: os.kill(os.getpid(), signal.{name}))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_that_comes_as_soon_as_it_listens_ends_it(name: str) -> None:
    """Whoever reads the address may end it at once: in order, without a trace back."""
    done = subprocess.run(
        [sys.executable, "-c", SERVED.format(name=name)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

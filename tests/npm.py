"""Packages of npm that a test needs, fetched once into the user's cache."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from exchange.caches import cache_home
from exchange.locks import exclusive


def modules(name: str, packages: Mapping[str, str], why: str) -> Path:
    """The folder that holds `node_modules`. Without Node or the network the test is skipped, saying `why`; in CI (`ACCORD_CI`) it fails."""
    if not (shutil.which("node") and shutil.which("npm")):
        _without(f"Node is not here: {why}")
    home = cache_home() / f"{name}-{next(iter(packages.values()))}"
    home.mkdir(parents=True, exist_ok=True)
    with exclusive(home / ".lock"):
        if not (home / "whole").exists():
            (home / "package.json").write_text("{}")
            wanted = [f"{package}@{version}" for package, version in packages.items()]
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--silent", "--fetch-retries=1"]
            if subprocess.run(
                ["npm", "install", *options, *wanted], cwd=home, capture_output=True, check=False
            ).returncode:
                _without(f"npm cannot fetch {name}: {why}")
            (home / "whole").touch()
    return home


def _without(reason: str) -> None:
    if os.environ.get("ACCORD_CI"):
        pytest.fail(reason)
    pytest.skip(reason)

"""Where things lie in the data directory of a bus."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SOCKET_PATH_MAX = 100
"""A Unix socket's path holds about 107 bytes, whatever the file system says."""


@dataclass(frozen=True, slots=True)
class Places:
    """The parts of a data directory."""

    root: Path

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def store(self) -> Path:
        return self.root / "ledger" / "ledger.db"

    @property
    def ledger_keys(self) -> Path:
        return self.root / "ledger" / "keys"

    @property
    def trust(self) -> Path:
        return self.root / "trust.json"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def address(self) -> Path:
        """Where a running bus says how to reach it."""
        return self.run / "bus.json"

    @property
    def socket(self) -> Path:
        path = self.run / "ledger.sock"
        if len(os.fsencode(path)) <= _SOCKET_PATH_MAX:
            return path
        name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"accord-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid() or folder.stat().st_mode & 0o077:
            raise PermissionError(f"{folder}: not ours alone")
        return folder / f"{name}.sock"

    def connector(self, provider: str) -> Path:
        return self.root / "connectors" / provider

    def collectivity(self, recipient: str) -> Path:
        return self.root / "collectivities" / recipient

    @property
    def token(self) -> Path:
        """The State API's bearer token, mode 0600: never in argv."""
        return self.run / "state-api.token"

    def log(self, name: str) -> Path:
        return self.run / f"{name}.log"

    def traces(self, name: str) -> Path:
        return self.root / "traces" / f"{name}.jsonl"

    def ready(self, name: str) -> Path:
        return self.run / f"{name}.ready"

    def announce(self, path: Path, **facts: Any) -> None:
        """Write a small JSON file, whole or not at all."""
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(facts), encoding="utf-8")
        part.replace(path)

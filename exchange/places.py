"""Where things lie in the data directory of a bus."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from exchange.ports import Unavailable

ROLES = ("gate", "release", "deadline", "retries", "journal")
"""What a worker may do."""

_SOCKET_PATH_MAX = 100
"""A Unix socket's path holds about 107 bytes, whatever the file system says."""


class RoleFailed(Exception):
    """A process of the bus ended before it was ready. Says which, and where its log is."""

    def __init__(self, name: str, log: Path) -> None:
        super().__init__(f"{name}: {log}")
        self.name, self.log = name, log


@dataclass(frozen=True, slots=True)
class Places:
    """The parts of a data directory. `database` is the URL of the ledger's store where it is not the file `store`."""

    root: Path
    database: str = field(default="", repr=False)

    @property
    def broker(self) -> Path:
        return self.root / "broker"

    @property
    def store(self) -> Path:
        return self.root / "ledger" / "ledger.db"

    @property
    def journal(self) -> Path:
        """The access log: a database of its own, which the journal role of a worker writes."""
        return self.root / "journal" / "journal.db"

    @property
    def portal(self) -> Path:
        """What the portal keeps of its own: sessions, clients, webhooks."""
        return self.root / "portal" / "portal.db"

    @property
    def identity(self) -> Path:
        """Secrets of our accounts at identity providers, and of the sandbox that stands in for them."""
        return self.root / "identity"

    @property
    def ledger_keys(self) -> Path:
        return self.root / "ledger" / "keys"

    @property
    def dsfr(self) -> Path:
        """The State's design system, and who declared that they may use it."""
        return self.root / "themes" / "dsfr"

    @property
    def issuers(self) -> Path:
        """The identity providers whose word a grant needs (`consent.issuers`); absent: nothing is granted."""
        return self.root / "issuers.json"

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
    def broker_ready(self) -> Path:
        """Where a starting bus says that its broker and topics are there."""
        return self.run / "kafka.ready"

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

    def facade_token(self, recipient: str) -> Path:
        """What a collectivity's software shows its façade, mode 0600."""
        return self.collectivity(recipient) / "facade.token"

    @property
    def token(self) -> Path:
        """The State API's bearer token, mode 0600: never in argv."""
        return self.run / "state-api.token"

    def log(self, name: str) -> Path:
        return self.run / f"{name}.log"

    def traces(self, name: str) -> Path:
        return self.root / "traces" / f"{name}.jsonl"

    def health(self, provider: str) -> Path:
        """What a provider's connector last saw of its State API."""
        return self.run / f"{provider}.health.json"

    def ready(self, name: str) -> Path:
        return self.run / f"{name}.ready"

    def announce(self, path: Path, **facts: Any) -> None:
        """Write a small JSON file, whole or not at all."""
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps(facts), encoding="utf-8")
        part.replace(path)

    def awaited(self, path: Path, timeout_s: float = 60.0) -> dict[str, str]:
        """What a starting bus announces in a file, once it is there; `Unavailable` if it does not come. Blocks."""
        deadline_s = monotonic() + timeout_s
        while not path.exists():
            if monotonic() > deadline_s:
                raise Unavailable(path.name)
            sleep(0.02)
        found: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def running(self) -> dict[str, str]:
        """How to reach the bus that runs over this data directory; `Unavailable` if none does."""
        try:
            found: dict[str, str] = json.loads(self.address.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise Unavailable("no bus is running here") from None
        return found

    def page(self, path: str) -> str:
        """The address of a page of the portal that runs over this data directory; empty where none does."""
        try:
            portal = self.running().get("portal", "")
        except Unavailable:
            return ""
        return portal and f"{portal}{path}"

"""Settings, from the environment (`ACCORD_…`): every command's options default to these."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange.places import Places

RECIPIENT = "21130055300016"
"""The demonstration's collectivity (SIRET); its operator is itself (SIREN)."""


def _home() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "accord"


class Settings(BaseSettings):
    """One value each, typed; an unknown `ACCORD_` variable is left alone, other tools may have theirs."""

    model_config = SettingsConfigDict(env_prefix="ACCORD_", extra="ignore")

    data: Path = _home()
    """Data directory of the bus."""
    kafka: str = "embedded"
    """`embedded`, `testcontainers`, or host:port of a broker."""
    origin: str = "accord.local/dev"
    """Origin of the ledger's log."""
    recipient: str = RECIPIENT
    """SIRET of the collectivity a command acts for."""
    operator: str = ""
    """SIREN of its operator; empty: the collectivity itself."""
    state_api_url: str = ""
    """Base URL of the State API; empty: the sandbox of a running bus."""
    state_api_token_file: Path | None = None
    """File holding its bearer token."""
    traces: bool = True
    """Whether spans are written to `traces/` in the data directory."""

    def places(self, data: Path | None = None) -> Places:
        return Places((data or self.data).absolute())

    def operator_of(self, recipient: str) -> str:
        return self.operator or recipient[:9]

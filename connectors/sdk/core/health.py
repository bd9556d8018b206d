"""The health of a provider, as API Particulier tells it on `/api/{provider}/ping`: `{status, last_update, last_ok_status}`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal, NamedTuple

from connectors.contract import Failure, Reading, Retry
from connectors.sdk.core.circuit import MAINTENANCE, answered

Status = Literal["ok", "bad_gateway", "maintenance", "unknown"]
STALE_MS = 600_000


class Health(NamedTuple):
    """What the last call or ping showed; times in ms since 1970, 0 for never."""

    status: Status = "unknown"
    updated_ms: int = 0
    ok_ms: int = 0

    def seen(self, status: Status, now_ms: int) -> Health:
        return Health(status, now_ms, now_ms if status == "ok" else self.ok_ms)

    def document(self, now_ms: int) -> dict[str, str | None]:
        """The State's own shape; `unknown` once nothing was seen for ten minutes."""
        stale = now_ms - self.updated_ms > STALE_MS
        return {
            "status": "unknown" if stale else self.status,
            "last_update": _time(self.updated_ms),
            "last_ok_status": _time(self.ok_ms),
        }


def status_of(reading: Reading) -> Status:
    """What one call shows of the provider."""
    if answered(reading):
        return "ok"
    maintained = isinstance(reading, Retry | Failure) and reading.code.endswith(MAINTENANCE)
    return "maintenance" if maintained else "bad_gateway"


def _time(ms: int) -> str | None:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds") if ms else None

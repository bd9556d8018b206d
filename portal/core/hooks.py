"""Webhooks: what is sent, how it is signed (Standard Webhooks 1.0), when it is tried again, and when it is given up for now."""

from __future__ import annotations

import base64
import hmac
import json
from typing import Any, NamedTuple

from consent.core.facts import Outcome
from exchange.core.rendering import rfc3339
from portal.core.views import Told, code_of, event_type

SECRET_PREFIX = "whsec_"  # noqa: S105  # how secrets of Standard Webhooks begin
SECRET_BYTES = 32
PAUSED = "webhook.paused"
"""Told to the address given for it."""
FAILURES_MAX = 5
BACKOFF_S = (5, 30, 120, 600)
"""How long after each failure in a row it is tried again; after the fifth it is paused until somebody resumes it."""


class Standing(NamedTuple):
    """Where a webhook is: failures in a row, when to try next, and whether it is paused."""

    failures: int = 0
    next_ms: int = 0
    paused: bool = False

    def after(self, delivered: bool, now_ms: int) -> Standing:
        """After one more try."""
        if delivered:
            return Standing()
        failures = self.failures + 1
        if failures >= FAILURES_MAX:
            return Standing(failures, 0, True)
        return Standing(failures, now_ms + 1000 * BACKOFF_S[failures - 1], False)


def shown_secret(secret: bytes) -> str:
    """The secret as its owner is told it, once."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signature(secret: bytes, message_id: str, at_s: int, body: bytes) -> str:
    """`webhook-signature`: HMAC-SHA256 over id, time and body."""
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


def headers(secret: bytes, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """What goes with a body."""
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": signature(secret, message_id, at_s, body),
    }


def body_of(told: Told, at_ms: int) -> bytes:
    """What the bus told, as a webhook tells it: ids and codes only."""
    data = {"request": told.key.request.hex(), "code": code_of(told)}
    if isinstance(told, Outcome):
        data |= {"delivery": told.delivery, "reason": told.reason, "provider_code": told.provider_code}
    return written(event_type(told), at_ms, data)


def written(kind: str, at_ms: int, data: dict[str, Any]) -> bytes:
    """A body in its one form."""
    return json.dumps({"type": kind, "timestamp": rfc3339(at_ms), "data": data}, separators=(",", ":")).encode()

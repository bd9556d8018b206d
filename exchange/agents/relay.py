"""The ledger's outbox to `consent.events.v1`, with a heartbeat: a gate that hears nothing for 5 s trusts no memory.

A heartbeat says: all that changed before it has been told. So none is sent while there is more to tell.
"""

from __future__ import annotations

from exchange import wire
from exchange.core.topics import CONSENT_EVENTS
from exchange.ports import Clock, Ledger, Message, Outbox

HEARTBEAT_MS = 1_000
LIMIT = 1_000


class Relay:
    """Publishes what the ledger says has changed. Two relays at once do no harm: events carry versions."""

    def __init__(self, ledger: Ledger, outbox: Outbox, clock: Clock, after: int = 0) -> None:
        """`after` is the last sequence number known to be published."""
        self._ledger, self._outbox, self._clock, self._after, self._beat_ms = (
            ledger,
            outbox,
            clock,
            after,
            -HEARTBEAT_MS,
        )

    async def tick(self) -> None:
        events = await self._ledger.events(self._after, LIMIT)
        now_ms = self._clock.now_ms()
        messages = [_event("changed", e.authorisation, e.version, e.state, e.at_ms, e.sequence) for e in events]
        if len(events) < LIMIT and now_ms - self._beat_ms >= HEARTBEAT_MS:
            messages.append(_event("heartbeat", bytes(16), 0, "", now_ms, self._after))
            self._beat_ms = now_ms
        if messages:
            await self._outbox.send({(CONSENT_EVENTS, 0): messages})
        if events:
            self._after = events[-1].sequence


def _event(kind: str, authorisation: bytes, version: int, state: str, at_ms: int, sequence: int) -> Message:
    body = {
        "kind": kind,
        "authorisation_id": authorisation,
        "version": version,
        "state": state,
        "at_ms": at_ms,
        "sequence": sequence,
    }
    return wire.message("consent-event", authorisation, wire.write("consent-event", body), f"{kind}-{sequence}")

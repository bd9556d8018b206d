"""The journal: who asked what, when, and what became of it. Kept apart from the ledger, without content, for 12 months."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from exchange import wire
from exchange.agents.base import Outgoing, Quiet
from exchange.core.heads import BadRequest, read_head
from exchange.core.topics import ALL_OUTCOMES, ALL_REQUESTS, JOURNAL, VERDICTS, operator_of
from exchange.ports import Outbox, Record
from exchange.schemas import catalogue

_NOTHING = {"recipient": "", "data_set": "", "purpose": "", "code": "", "reason": ""}


class Journal(Quiet):
    """Reads what passes and writes one line for each step."""

    name = "journal"
    topics = (ALL_REQUESTS, VERDICTS, ALL_OUTCOMES)

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._prefix = catalogue().prefix("exchange-request")

    async def handle(self, chunk: Sequence[Record]) -> None:
        outgoing = Outgoing(self._outbox)
        for record in chunk:
            try:
                body = self._line(record)
            except (BadRequest, wire.BadBytes):
                continue  # gate or release buries it
            place = {
                "at_ms": record.timestamp,
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
            }
            value = wire.write("journal-entry", _NOTHING | body | place)
            outgoing.add(
                JOURNAL, record, wire.message("journal-entry", body["request_id"], value, body["request_id"].hex())
            )
        await outgoing.send()

    def _line(self, record: Record) -> dict[str, Any]:
        if record.topic == VERDICTS:
            verdict = wire.read_verdict(record)
            return _told("judged", verdict.key.request, verdict.key.operator, verdict.code, verdict.reason)
        if record.topic.startswith("outcomes."):
            outcome = wire.read_outcome(record)
            return _told("ended", outcome.key.request, outcome.key.operator, outcome.code, outcome.reason)
        head = read_head(record.value, self._prefix)
        ask = wire.read_ask(head.ask)
        known = {"recipient": ask.recipient, "data_set": ask.data_set, "purpose": ask.purpose} if ask else {}
        if not (operator := operator_of(record.topic)):
            raise BadRequest  # a topic that is nobody's
        return {"step": "requested", "request_id": head.request, "operator": operator.encode(), **known}


def _told(step: str, request: bytes, operator: str, code: str, reason: str) -> dict[str, Any]:
    return {"step": step, "request_id": request, "operator": operator.encode(), "code": code, "reason": reason}

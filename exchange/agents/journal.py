"""The journal: who asked what, when, and what became of it. Kept apart from the ledger, without content, for 12 months.

Each step goes to the journal's own store, which the commands read and purge, and to `journal.v1`, for whoever collects logs
elsewhere. What is on the topic names no agreement: others than the bus read it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from consent.core.facts import Waiting
from exchange import wire
from exchange.agents.base import UNHURRIED_S, Outgoing, Quiet
from exchange.core.decision import Ask
from exchange.core.heads import BadRequest, read_head
from exchange.core.topics import ALL_OUTCOMES, ALL_REQUESTS, JOURNAL, VERDICTS, operator_of
from exchange.journal.store import Line, Purge
from exchange.ports import Clock, Message, Outbox, Record
from exchange.schemas import catalogue

PURGE_POLL_MS = 3_600_000
_CODE = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
_SIRET = re.compile(r"\d{14}", re.ASCII)


class Store(Protocol):
    """Where lines are kept: `exchange.journal.store.JournalStore`."""

    async def add(self, lines: Sequence[Line]) -> None: ...

    async def purge_due(self, now_ms: int) -> Purge | None: ...


class Journal(Quiet):
    """Reads what passes and writes one line for each step."""

    name = "journal"
    topics = (ALL_REQUESTS, VERDICTS, ALL_OUTCOMES)
    patience_s, together = UNHURRIED_S, True

    def __init__(self, outbox: Outbox, store: Store, clock: Clock) -> None:
        self._outbox, self._store, self._clock = outbox, store, clock
        self._prefix = catalogue().prefix("exchange-request")
        self._look_ms = 0

    async def handle(self, chunk: Sequence[Record]) -> None:
        outgoing, lines = Outgoing(self._outbox), []
        for record in chunk:
            try:
                line = self._line(record)
            except BadRequest:
                continue  # the gate buries it
            except wire.BadBytes as bad:
                if record.topic != VERDICTS:  # release buries those
                    outgoing.bury(record, bad.code)
                continue
            if line is not None:
                lines.append(line)
                outgoing.add(JOURNAL, record, _told(line))
        await self._store.add(lines)
        await outgoing.send()

    async def tick(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if now_ms >= self._look_ms:
            self._look_ms = now_ms + PURGE_POLL_MS
            await self._store.purge_due(self._clock.now_ms())

    def _line(self, record: Record) -> Line | None:
        """None for what is no step: an answer that waits."""
        place = (record.topic, record.partition, record.offset)
        if record.topic == VERDICTS:
            verdict = wire.read_verdict(record)
            origin, key = wire.read("verdict", record.value)["origin"], verdict.key
            return Line("judged", record.timestamp, key.operator, "", origin, key.request, key.authorisation, "", "", verdict.code,
                        verdict.reason, *place)  # fmt: skip
        if record.topic.startswith("outcomes."):
            outcome = wire.read_told(record)
            if isinstance(outcome, Waiting):
                return None
            key = outcome.key
            return Line("ended", record.timestamp, key.operator, "", "release", key.request, key.authorisation, "", "", outcome.code,
                        outcome.reason, *place)  # fmt: skip
        head = read_head(record.value, self._prefix)
        if not (operator := operator_of(record.topic)):
            raise BadRequest  # a topic that is nobody's
        recipient, data_set, purpose = _asked(wire.read_ask(head.ask))
        return Line("requested", record.timestamp, operator, recipient, "operator", head.request, head.authorisation, data_set, purpose,
                    "", "", *place)  # fmt: skip


def _asked(ask: Ask | None) -> tuple[str, str, str]:
    """Recipient, data set and purpose, each where it has the shape of one: a caller's free words could name somebody."""
    if ask is None:
        return "", "", ""
    return (
        ask.recipient if _SIRET.fullmatch(ask.recipient) else "",
        ask.data_set if _CODE.fullmatch(ask.data_set) else "",
        ask.purpose if _CODE.fullmatch(ask.purpose) else "",
    )


def _told(line: Line) -> Message:
    body = {
        name: getattr(line, name) for name in ("step", "at_ms", "recipient", "data_set", "purpose", "code", "reason")
    }
    body |= {"topic": line.topic, "partition": line.partition, "offset": line.offset}
    body |= {"request_id": line.request, "operator": line.operator.encode()}
    return wire.message("journal-entry", line.request, wire.write("journal-entry", body), line.request.hex())

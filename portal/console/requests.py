"""Requests as the journal, the traces, the ledger and the topics tell them."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from consent.core.told import WORDS
from exchange.core.errors import CATALOGUE, Code
from exchange.journal.store import Filter, JournalStore, Line
from exchange.ports import Unavailable
from portal.core.timeline import spans_of
from portal.parts import Parts

RECENT, LINES = 25, 400
TAIL_BYTES = 4 << 20
"""Of each process's spans, what is looked at: the last hours of a sandbox, the last minutes of a busy bus."""


async def recent(parts: Parts) -> list[dict[str, Any]]:
    """The last requests the journal knows, the newest first; none where this machine keeps no journal."""
    lines = await _journal(parts, Filter(), LINES)
    asked = {line.request: line for line in lines if line.step == "requested"}
    ended = {line.request: line for line in lines if line.step == "ended"}
    last = sorted(asked.values(), key=lambda line: -line.at_ms)[:RECENT]
    return [_summary(line, ended.get(line.request)) for line in last]


def _summary(line: Line, end: Line | None) -> dict[str, Any]:
    return {
        "id": line.request.hex(),
        "at_ms": line.at_ms,
        "operator": line.operator,
        "recipient": line.recipient,
        "data_set": line.data_set,
        "purpose": line.purpose,
        "code": end.code if end else "",
        "reason": end.reason if end else "",
        "took_ms": end.at_ms - line.at_ms if end else None,
    }


async def one(parts: Parts, request: bytes) -> dict[str, Any] | None:
    """One request's life: what was asked, each step, the spans of its trace, its leaf. None where the journal does not know it."""
    lines = await _journal(parts, Filter(request=request), LINES)
    first = next((line for line in lines if line.step == "requested"), None)
    if first is None:
        return None
    end = next((line for line in lines if line.step == "ended"), None)
    spans = await asyncio.to_thread(lambda: spans_of(_tails(parts.places.root / "traces"), request.hex()))
    held = (await parts.ledger.lookup([first.authorisation]))[0]
    leaves = [entry for entry in await parts.ledger.entries(first.authorisation) if entry.request == request]
    waiting = [
        each for each in await parts.ledger.previews([first.authorisation]) if each.submission.key.request == request
    ]
    return _summary(first, end) | {
        "authorisation": first.authorisation.hex(),
        "state": held.state.value if held else "",
        "steps": [_step(line) for line in lines],
        "spans": [span._asdict() for span in spans],
        "leaves": [
            {
                "index": entry.index,
                "kind": entry.kind,
                "at_ms": entry.at_ms,
                "text": list(WORDS.get(entry.kind, (entry.kind,) * 2)),
            }
            for entry in leaves
        ],
        "awaits_person_until_ms": waiting[0].deadline_ms if waiting else None,
    }


def _step(line: Line) -> dict[str, Any]:
    entry = CATALOGUE.get(Code(line.reason)) if line.reason in set(Code) else None
    texts = (
        {"cause_fr": entry.cause_fr, "cause_en": entry.cause_en, "todo_fr": entry.todo_fr, "todo_en": entry.todo_en}
        if entry
        else {}
    )
    place = {"topic": line.topic, "partition": line.partition, "offset": line.offset}
    return (
        {"step": line.step, "at_ms": line.at_ms, "origin": line.origin, "code": line.code, "reason": line.reason}
        | place
        | {"texts": texts}
    )


async def note(parts: Parts, line: Line) -> None:
    """One line more in this machine's journal, if it keeps one."""
    if parts.places.journal.exists():
        with closing(JournalStore(parts.places.journal)) as store:
            await store.add([line])


async def _journal(parts: Parts, wanted: Filter, limit: int) -> list[Line]:
    def read() -> list[Line]:
        if not parts.places.journal.exists():
            return []
        with closing(JournalStore(parts.places.journal)) as store:
            return list(store.show(wanted, limit))

    return await asyncio.to_thread(read)


def _tails(folder: Path) -> Iterator[list[str]]:
    for file in sorted(folder.glob("*.jsonl")):
        try:
            with file.open("rb") as found:
                found.seek(max(0, found.seek(0, os.SEEK_END) - TAIL_BYTES))
                yield io.TextIOWrapper(found, encoding="utf-8", errors="replace").readlines()
        except OSError as error:
            raise Unavailable(type(error).__name__) from None

"""Dead letters, and sending one's bytes again to where they came from: by the operator, once, and noted."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import Column, Engine, Integer, String, Table, select
from sqlalchemy.dialects.sqlite import insert

from exchange import wire
from exchange.core.errors import CATALOGUE, Code
from exchange.core.topics import DEAD_LETTERS
from exchange.journal.store import Line
from exchange.ports import Message, Record, Refused
from portal.console import records, requests
from portal.parts import Parts
from portal.store import metadata

SHOWN = 50

retried = Table(
    "retried", metadata, Column("topic", String, primary_key=True), Column("partition", Integer, primary_key=True),
    Column("offset", Integer, primary_key=True), Column("by", String, nullable=False), Column("at_ms", Integer, nullable=False),
)  # fmt: skip
"""What was sent again, by whom. A row comes first, the bytes after: a crash between the two sends nothing, never twice."""


class Place(NamedTuple):
    """Where the bytes nobody could use lay."""

    topic: str
    partition: int
    offset: int


async def listed(parts: Parts) -> list[dict[str, Any]]:
    """The last dead letters, the newest first; a letter that is itself unreadable is passed over. Raises `Unavailable`."""
    done = _done(parts.store)
    letters = await records.latest(parts.reader, DEAD_LETTERS, SHOWN)
    return [shown for letter in letters if (shown := _shown(letter, done)) is not None]


def _shown(letter: Record, done: dict[Place, tuple[str, int]]) -> dict[str, Any] | None:
    try:
        body = wire.read("dead-letter", letter.value)
    except wire.BadBytes:
        return None
    place = Place(body["topic"], body["partition"], body["offset"])
    by, at_ms = done.get(place, ("", None))
    entry = CATALOGUE[Code(body["reason"])] if body["reason"] in set(Code) else None
    texts = {"cause_fr": entry.cause_fr, "cause_en": entry.cause_en} if entry else {}
    told = {"reason": body["reason"], "at_ms": body["at_ms"], "size_bytes": body["size_bytes"], "texts": texts}
    return place._asdict() | told | {"retried_by": by, "retried_ms": at_ms, "letter": records.place_of(letter)}


def _done(store: Engine) -> dict[Place, tuple[str, int]]:
    with store.connect().execution_options(reading=True) as connection:
        rows = connection.execute(select(retried)).all()
    return {Place(row.topic, row.partition, row.offset): (row.by, row.at_ms) for row in rows}


async def retry(parts: Parts, place: Place, by: str) -> None:
    """Send the record again: key, bytes and headers as they were, to the partition they came from. `Refused` `retry_impossible` where it is
    no dead letter of ours, was sent again already, or is no longer kept; `Unavailable`."""
    known = {(letter["topic"], letter["partition"], letter["offset"]) for letter in await listed(parts)}
    record = await records.at(parts.reader, *place) if place in known else None
    if record is None or parts.outbox is None:
        raise Refused(Code.RETRY_IMPOSSIBLE)
    if not _claimed(parts, place, by):
        raise Refused(Code.RETRY_IMPOSSIBLE)
    message = Message(record.key, record.value or b"", [(name, value) for name, value in record.headers])
    await parts.outbox.send({(place.topic, place.partition): [message]})
    await requests.note(parts, _line(parts, place))


def _claimed(parts: Parts, place: Place, by: str) -> bool:
    row = place._asdict() | {"by": by, "at_ms": parts.clock.now_ms()}
    with parts.store.begin() as connection:
        return bool(connection.execute(insert(retried).values(row).on_conflict_do_nothing()).rowcount)


def _line(parts: Parts, place: Place) -> Line:
    now_ms = parts.clock.now_ms()
    return Line("retried", now_ms, "", "", "operator", b"", b"", "", "", "retried", "", *place)

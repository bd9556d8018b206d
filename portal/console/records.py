"""Records as they lie on topics, read in no group, and what of them may be shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exchange.core.avro import BadAvro
from exchange.core.frame import BadFrame, unframe
from exchange.ports import Record
from exchange.schemas import UnknownSchema, catalogue
from exchange.sdk import ReaderFactory
from portal.core.masking import Field, fields_of

HEADERS = frozenset({"ce_type", "ce_specversion", "ce_source", "ce_id", "content-type", "traceparent"})


async def latest(reader: ReaderFactory, topic: str, count: int) -> list[Record]:
    """The last records of a topic, `count` a partition at most, the newest first. Raises `Unavailable`."""
    ends = await _ends(reader, topic)
    begins = {partition: max(0, end - count) for partition, end in ends.items()}
    found = await _read(reader, topic, begins, ends)
    return sorted(found, key=lambda record: (-record.timestamp, record.partition, -record.offset))


async def at(reader: ReaderFactory, topic: str, partition: int, offset: int) -> Record | None:
    """The record at a place; None where there is none, or no longer. Raises `Unavailable`."""
    ends = await _ends(reader, topic)
    if not 0 <= offset < ends.get(partition, 0):
        return None
    found = await _read(reader, topic, ends | {partition: offset}, ends | {partition: offset + 1})
    return next((record for record in found if (record.partition, record.offset) == (partition, offset)), None)


async def _ends(reader: ReaderFactory, topic: str) -> dict[int, int]:
    async with reader(topic, {}) as looking:
        return await looking.end_offsets()


async def _read(reader: ReaderFactory, topic: str, begins: Mapping[int, int], ends: Mapping[int, int]) -> list[Record]:
    """What lies from `begins` to `ends` (excluded); no longer than records keep coming."""
    found, waited = list[Record](), {partition for partition, begin in begins.items() if begin < ends[partition]}
    async with reader(topic, begins) as reading:
        while waited and (chunks := await reading.next()):
            for chunk in chunks:
                partition = chunk[0].partition
                found += [record for record in chunk if record.offset < ends[partition]]
                if chunk[-1].offset >= ends[partition] - 1:
                    waited.discard(partition)
    return found


def place_of(record: Record) -> dict[str, Any]:
    """Where a record lies, and when the broker took it."""
    place = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return place | {"at_ms": record.timestamp, "size_bytes": len(record.value or b"")}


def told(record: Record) -> dict[str, Any]:
    """A record decoded with its own schema, masked: the schema's name and id, the fields, the headers that say nothing of anybody."""
    schema, schema_id, shown = _decoded(record.value)
    headers = [[name, value.decode("ascii", "replace")] for name, value in record.headers if name in HEADERS]
    return place_of(record) | {
        "key": (record.key or b"").hex() if len(record.key or b"") == 16 else "",
        "schema": schema,
        "schema_id": schema_id,
        "fields": [field.as_json() for field in shown],
        "headers": headers,
    }


def _decoded(value: bytes | None) -> tuple[str, int, list[Field]]:
    try:
        schema_id, datum = unframe(value)
        subject, body = catalogue().subject(schema_id), catalogue().codec_by_id(schema_id).decode(datum)
    except (BadFrame, BadAvro, UnknownSchema):
        return "", 0, []
    if isinstance(body.get("ask"), bytes):
        body["ask"] = _ask(body["ask"])
    return subject, schema_id, fields_of(body)


def _ask(data: bytes) -> dict[str, Any] | bytes:
    try:
        return catalogue().read_bare("ask", data)
    except BadAvro:
        return data

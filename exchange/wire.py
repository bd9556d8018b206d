"""Bytes on topics ⇄ values: the strict codecs of `schemas/avro/` behind the frame, and CloudEvents headers.

Reading raises `BadBytes` with a code of the error catalogue, whatever the bytes are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from consent.core.facts import Answer, Awaits, Outcome, Position, RequestKey, Verdict, Waiting
from exchange.core.avro import BadAvro
from exchange.core.batches import body, sized, written_headers
from exchange.core.cloudevents import headers
from exchange.core.decision import Ask
from exchange.core.errors import CATALOGUE, Code
from exchange.core.frame import BadFrame, unframe
from exchange.core.topics import middle
from exchange.ports import Headers, Message, Record
from exchange.schemas import UnknownSchema, catalogue

OUTER_MAX_BYTES = 960 << 10
"""Of a sealed answer: its outcome adds a receipt and must still be one message of 1 MiB."""
PREVIEW = "preview"
"""The event of a notice that an answer waits for its person; where it waits for the collectivity, `waiting`. Both have the same body."""
EVENT_ID_SIZE = 32
"""Of the id of a request's event: its own, in hexadecimal."""
_SOURCE = "urn:accord:bus"
_TIME_MAX_MS = (1 << 63) - 1


class BadBytes(Exception):
    """Bytes that are not what their topic says."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.value)
        self.code = code


def read(subject: str, value: bytes | None) -> dict[str, Any]:
    """The record of this subject in a framed value, of whatever version: what an older bus wrote is still read."""
    try:
        return catalogue().read_framed(subject, *unframe(value))
    except (BadFrame, UnknownSchema):
        raise BadBytes(Code.BAD_FRAME) from None
    except BadAvro:
        raise BadBytes(Code.BAD_AVRO) from None


def write(subject: str, record: Mapping[str, Any]) -> bytes:
    return catalogue().prefix(subject) + catalogue().codec(subject).encode(dict(record))


def message(
    subject: str, key: bytes | None, value: bytes, event_id: str, extra: list[tuple[str, bytes]] | None = None
) -> Message:
    """A message with its CloudEvents headers; `extra` are those of the trace."""
    return Message(key, value, event_headers(subject, event_id.encode(), extra or ()))


def event_headers(subject: str, event_id: bytes, extra: Headers = ()) -> list[tuple[str, bytes]]:
    """Those of a message of a subject; its event's id comes after what all have, and before `extra`."""
    return [*headers_of(subject), ("ce_id", event_id), *extra]


def laid(subject: str, key: bytes, value: bytes, event_id: str, extra: Headers = ()) -> bytes:
    """The same message as `message` makes, laid out (`exchange.core.batches.body`)."""
    identified = event_id.encode()
    if extra or len(identified) != EVENT_ID_SIZE:
        return body(key, value, event_headers(subject, identified, extra))
    return sized(key) + sized(value) + headers_before_id(subject) + identified


@lru_cache(maxsize=64)
def headers_before_id(subject: str) -> bytes:
    """The headers of a message without a trace, written, but for the id of its event (`EVENT_ID_SIZE` digits), which comes last."""
    return written_headers(event_headers(subject, bytes(EVENT_ID_SIZE)))[:-EVENT_ID_SIZE]


@lru_cache(maxsize=64)
def headers_of(subject: str) -> list[tuple[str, bytes]]:
    """The CloudEvents headers of every message of a subject; its own id, `ce_id`, comes after."""
    made = headers("0", _SOURCE, f"fr.accord.{subject}.v1")
    return [(name, value) for name, value in made if name != "ce_id"]


@lru_cache(maxsize=4096)
def read_ask(data: bytes) -> Ask | None:
    """The ask, or None for bytes that are not one in its one form (sorted, each once). Decoded once per distinct value."""
    try:
        body = catalogue().read_bare("ask", data)
    except BadAvro:
        return None
    ask = Ask(
        body["recipient"],
        body["data_set"],
        body["purpose"],
        tuple(body["scopes"]),
        tuple((p["name"], p["value"]) for p in body["parameters"]),
        body["rule"],
        body["watch_every_ms"],
        body["watch_until_ms"],
    )
    return ask if write_ask(ask) == data else None


@lru_cache(maxsize=1024)
def write_ask(ask: Ask) -> bytes:
    """The ask's one form, in the earliest version of its schema that says it. An application asks few different things."""
    return catalogue().write_bare("ask", {
        "recipient": ask.recipient, "data_set": ask.data_set, "purpose": ask.purpose, "scopes": sorted(set(ask.scopes)),
        "parameters": [{"name": name, "value": value} for name, value in sorted(dict(ask.parameters).items())],
        "rule": ask.rule, "watch_every_ms": ask.watch_every_ms, "watch_until_ms": ask.watch_until_ms,
    })  # fmt: skip


def _millis(value: int) -> bytes:
    return value.to_bytes(8, "big")


def request_key(body: Mapping[str, Any]) -> RequestKey:
    """BadBytes for an operator that is no SIREN: its outcome could not be written."""
    if not body["operator"].isdigit():
        raise BadBytes(Code.BAD_AVRO)
    return RequestKey(body["operator"].decode(), body["authorisation_id"], body["request_id"])


def time_ms(data: bytes) -> int:
    """A time of 8 bytes; BadBytes for one that no store holds."""
    value = int.from_bytes(data, "big")
    if value > _TIME_MAX_MS:
        raise BadBytes(Code.BAD_AVRO)
    return value


def _key_fields(key: RequestKey) -> dict[str, Any]:
    return {"request_id": key.request, "authorisation_id": key.authorisation, "operator": key.operator.encode()}


def read_answer(record: Record) -> Answer:
    """An answer whose outcome still fits in a message."""
    body = _keyed(record, read("exchange-answer", record.value))
    if len(body["outer"]) > OUTER_MAX_BYTES:
        raise BadBytes(Code.BAD_AVRO)
    position = Position(record.topic, record.partition, record.offset)
    return Answer(
        request_key(body),
        middle(record.topic),
        body["digest"],
        body["tag"],
        body["sealed_key"],
        body["outer"],
        position,
    )


def write_answer(key: RequestKey, digest: bytes, tag: bytes, sealed_key: bytes, outer: bytes) -> bytes:
    return write(
        "exchange-answer", _key_fields(key) | {"digest": digest, "tag": tag, "sealed_key": sealed_key, "outer": outer}
    )


def read_verdict(record: Record) -> Verdict:
    """A verdict whose reason is of the closed catalogue: it will be repeated in the outcome."""
    body = _keyed(record, read("verdict", record.value))
    deadline_ms, code = time_ms(body["deadline_ms"]), body["provider_code"]
    if body["reason"] not in CATALOGUE or len(code) > 16 or (code and not (code.isascii() and code.isalnum())):
        raise BadBytes(Code.BAD_AVRO)  # an outcome says codes, never words of somebody's own
    return Verdict(request_key(body), body["digest"], deadline_ms, body["code"], body["reason"], body["provider_code"])


def write_verdict(verdict: Verdict, origin: str) -> bytes:
    return write("verdict", _key_fields(verdict.key) | {
        "digest": verdict.digest, "deadline_ms": _millis(verdict.deadline_ms), "code": verdict.code, "reason": verdict.reason,
        "provider_code": verdict.provider_code, "origin": origin,
    })  # fmt: skip


def read_outcome(record: Record) -> Outcome:
    body = _keyed(record, read("outcome", record.value))
    key = request_key(body)
    body["scopes"], body["path"] = tuple(body["scopes"]), tuple(body["path"])
    del body["request_id"], body["authorisation_id"], body["operator"]
    return Outcome(key, **body)


def write_outcome(outcome: Outcome) -> bytes:
    fields = {name: getattr(outcome, name) for name in outcome.__struct_fields__ if name != "key"}
    return write(
        "outcome", _key_fields(outcome.key) | fields | {"scopes": list(outcome.scopes), "path": list(outcome.path)}
    )


def read_waiting(record: Record) -> Waiting:
    body = _keyed(record, read("waiting", record.value))
    awaits: Awaits = "person" if ("ce_type", event_type(PREVIEW)) in record.headers else "collectivity"
    return Waiting(request_key(body), body["digest"], body["deadline_ms"], awaits)


def event_of(told: Outcome | Waiting) -> str:
    """Which event it is, on its topic."""
    if isinstance(told, Outcome):
        return "outcome"
    return PREVIEW if told.awaits == "person" else "waiting"


def event_type(name: str) -> bytes:
    """`ce_type` of an event."""
    return dict(headers_of(name))["ce_type"]


def write_waiting(waiting: Waiting) -> bytes:
    return write("waiting", _key_fields(waiting.key) | {"digest": waiting.digest, "deadline_ms": waiting.deadline_ms})


def read_told(record: Record) -> Outcome | Waiting:
    """What lies on an outcome topic."""
    waits = (record.value or b"").startswith(catalogue().prefix("waiting"))
    return read_waiting(record) if waits else read_outcome(record)


def dead_letter(record: Record, code: Code) -> Message:
    """What the bus could not use, with the reason and position."""
    value = record.value
    body = {
        "reason": code.value, "topic": record.topic, "partition": record.partition, "offset": record.offset, "at_ms": record.timestamp,
        "size_bytes": len(value) if value is not None else -1, "value": (value or b"")[: 64 * 1024],
    }  # fmt: skip
    return message(
        "dead-letter", None, write("dead-letter", body), f"{record.topic}-{record.partition}-{record.offset}"
    )


def _keyed(record: Record, body: dict[str, Any]) -> dict[str, Any]:
    if record.key != body["authorisation_id"]:
        raise BadBytes(Code.BAD_KEY)
    return body

"""What happened to one request, in time: the spans of its trace, and the bars they are drawn as. Pure: lines of JSON in, values out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

SPANS_MAX = 200
_REQUEST = "messaging.message.conversation_id"


class Span(NamedTuple):
    """One piece of work. Times in ms, `at_ms` since the trace began; `left` and `width` place its bar, in thousandths of the whole."""

    name: str
    process: str
    topic: str
    at_ms: float
    took_ms: float
    left: int = 0
    width: int = 0


class _Read(NamedTuple):
    trace: str
    request: str
    span: Span


def spans_of(files: Iterable[Iterable[str]], request: str) -> list[Span]:
    """The spans of the trace a request (its id in hexadecimal) belongs to, oldest first; lines that are no span of ours are passed over."""
    lines = [line for file in files for line in file]
    traces = {read.trace for line in lines if request in line and (read := _read(line)) and read.request == request}
    found = [
        read.span for line in lines if any(t in line for t in traces) and (read := _read(line)) and read.trace in traces
    ]
    return placed(found[:SPANS_MAX])


def placed(spans: Iterable[Span]) -> list[Span]:
    """Spans from the first one's beginning on, with their bars; a bar is never too thin to be seen."""
    found = sorted(spans, key=lambda span: (span.at_ms, -span.took_ms))
    if not found:
        return []
    began = found[0].at_ms
    whole = max(max(span.at_ms + span.took_ms for span in found) - began, 0.001)

    def bar(span: Span) -> Span:
        left = min(round(1000 * (span.at_ms - began) / whole), 996)
        width = max(4, min(round(1000 * span.took_ms / whole), 1000 - left))
        return span._replace(at_ms=round(span.at_ms - began, 2), took_ms=round(span.took_ms, 2), left=left, width=width)

    return [bar(span) for span in found]


def _read(line: str) -> _Read | None:
    try:
        body: Mapping[str, Any] = json.loads(line)
        start, end = _ms(body["start_time"]), _ms(body["end_time"])
        attributes, process = body["attributes"], body["resource"]["attributes"]["service.name"]
        span = Span(body["name"], process, attributes.get("messaging.destination.name", ""), start, end - start)
        return _Read(body["context"]["trace_id"], attributes.get(_REQUEST, ""), span)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _ms(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() * 1000

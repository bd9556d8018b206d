"""The AsyncAPI 3 document: topics as channels, Avro schemas as messages, CloudEvents attributes as headers."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final, NamedTuple

from exchange import wire
from exchange.core import topics
from exchange.core.decision import DataSet
from exchange.schemas import Catalogue

_AVRO: Final = "application/vnd.apache.avro;version=1.9.0"
_SIREN: Final = "123456789"
_PROVIDER: Final = "provider"


_BODY_OF: Final = {wire.PREVIEW: "waiting"}
"""Events whose body is another's; their `ce_type` tells them apart."""
_SUMMARY_OF: Final = {
    wire.PREVIEW: "An answer waits for its person to let it through; `waiting` or the outcome follows. Its body is that of `waiting`."
}


class Channel(NamedTuple):
    """What a family of topics carries, by the first word of its name; who writes it and who reads it; `notices` are other events there."""

    subject: str
    writers: str
    readers: str
    notices: tuple[str, ...] = ()

    @property
    def subjects(self) -> list[str]:
        return [self.subject, *self.notices]


CHANNELS: Final = {
    "requests": Channel("exchange-request", "SDK de l'opérateur · the operator's SDK", "gate, deadline, journal"),
    "outcomes": Channel(
        "outcome", "release", "SDK de l'opérateur · the operator's SDK, journal", ("waiting", wire.PREVIEW)
    ),
    "tasks": Channel("exchange-task", "gate, retries", "connector"),
    "answers": Channel("exchange-answer", "connector", "release"),
    "retries": Channel("exchange-retry", "connector", "retries"),
    "watches": Channel("exchange-look", "connector", "connector"),
    "verdicts": Channel("verdict", "gate, connector, deadline, portal", "release, journal"),
    "consent": Channel("consent-event", "relay", "gate"),
    "journal": Channel("journal-entry", "journal", "journal"),
    "deadletter": Channel("dead-letter", "gate, connector, release", "exploitant · operations"),
}


def document(schemas: Catalogue, data_sets: Mapping[str, DataSet]) -> dict[str, Any]:
    """The whole document, of JSON values only."""
    made = topics.specs([_SIREN], [_PROVIDER], partitions=1, cluster=True)
    subjects = list(dict.fromkeys(subject for channel in CHANNELS.values() for subject in channel.subjects))
    providers = sorted({data_set.provider for data_set in data_sets.values()})
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Accord",
            "version": version("accord-bus"),
            "description": "Le bus d'échange soumis à l'accord du citoyen · the consent-gated exchange bus. Les données "
            "sont scellées de bout en bout · data are sealed end to end.",
            "license": {"name": "EUPL-1.2"},
        },
        "defaultContentType": "application/avro",
        "channels": {_family(spec.name): _channel(spec, providers) for spec in made},
        "components": {
            "messages": {subject: _message(schemas, subject) for subject in subjects},
            "schemas": {name: _avro(schemas.codec_of_data_set(name).schema) for name in sorted(data_sets)},
        },
    }


def _family(topic: str) -> str:
    return topic.partition(".")[0]


def _channel(spec: topics.TopicSpec, providers: list[str]) -> dict[str, Any]:
    channel = CHANNELS[_family(spec.name)]
    told: dict[str, Any] = {
        "address": spec.name.replace(_SIREN, "{siren}").replace(_PROVIDER, "{provider}"),
        "description": f"Écrit · written by: {channel.writers}. Lu · read by: {channel.readers}.",
    }
    if "{siren}" in told["address"]:
        told["parameters"] = {"siren": {"description": "SIREN de l'opérateur · of the operator: nine digits."}}
    if "{provider}" in told["address"]:
        told["parameters"] = {"provider": {"description": "Fournisseur · provider.", "enum": providers}}
    told["messages"] = {subject: {"$ref": f"#/components/messages/{subject}"} for subject in channel.subjects}
    told["bindings"] = {"kafka": _topic(spec)}
    return told


def _topic(spec: topics.TopicSpec) -> dict[str, Any]:
    retention_ms = int(spec.config["retention.ms"])
    return {
        "topicConfiguration": {"retention.ms": retention_ms},
        "replicas": spec.replication,
        "bindingVersion": "0.5.0",
    }


def _message(schemas: Catalogue, subject: str) -> dict[str, Any]:
    of = _BODY_OF.get(subject, subject)
    codec = schemas.codec(of)
    return {
        "name": subject,
        "title": str(codec.schema["name"]),
        "summary": _SUMMARY_OF.get(subject, str(codec.schema["doc"])),
        "contentType": "application/avro",
        "headers": _headers(subject),
        "payload": _avro(codec.schema),
        "bindings": {
            "kafka": {
                "key": {"type": "string", "contentEncoding": "binary", "description": _key(subject)},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "bindingVersion": "0.5.0",
            }
        },
        "x-schema-id": schemas.id(of),
    }


def _key(subject: str) -> str:
    if subject == "dead-letter":
        return "Sans clé · no key."
    of = "demande · request's id" if subject == "journal-entry" else "autorisation · authorisation's id"
    return f"16 octets · bytes: {of}."


def _headers(subject: str) -> dict[str, Any]:
    """CloudEvents 1.0.2, Kafka binding §3.2 (binary mode); the trace's headers may be there or not."""
    fixed = {name: {"type": "string", "const": value.decode()} for name, value in wire.headers_of(subject)}
    every: dict[str, Any] = fixed | {"ce_id": {"type": "string", "description": "Unique avec · with ce_source."}}
    trace = {"traceparent": {"type": "string", "description": "W3C Trace Context, level 2."}}
    return {"type": "object", "required": list(every), "properties": every | trace}


def _avro(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"schemaFormat": _AVRO, "schema": dict(schema)}

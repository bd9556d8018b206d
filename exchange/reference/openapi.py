"""The OpenAPI 3.1 document without its paths: the data sets as schemas and the error catalogue as RFC 9457 problems. `portal.api.app` adds
the paths."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from exchange.core.decision import DataSet
from exchange.core.errors import CATALOGUE, Code
from exchange.core.schema_tree import tree
from exchange.reference.json_schema import definitions
from exchange.schemas import Catalogue

LICENSE = {"name": "EUPL-1.2", "identifier": "EUPL-1.2"}


def document(schemas: Catalogue, data_sets: Mapping[str, DataSet]) -> dict[str, Any]:
    """The whole document, of JSON values only."""
    made: dict[str, Any] = {}
    for name in sorted(data_sets):
        told = definitions(name, tree(schemas.codec_of_data_set(name).schema))
        told[name] |= {
            "title": name,
            "x-provider": data_sets[name].provider,
            "x-scopes": sorted(data_sets[name].scopes),
        }
        told[name]["x-parameters"] = sorted(data_sets[name].parameters)
        told[name]["x-preview"] = data_sets[name].preview
        made |= told
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Accord",
            "version": version("accord-bus"),
            "summary": "Les jeux de données et les erreurs du bus · the data sets and errors of the bus",
            "license": LICENSE,
        },
        "jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
        "components": {
            "schemas": made | {"Problem": _problem(), "ErrorCode": _codes()},
            "examples": {code.value: _example(code) for code in CATALOGUE},
        },
    }


def _problem() -> dict[str, Any]:
    """RFC 9457 §3, with members of ours (§3.2)."""
    return {
        "description": "Une erreur (RFC 9457, application/problem+json) ; rien n'y parle de personne. · An error; it says nothing of anybody.",
        "type": "object",
        "required": ["type", "title", "code", "origin", "retry", "cause", "todo"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "description": "urn:accord:problem:<code>"},
            "title": {"type": "string", "description": "La cause, en un mot · the cause, in short."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "RFC 9110, §15."},
            "detail": {"type": "string", "description": "Que faire · what to do."},
            "instance": {"type": "string", "format": "uri-reference"},
            "code": {"$ref": "#/components/schemas/ErrorCode"},
            "origin": {
                "type": "string",
                "enum": ["caller", "citizen", "provider", "bus"],
                "description": "Qui doit agir · who has to act.",
            },
            "retry": {
                "type": "boolean",
                "description": "La même demande peut aboutir plus tard · the same request may succeed later.",
            },
            "cause": {"type": "string", "description": "Pourquoi · why."},
            "todo": {"type": "string", "description": "Que faire · what to do next."},
            "provider_code": {"type": "string", "description": "Le code de l'État, tel quel · the State's own code."},
            "retry_in_s": {"type": "integer", "minimum": 0, "description": "Quand refaire, s · when to ask again, s."},
            "recorded": {
                "type": "boolean",
                "description": "Fait tout de même : un retrait est consigné · done all the same.",
            },
            "error": {"type": "string", "description": "Le mot de OAuth 2 (RFC 6749 §5.2) · OAuth 2's own word."},
            "errors": {
                "type": "array",
                "description": "Les champs en cause, jamais leur contenu · the fields at fault, never what they hold.",
                "items": {"type": "object", "required": ["field"], "properties": {"field": {"type": "string"}}},
            },
        },
    }


def _codes() -> dict[str, Any]:
    each = [{"const": code.value, "description": f"{e.cause_fr} · {e.cause_en}"} for code, e in CATALOGUE.items()]
    return {
        "description": "Un code ne change plus de sens · a code keeps its meaning.",
        "type": "string",
        "oneOf": each,
    }


def _example(code: Code) -> dict[str, Any]:
    entry = CATALOGUE[code]
    value = {
        "type": f"urn:accord:problem:{code}", "title": entry.cause_fr, "detail": entry.todo_fr, "code": code.value,
        "origin": entry.origin, "retry": entry.retry, "cause": entry.cause_fr, "todo": entry.todo_fr,
    }  # fmt: skip
    return {"summary": entry.cause_en, "description": entry.todo_en, "value": value}

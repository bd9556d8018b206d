"""Calls as DataPass makes them, by its documentation."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from exchange.core.datapass.mapping import Legal, Line, Rules
from exchange.data_sets import DATA_SETS
from tests.world import RECIPIENT

SECRET = b"un-secret-de-webhook"
QF, CANTEEN = "cnaf.quotient-familial.v1", "tarification-cantine"
SCOPES = {name: data_set.scopes for name, data_set in DATA_SETS.items()}
ALL = sorted(SCOPES[QF])
LEGAL = "- Cadre légal général : L’article L.114-8 du Code des\nrelations entre le public et l’administration"
RULES = Rules((Line("api_particulier", QF, (CANTEEN,)),), (Legal("L114-8", "CRPA L114-8"),))
OTHER = "13002526500013"


def authorization(state: str = "active", scopes: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """An habilitation in a payload."""
    return {
        "id": 9005, "slug": "x", "revoked": state == "revoked", "state": state, "created_at": "2026-01-15T10:30:00Z",
        "data": {"intitule": "x", "scopes": ALL if scopes is None else scopes, "cadre_juridique_nature": LEGAL},
        "authorization_request_class": "AuthorizationRequest::APIParticulier", "definition_id": "api_particulier",
    } | more  # fmt: skip


def event(
    name: str,
    at_s: int,
    *authorizations: dict[str, Any],
    siret: str | None = RECIPIENT,
    demande: int = 9001,
    state: str = "validated",
) -> dict[str, Any]:
    """The payload of an event about one demande; the people in it are as invented as DataPass's own."""
    person = {"id": 1, "email": "jean.dupont@example.org", "given_name": "Jean", "family_name": "Dupont"}
    return {
        "event": name, "fired_at": at_s, "model_type": "authorization_request/api_particulier",
        "data": {
            "id": demande, "public_id": "a90939e8", "state": state, "form_uid": "api-particulier",
            "organization": {"id": 2, "name": "Commune", "siret": siret}, "applicant": person, "service_provider": None,
            "authorizations": list(authorizations), "data": {"scopes": ALL, "cadre_juridique_nature": LEGAL},
        },
    }  # fmt: skip


def body_of(payload: object) -> bytes:
    return json.dumps(payload).encode()


def headers_of(body: bytes, secret: bytes = SECRET, environment: str = "production") -> dict[str, str]:
    """As DataPass signs a call."""
    return {
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest(),
        "X-App-Environment": environment,
        "Content-Type": "application/json",
    }

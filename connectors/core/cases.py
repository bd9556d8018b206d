"""Sandbox cases ``{params, status, payload}``: how they are read, and which one answers a query.

The shape is that of the State's own sandbox (``apistration/mocks/payloads``), so its cases load as they are.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Params = Mapping[str, tuple[str, ...]]

QUOTIENT_FAMILIAL = "api_particulier_v3_cnav_quotient_familial_with_civility"

ROUTES: dict[str, str] = {
    QUOTIENT_FAMILIAL: "/v3/dss/quotient_familial/identite",
    "api_particulier_v3_cnav_participation_familiale_eaje_with_civility": (
        "/v3/dss/participation_familiale_eaje/identite"
    ),
    "api_particulier_v3_cnav_complementaire_sante_solidaire_with_civility": (
        "/v3/dss/complementaire_sante_solidaire/identite"
    ),
    "api_particulier_v3_cnous_etudiant_boursier_with_civility": "/v3/cnous/etudiant_boursier/identite",
    "api_particulier_v3_cnous_etudiant_boursier_with_ine": "/v3/cnous/etudiant_boursier/ine",
    "api_particulier_v3_france_travail_statut_with_identifiant": "/v3/france_travail/statut/identifiant",
    "api_particulier_v4_cnous_etudiant_boursier_with_civility": "/v4/cnous/etudiant_boursier/identite",
    "api_particulier_v4_cnous_etudiant_boursier_with_ine": "/v4/cnous/etudiant_boursier/ine",
}
"""Operation -> route served (OpenAPI ``x-operationId``)."""

UNSERVED = ("api_entreprise_", "api_particulier_", "france_connect")
"""State folders that load but answer on no route here: other APIs, and FranceConnect tokens (60 s of life)."""

NUMBERS = frozenset(("anneeDateNaissance", "moisDateNaissance", "jourDateNaissance", "annee", "mois"))
PERIOD = frozenset(("annee", "mois"))
NEVER_COMPARED = frozenset(("recipient",))


@dataclass(frozen=True, slots=True)
class Case:
    """One prepared answer. ``before`` names the incidents its first calls meet (an addition of ours); ``wire`` is the params as written."""

    operation: str
    name: str
    params: Params = field(repr=False)
    status: int
    payload: bytes = field(repr=False)
    before: tuple[str, ...] = ()
    wire: Mapping[str, Any] = field(default_factory=dict, repr=False)


class NotACase(ValueError):
    """A document that is not ``{params, status, payload}``; says what is missing, never what is in it."""


def parse(operation: str, name: str, document: Any) -> Case:
    """A ``Case`` from one YAML document; ``NotACase`` says what is missing, never what is in it."""
    if not isinstance(document, dict) or not isinstance(document.get("params"), dict):
        raise NotACase("params must be a mapping")
    status = document.get("status")
    if type(status) is not int or not 200 <= status <= 599:
        raise NotACase("status must be an HTTP status")
    return Case(
        operation=operation if operation in ROUTES or operation.startswith(UNSERVED) else QUOTIENT_FAMILIAL,
        name=name,
        params=normalise((key, item) for key, value in document["params"].items() for item in _items(value)),
        status=status,
        payload=_payload(document.get("payload")),
        before=tuple(str(incident) for incident in document.get("before", ())),
        wire=document["params"],
    )


def _items(value: Any) -> Iterable[str]:
    """The wire values of one parameter; the State writes ``prenoms`` as a list or as a lone text."""
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None]


def _payload(payload: Any) -> bytes:
    if isinstance(payload, str):
        try:
            json.loads(payload)
        except ValueError:
            raise NotACase("payload must be JSON") from None
        return payload.encode()
    if not isinstance(payload, dict):
        raise NotACase("payload must be JSON")
    return json.dumps(payload, ensure_ascii=False).encode()


def normalise(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Parameters as they are compared: NFC, no case, numbers as numbers; empty, ``0`` and ``00`` are absent."""
    compared: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        name = key.removesuffix("[]")
        text = unicodedata.normalize("NFC", value).casefold().strip()
        if name in NUMBERS:
            text = text.lstrip("0")
        if text and name not in NEVER_COMPARED:
            compared[name] = (*compared.get(name, ()), text)
    return compared


def best(cases: Iterable[Case], operation: str, asked: Params) -> Case | None:
    """The most specific case of ``operation`` for the parameters ``asked``; ``None`` when none fits."""
    fitting = [case for case in cases if case.operation == operation and _fits(case.params, asked)]
    return max(fitting, key=lambda case: len(case.params), default=None)


def _fits(case: Params, asked: Params) -> bool:
    """Equal in all that designates the person; a month or a usage name counts only if the case gives it."""
    optional = (PERIOD | {"nomUsage"}) - case.keys()
    return dict(case) == {name: value for name, value in asked.items() if name not in optional}

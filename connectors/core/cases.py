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

STATE_FOLDERS = ("api_entreprise_", "api_particulier_", "api_impot_particulier_", "api_sfip_", "france_connect")
"""How the State's operations begin: a folder of another name holds quotient familial cases."""

BIRTH = ("anneeDateNaissance", "moisDateNaissance", "jourDateNaissance")
NUMBERS = frozenset((*BIRTH, "annee", "mois"))
PERIOD = frozenset(("annee", "mois", "campaignYear", "annrev"))
NEVER_COMPARED = frozenset(("recipient", "context", "object", "year", "anneeNateNaissance"))
"""They designate nobody. The last two are in cases of the State's, turnover and C2S, and in no contract: nobody can send them."""
PLACES = frozenset(("codeCogInseeCommuneNaissance", "nomCommuneNaissance", "codeCogInseeDepartementNaissance"))
FRANCE = "99100"


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
    description: str = ""


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
        operation=operation if operation.startswith(STATE_FOLDERS) else QUOTIENT_FAMILIAL,
        name=name,
        params=normalise((key, item) for key, value in document["params"].items() for item in _items(value)),
        status=status,
        payload=_payload(document.get("payload")),
        before=tuple(str(incident) for incident in document.get("before", ())),
        wire=document["params"],
        description=str(document.get("description") or ""),
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
    """Parameters as they are compared: NFC, no case, numbers as numbers; empty, ``0`` and ``00`` are absent.

    What the State ignores is absent too.
    """
    compared: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        name = key.removesuffix("[]")
        text = unicodedata.normalize("NFC", value).casefold().strip()
        if name in NUMBERS:
            text = text.lstrip("0")
        if text and name not in NEVER_COMPARED:
            compared[name] = (*compared.get(name, ()), text)
    return {name: value for name, value in compared.items() if name not in _ignored(compared)}


def _ignored(compared: Params) -> frozenset[str]:
    """What the State ignores (OpenAPI): a commune for a birth abroad, a month without its year, a day without its month."""
    abroad = compared.get("codeCogInseePaysNaissance", (FRANCE,)) != (FRANCE,)
    unknown = next((at for at, name in enumerate(BIRTH) if name not in compared), len(BIRTH))
    return frozenset(BIRTH[unknown:]) | (PLACES if abroad else frozenset())


def best(cases: Iterable[Case], operation: str, asked: Params) -> Case | None:
    """The most specific case of ``operation`` for the parameters ``asked``; ``None`` when none fits."""
    fitting = [case for case in cases if case.operation == operation and _fits(case.params, asked)]
    return max(fitting, key=lambda case: len(case.params), default=None)


def _fits(case: Params, asked: Params) -> bool:
    """Equal in all that designates the person; a month or a usage name counts only if the case gives it."""
    optional = (PERIOD | {"nomUsage"}) - case.keys()
    return dict(case) == {name: value for name, value in asked.items() if name not in optional}

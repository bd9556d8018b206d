"""What the façade says, in the shapes of API Particulier v3: which data set a path is, whom a query designates, how an answer, an
absence or a refusal looks there.

Source: the OpenAPI document of API Particulier (paths, envelope, `errors[]`). A refusal of the bus takes the State's form too, with our
code and what to do under `meta.accord`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from connectors.core.call import values
from connectors.core.cases import normalise
from connectors.core.description import PLACEHOLDER, Description, Operation
from connectors.core.rules import REFUSALS, Refusal
from exchange.core.errors import CATALOGUE, Code
from exchange.core.identity import Identity
from exchange.core.shape import preview_of

BASE = "/api-particulier"
OPTIONAL = frozenset({"nomUsage", "recipient"})
"""They designate nobody by themselves: a usage name may be given or not."""
NOT_ALLOWED = Refusal(403, "00100", "Privilèges insuffisants", "")
NO_ANSWER = Refusal(504, "00501", "Erreur réseau", "")
LATER = frozenset({Code.DEADLINE_PASSED, Code.PREVIEW_PENDING})
"""What another try may mend, whoever it is that has to act: no answer yet, and not a refusal."""
BAD_PARAMETER = Refusal(
    422, "00366", "Entité non traitable", "Un ou plusieurs paramètres de civilité ne sont pas correctement formatés"
)
_ODD_STATUS = {"005": 451, "015": 409}
"""By the kind of a State's code (its last three digits): withheld, several people match. Any other refusal is a 422 (errors.yml)."""
Pairs = Iterable[tuple[str, str]]


class Offered(NamedTuple):
    """A path of the State's: the data set it is, and the operation of it."""

    description: Description
    operation: Operation


class Said(NamedTuple):
    """An answer: HTTP status and JSON body."""

    status: int
    body: dict[str, Any]


def offers(descriptions: Iterable[Description]) -> dict[str, Offered]:
    """What is served, by path: every operation of API Particulier v3 whose answer is its record's fields below `data`, but of data sets that
    ask for a preview: their person answers in their own time, not in that of a call (ADR 0031)."""
    return {
        BASE + operation.path: Offered(description, operation)
        for description in descriptions
        if description.family == "apistration"
        and all(at.startswith("data.") for at in description.roots.values())
        and not preview_of(description.schema)
        for operation in description.operations
        if operation.path.startswith("/v3/") and not PLACEHOLDER.search(operation.path)
    }


def designated(operation: Operation, pairs: Pairs) -> frozenset[tuple[str, tuple[str, ...]]]:
    """Whom a query designates, as the State compares it: no case, numbers as numbers, what it ignores left out."""
    known = {wire.removesuffix("[]") for wire, _ in operation.query} - OPTIONAL
    return frozenset(normalise((name, text) for name, text in pairs if name.removesuffix("[]") in known).items())


def designation(operation: Operation, identity: Identity) -> frozenset[tuple[str, tuple[str, ...]]]:
    """Whom the identity of an agreement designates to this operation, in the same form."""
    pairs = [(w, text) for w, source in operation.query if source != "recipient" for text in values(source, identity)]
    return designated(operation, pairs)


def parameters(description: Description, pairs: Pairs) -> dict[str, str] | None:
    """What the query selects within the data set; None where a value is malformed, or a required one absent."""
    given = {name: text for name, text in pairs if name in description.parameters and text}
    known = description.parameters.items()
    fits = all(of.pattern.fullmatch(given[name]) if name in given else not of.required for name, of in known)
    return given if fits else None


def found(description: Description, data: Mapping[str, Any]) -> Said:
    """The State's envelope around what the agreement opened."""
    body: dict[str, Any] = {"data": {}, "links": {}, "meta": {}}
    for name, value in data.items():
        *path, last = description.roots[name].split(".")
        place = body
        for key in path:
            place = place.setdefault(key, {})
        place[last] = value
    return Said(200, body)


def not_found(code: str, title: str) -> Said:
    """The State's word that there is nothing, as it came through the bus: its code and title; the rest as it is known."""
    return said(_known(404, code, title))


def state_refusal(code: str, title: str) -> Said:
    """The State's refusal about a person."""
    return said(_known(_ODD_STATUS.get(code[2:], 422), code, title))


def refused(code: Code, provider_code: str = "") -> Said:
    """A refusal of the bus, or a failure of the State told by it."""
    entry = CATALOGUE[code]
    answerable = NOT_ALLOWED if entry.origin in ("caller", "citizen") and code not in LATER else NO_ANSWER
    known = _known(502, provider_code, entry.cause_fr) if provider_code else answerable
    told = said(known)
    (item,) = told.body["errors"]
    item["detail"] = item["detail"] or f"{entry.cause_fr} ; {entry.todo_fr}"
    item["meta"]["accord"] = {"code": code.value, "cause": entry.cause_fr, "todo": entry.todo_fr}
    return told


def said(refusal: Refusal) -> Said:
    """A refusal in the State's own form."""
    return Said(refusal.status, json.loads(refusal.body))


def _known(status: int, code: str, title: str) -> Refusal:
    """The State's words for one of its codes; only the title where they are not known."""
    same_code = [one for one in REFUSALS if one.code == code]
    named = [one for one in same_code if one.title == title] or (same_code if status >= 500 else [])
    return named[0] if named else Refusal(status, code, title, title)

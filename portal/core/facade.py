"""What the façade says, in the shapes of API Particulier and API Entreprise: which data set a path is, whom a query designates, how an
answer, an absence or a refusal looks there.

Source: the OpenAPI documents of both (paths, envelope, `errors[]`), and `siade/config/errors.yml` for what they leave out. A refusal of
the bus takes the State's form too, with our code and what to do under `meta.accord`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from connectors.core.call import values
from connectors.core.cases import normalise
from connectors.core.description import PLACEHOLDER, Description, Operation
from connectors.core.rules import REFUSALS, Refusal, check_company, check_identity, check_period, check_request
from exchange.core.errors import CATALOGUE, Code
from exchange.core.identity import Identity
from exchange.core.shape import preview_of

BASE, COMPANIES = "/api-particulier", "/api-entreprise"
"""Of each API, in the place of its host."""
BY_IDENTITY, BY_TOKEN = "/identite", "/france_connect"
"""How a path ends that designates a person by civil status, and its twin that does by FranceConnect's access token."""
OPTIONAL = frozenset({"nomUsage", "recipient"})
"""They designate nobody by themselves: a usage name may be given or not."""
NOT_ALLOWED = Refusal(403, "00100", "Privilèges insuffisants", "")
NO_ANSWER = Refusal(504, "00501", "Erreur réseau", "")
LATER = frozenset({Code.DEADLINE_PASSED, Code.PREVIEW_PENDING})
"""What another try may mend, whoever it is that has to act: no answer yet, and not a refusal."""
BAD_PARAMETER = Refusal(
    422, "00366", "Entité non traitable", "Un ou plusieurs paramètres de civilité ne sont pas correctement formatés"
)
_NOT_YOURS = "Accès non autorisé"
MALFORMED_TOKEN = Refusal(401, "50001", _NOT_YOURS, "Le jeton d'accès est mal formaté.", provider="FranceConnect")
UNKNOWN_TOKEN = Refusal(
    401, "50002", _NOT_YOURS, "Le jeton d'accès n'a pas été trouvé ou est expiré.", provider="FranceConnect"
)
NO_PIVOT = Refusal(
    401,
    "50003",
    _NOT_YOURS,
    "Le jeton d'accès ne possède pas les données pivot requises pour effectuer cet appel.",
    provider="FranceConnect",
)
NO_FRANCECONNECT = Refusal(
    504,
    "51001",
    "Service non disponible",
    "Service du fournisseur de données temporairement indisponible ou en maintenance.",
    provider="FranceConnect",
)
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}", re.ASCII)
_NEW_IN_V4 = "activite_principale_naf_rev2"
"""What INSEE's v4 has and its v3, otherwise the same, has not (OpenAPI)."""
_ODD_STATUS = {"005": 451, "015": 409}
"""By the kind of a State's code (its last three digits): withheld, several people match. Any other refusal is a 422 (errors.yml)."""
Pairs = Iterable[tuple[str, str]]


class Offered(NamedTuple):
    """A path of the State's: the data set it is, and the operation of it; `by_token`: FranceConnect's token designates the person;
    `older`: the version before the one the operation has."""

    description: Description
    operation: Operation
    by_token: bool = False
    older: bool = False

    @property
    def about_companies(self) -> bool:
        return bool(PLACEHOLDER.search(self.operation.path))


class Said(NamedTuple):
    """An answer: HTTP status and JSON body."""

    status: int
    body: dict[str, Any]


class Offers:
    """What is served: every operation of API Particulier and API Entreprise that a data set describes, under its own path; but of those that ask
    for a preview: their person answers in their own time, not in that of a call (ADR 0031)."""

    def __init__(self, descriptions: Iterable[Description]) -> None:
        self._served = [
            (re.compile(PLACEHOLDER.sub(r"(?P<\1>[^/]+)", path)), offered)
            for description in descriptions
            if description.family == "apistration" and not preview_of(description.schema)
            for operation in description.operations
            for path, offered in _paths(description, operation)
        ]

    def __iter__(self) -> Iterator[Offered]:
        return (offered for _, offered in self._served)

    def find(self, path: str) -> tuple[Offered, dict[str, str]] | None:
        """What a path is, and what fills its placeholders."""
        found = ((pattern.fullmatch(path), offered) for pattern, offered in self._served)
        return next(((offered, match.groupdict()) for match, offered in found if match), None)


def _paths(description: Description, operation: Operation) -> Iterator[tuple[str, Offered]]:
    path, company = operation.path, operation.id.startswith("api_entreprise_")
    yield (COMPANIES if company else BASE) + path, Offered(description, operation)
    if path.endswith(BY_IDENTITY):
        yield BASE + path.removesuffix(BY_IDENTITY) + BY_TOKEN, Offered(description, operation, by_token=True)
    if path.startswith("/v4/insee/"):
        yield COMPANIES + path.replace("/v4/", "/v3/", 1), Offered(description, operation, older=True)


def designated(operation: Operation, pairs: Pairs) -> frozenset[tuple[str, tuple[str, ...]]]:
    """Whom a query designates, its path included, as the State compares it: no case, numbers as numbers, what it ignores left out."""
    known = {wire.removesuffix("[]") for wire, _ in _designating(operation)} - OPTIONAL
    return frozenset(normalise((name, text) for name, text in pairs if name.removesuffix("[]") in known).items())


def designation(operation: Operation, identity: Identity) -> frozenset[tuple[str, tuple[str, ...]]]:
    """Whom an agreement designates to this operation, in the same form."""
    pairs = [(wire, text) for wire, source in _designating(operation) for text in values(source, identity)]
    return designated(operation, pairs)


def _designating(operation: Operation) -> list[tuple[str, str]]:
    """Wire names, those of the path too, and their sources."""
    named = [(name, name) for name in PLACEHOLDER.findall(operation.path)]
    return named + [(wire, source) for wire, source in operation.query if source != "recipient"]


def is_token(text: str) -> bool:
    """Whether this may be an access token at all (RFC 6750 §2.1, and what FranceConnect gives)."""
    return bool(_TOKEN.fullmatch(text))


def fault_before(offered: Offered, pairs: Sequence[tuple[str, str]]) -> Refusal | None:
    """What the State says of a query before it looks at whom it is about."""
    return check_request(dict(pairs)) if offered.about_companies else None


def fault(offered: Offered, pairs: Sequence[tuple[str, str]], today: date) -> Refusal | None:
    """What the State says of a query that designates nobody, or selects what there is not."""
    if offered.about_companies:
        return check_company(dict(pairs))
    if "/dss/" not in offered.operation.path:
        return None
    return check_period(dict(pairs), today) if offered.by_token else check_identity(pairs, today)


def parameters(description: Description, pairs: Pairs) -> dict[str, str] | None:
    """What the query selects within the data set; None where a value is malformed, or a required one absent."""
    given = {name: text for name, text in pairs if name in description.parameters and text}
    known = description.parameters.items()
    fits = all(of.pattern.fullmatch(given[name]) if name in given else not of.required for name, of in known)
    return given if fits else None


def found(offered: Offered, data: Mapping[str, Any]) -> Said:
    """The State's envelope around what the agreement opened."""
    body: dict[str, Any] = {"data": {}, "links": {}, "meta": {}}
    for name, value in data.items():
        at = offered.description.roots[name]
        if value is not None or not at.startswith("meta."):
            _put(body, at, value)
    return Said(200, _without(body, _NEW_IN_V4) if offered.older else body)


def _put(body: dict[str, Any], at: str, value: Any) -> None:
    """A value where a root has it; a list's items, each in an envelope of its own."""
    if "[]." in at:
        place, _, inner = at.partition("[].")
        body[place] = [{inner: item, "links": {}, "meta": {}} for item in value or ()]
        return
    *path, last = at.split(".")
    for key in path:
        body = body.setdefault(key, {})
    body[last] = value


def _without(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _without(item, key) for name, item in value.items() if name != key}
    return [_without(item, key) for item in value] if isinstance(value, list) else value


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

"""API Particulier ``quotient_familial/identite``: from an identity to a query, from an answer to a ``Reading``.

Sources: API Particulier OpenAPI v3; its error codes are a provider (2 digits) and a kind (3 digits),
``siade/config/errors.yml``; the throttle is ``commons/data/throttle.yml``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

from connectors.contract import Cause, Failure, Found, Identity, NotFound, Reading, Retry, StateRefusal
from connectors.core.family import Envelope, ErrorBody, ErrorItem, Family
from connectors.core.person import is_about

PATH = "/v3/dss/quotient_familial/identite"
FRANCE = "99100"
PRENOMS_MAX = 3
TITLE_MAX = 200
JSON_TYPES = ("application/json", "application/vnd.api+json")

PARAMETERS = {"annee": re.compile(r"[0-9]{4}"), "mois": re.compile(r"0?[1-9]|1[0-2]")}
"""What an ask may add to the identity: the month of the quotient. All else would be an extra look-up."""


class ParameterRefused(ValueError):
    """The ask holds a parameter its data set does not document, or a malformed one; names nothing given."""


Meaning = Literal["not_found", "refusal", "retry"] | Cause

RULES: tuple[tuple[tuple[int, ...], str, Meaning], ...] = (
    # The route's own 404 (OpenAPI): kind 003. A 404 without it is a wrong address, not an absent person.
    ((404,), r"\d\d003", "not_found"),
    # An identical call is in progress: the lock falls within a minute (api_controller.rb).
    ((409,), r"00015", "retry"),
    # Several people match (errors.yml, kind 015).
    ((409,), r"\d\d015", "refusal"),
    # The recipient is ours to set right, it says nothing about the person (errors.yml 00203, 00210, 00211).
    ((422,), r"00(201|202|203|210|211)", "recipient"),
    # Person not identified, civil data, year or month (errors.yml 00353-00356, 00366; OpenAPI 422).
    ((422,), r"\d{5}", "refusal"),
    # Withheld for legal reasons (errors.yml, kind 005).
    ((451,), r"\d{5}", "refusal"),
    # throttle.yml, documentation.fr.yml: Retry-After must be honoured or the address is banned 12 h.
    ((429,), r".*", "retry"),
    # Provider credentials (006) or certificate (009): people must mend it.
    ((502, 503, 504), r"\d\d(006|009)", "provider"),
    # Provider down, slow, throttled, in maintenance, unknown answer, network (OpenAPI 502 and 504, errors.yml).
    ((502, 503, 504), r".*", "retry"),
    ((401,), r".*", "token"),
    ((403,), r".*", "forbidden"),
    ((301, 302, 303, 307, 308), r".*", "redirect"),
)
"""(statuses, code, what it means); the first that fits wins, none is ``unexpected``."""


def query(identity: Identity, recipient: str, parameters: Mapping[str, str]) -> list[tuple[str, str]]:
    """The wire parameters of one call, in a fixed order; unknown parts of the birth are left out.

    Raises ``ParameterRefused`` (a ``ValueError``) for any parameter but a well-formed ``annee`` or ``mois``.
    """
    for name, value in parameters.items():
        if name not in PARAMETERS or not PARAMETERS[name].fullmatch(value):
            raise ParameterRefused("parameter not allowed by this data set")
    pairs = [
        ("recipient", recipient),
        ("nomNaissance", identity.nom_naissance),
        ("nomUsage", identity.nom_usage),
        *(("prenoms[]", prenom) for prenom in identity.prenoms[:PRENOMS_MAX]),
        *_birth_date(identity.date_naissance),
        ("sexeEtatCivil", identity.sexe_etat_civil),
        ("codeCogInseePaysNaissance", identity.code_cog_insee_pays_naissance),
        *_birth_place(identity),
        *((name, parameters[name]) for name in PARAMETERS if name in parameters),
    ]
    return [(name, value) for name, value in pairs if value]


def _birth_date(date: str) -> list[tuple[str, str]]:
    """Year, then month, then day, up to the first unknown: the State ignores a month without its year."""
    known = []
    for name, part in zip(("annee", "mois", "jour"), date.split("-"), strict=False):
        if not part.strip("0"):
            break
        known.append((f"{name}DateNaissance", part.lstrip("0")))
    return known


def _birth_place(identity: Identity) -> list[tuple[str, str]]:
    """The commune's code, or else its name and département; neither for a birth abroad (OpenAPI)."""
    if identity.code_cog_insee_pays_naissance != FRANCE:
        return []
    if identity.code_cog_insee_commune_naissance:
        return [("codeCogInseeCommuneNaissance", identity.code_cog_insee_commune_naissance)]
    return [
        ("nomCommuneNaissance", identity.nom_commune_naissance),
        ("codeCogInseeDepartementNaissance", identity.code_cog_insee_departement_naissance),
    ]


def interpret(status: int, headers: Mapping[str, str], body: bytes, identity: Identity) -> Reading:
    """What an HTTP answer means. Header names in lower case (or a case-insensitive mapping); never raises."""
    if status == 200:
        return _found(headers, body, identity)
    error = _error(body)
    code = error.code if error and re.fullmatch(r"\d{5}", error.code) else ""
    asked_s = _retry_in_s(error)
    meaning = "retry" if asked_s else _meaning(status, code)
    if meaning == "retry":
        return Retry(code, max(asked_s, _retry_after_s(headers)))
    title = error.title[:TITLE_MAX] if error else ""
    if meaning == "not_found":
        return NotFound(code, title)
    return StateRefusal(code, title) if meaning == "refusal" else Failure(code, meaning)


def _meaning(status: int, code: str) -> Meaning:
    for statuses, pattern, meaning in RULES:
        if status in statuses and re.fullmatch(pattern, code):
            return meaning
    return "unexpected"


def _found(headers: Mapping[str, str], body: bytes, identity: Identity) -> Reading:
    if headers.get("content-type", "").partition(";")[0].strip().lower() not in JSON_TYPES:
        return Failure("", "content_type")
    try:
        family = msgspec.json.decode(body, type=Envelope).data
    except msgspec.ValidationError:
        return Failure("", "schema")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Failure("", "garbage")
    if family == Family():
        return Failure("", "schema")
    return Found(msgspec.to_builtins(family)) if is_about(family, identity) else Failure("", "wrong_person")


def _error(body: bytes) -> ErrorItem | None:
    try:
        return msgspec.json.decode(body, type=ErrorBody).errors[0]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _retry_in_s(error: ErrorItem | None) -> float:
    """``meta.retry_in`` in seconds, 0 where absent or absurd."""
    value = (error.meta or {}).get("retry_in") if error else None
    return _delay_s(value) if isinstance(value, int | float) else 0.0


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """``Retry-After`` in seconds (RFC 9110 §10.2.3: a number, or a date here measured from ``Date``)."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return _delay_s(float(text[:12]))
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return _delay_s(wait.total_seconds())


def _delay_s(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        return 0.0
    return number if math.isfinite(number) and number > 0 else 0.0

"""The errors of the State's API families: from a status, headers and a body to what they mean.

Family ``apistration`` is the software of API Particulier v3 and v4 and of API Entreprise v3 and v4. Its error codes are a
provider (2 digits) and a kind (3 digits), ``siade/config/errors.yml``; the throttle is ``commons/data/throttle.yml``.
Family ``dgfip`` is the gateway of API Impôt particulier and SFiP: four or five digits in ``codeapp`` or ``erreur.code``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from connectors.contract import Cause, Failure, NotFound, Reading, Retry, StateRefusal

TITLE_MAX = 200

Meaning = Literal["not_found", "refusal", "retry"] | Cause
Rules = tuple[tuple[tuple[int, ...], str, Meaning], ...]

APISTRATION: Rules = (
    # The route's own 404 (OpenAPI): kind 003. A 404 without it is a wrong address, not an absent person.
    ((404,), r"\d\d003", "not_found"),
    # An identical call is in progress: the lock falls within a minute (api_controller.rb).
    ((409,), r"00015", "retry"),
    # Several people match (errors.yml, kind 015).
    ((409,), r"\d\d015", "refusal"),
    # The recipient, the context, the object are ours to set right, they say nothing about the person (errors.yml
    # 00201, 00202, 00203, 00210, and 00211: the recipient is the company asked).
    ((422,), r"00(201|202|203|210|211)", "recipient"),
    # Person not identified, civil data, year or month, Siren or Siret (errors.yml 00301, 00302, 00353-00356, 00366; OpenAPI).
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

DGFIP: Rules = (
    # "Aucune réponse ne peut être apportée" (Impôt particulier, LEP).
    ((204,), r"", "not_found"),
    # "L'API est actuellement indisponible" (SFiP, /information and default), whatever its status.
    (tuple(range(400, 600)), r"40401", "retry"),
    # Format of the tax number (4001), of the year (4002), of a département (4007), of a value (4003).
    ((400,), r"\d{4,5}", "refusal"),
    # "merci de renseigner le numéro fiscal et la date de naissance" (SFiP 40305): about the person, so sealed.
    ((403,), r"40305", "refusal"),
    # 40433: nobody found; 4101: nothing for that number and year; 4102: nobody of that number. Without code it is a wrong address.
    ((404, 410), r"\d{4,5}", "not_found"),
    # SFiP: "Aucun résultat".
    ((416,), r".*", "not_found"),
    # 401: a token that ended before its time, another is fetched; 409: in no contract of the DGFiP's, made again as elsewhere.
    ((401, 408, 409, 429), r".*", "retry"),
    ((500, 502, 503, 504), r".*", "retry"),
    # Accès refusé (4031): this account, this téléservice or this year is not allowed.
    ((403,), r".*", "forbidden"),
    ((400, 405, 406, 415), r".*", "client"),
    ((301, 302, 303, 307, 308), r".*", "redirect"),
)
"""Source: the two swagger files, and what API Particulier makes of the same answers (``siade`` ``dgfip/situation_ir``)."""


class ErrorItem(Struct, frozen=True):
    """One item of ``errors[]``; ``meta.retry_in`` is a number of seconds."""

    code: str
    title: str = ""
    meta: dict[str, object] | None = None


class ErrorBody(Struct, frozen=True):
    """The error body of ``apistration``: ``{"errors": [...]}`` (not RFC 9457)."""

    errors: Annotated[list[ErrorItem], Meta(min_length=1)]


class Erreur(Struct, frozen=True):
    """The DGFiP's error: a number and its words."""

    code: int | str = ""
    message: str | None = ""


class ErreurBody(Struct, frozen=True):
    """The error body of ``dgfip``: ``{"erreur": {...}}`` (SFiP), or ``codeapp`` (Impôt particulier)."""

    erreur: Erreur | None = None
    codeapp: int | str = ""
    message: str = ""


def _apistration(body: bytes) -> ErrorItem:
    return msgspec.json.decode(body, type=ErrorBody).errors[0]


def _dgfip(body: bytes) -> ErrorItem:
    said = msgspec.json.decode(body, type=ErreurBody)
    erreur = said.erreur or Erreur(said.codeapp, said.message)
    return ErrorItem(str(erreur.code), erreur.message or "")


class Family(NamedTuple):
    """How a family of State APIs says no: its table, what its codes look like, its error body (``MsgspecError`` where it is none)."""

    rules: Rules
    code: str
    error: Callable[[bytes], ErrorItem]


FAMILIES: Mapping[str, Family] = {
    "apistration": Family(APISTRATION, r"[0-9]{5}", _apistration),
    "dgfip": Family(DGFIP, r"[0-9]{4,5}", _dgfip),
}


def refused(family: Family, status: int, headers: Mapping[str, str], body: bytes) -> Reading:
    """What an answer that is no 200 means. Whatever the status, a State that says when to come back is not done answering."""
    error = _error(family, body)
    code = error.code if error and re.fullmatch(family.code, error.code) else ""
    asked_s = _retry_in_s(error)
    meaning = "retry" if asked_s else _meaning(family.rules, status, code)
    if meaning == "retry":
        return Retry(code, max(asked_s, _retry_after_s(headers)))
    title = error.title[:TITLE_MAX] if error else ""
    if meaning == "not_found":
        return NotFound(code, title)
    return StateRefusal(code, title) if meaning == "refusal" else Failure(code, meaning)


def _meaning(rules: Rules, status: int, code: str) -> Meaning:
    for statuses, pattern, meaning in rules:
        if status in statuses and re.fullmatch(pattern, code):
            return meaning
    return "unexpected"


def _error(family: Family, body: bytes) -> ErrorItem | None:
    try:
        return family.error(body)
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

"""Errors of the HTTP API: RFC 9457 documents, made from the one catalogue (`exchange.core.errors`)."""

from __future__ import annotations

from typing import Any

from exchange.core.errors import CATALOGUE, Code
from portal.core.language import Language

MEDIA_TYPE = "application/problem+json"
RETRY_S = 5
"""When to ask again, where nothing better is known."""

STATUS: dict[Code, int] = {
    Code.BAD_JSON: 400, Code.BAD_FIELD: 400, Code.BAD_CURSOR: 400, Code.ADDRESS_REFUSED: 400, Code.BAD_FRAME: 400, Code.BAD_AVRO: 400,
    Code.BAD_KEY: 400, Code.TTL_OUT_OF_BOUNDS: 400, Code.DATA_SET_UNKNOWN: 400, Code.PARAMETER_UNKNOWN: 400,
    Code.TOKEN_INVALID: 401, Code.CLIENT_INVALID: 401,
    Code.NOT_THERE: 404, Code.REQUEST_UNKNOWN: 404, Code.AUTHORISATION_UNKNOWN: 404,
    Code.METHOD_UNKNOWN: 405, Code.NOT_ACCEPTABLE: 406, Code.CURSOR_LAPSED: 410, Code.PRECONDITION_FAILED: 412, Code.TOO_LARGE: 413,
    Code.MEDIA_TYPE: 415, Code.HOST_UNKNOWN: 421, Code.KEY_REUSED: 422, Code.TOO_MANY: 429,
    Code.IN_FLIGHT: 409, Code.CONFLICT: 409,
    Code.DELEGATION_ABSENT: 403, Code.HABILITATION_ABSENT: 403,
    Code.INTERNAL: 500, Code.UNAVAILABLE: 503, Code.RECOVERING: 503,
}  # fmt: skip
"""HTTP statuses (RFC 9110 §15); any other code is a state of things that does not allow the call: 409."""


class Problem(Exception):
    """A call that is not answered as asked. `field` names what is wrong, never its value; `recorded`: done all the same (a withdrawal)."""

    def __init__(self, code: Code, field: str = "", *, retry_in_s: int | None = None, recorded: bool = False) -> None:
        super().__init__(code.value)
        self.code, self.field, self.recorded = code, field, recorded
        self.retry_in_s = (
            RETRY_S if retry_in_s is None and status(code) in (409, 503) and CATALOGUE[code].retry else retry_in_s
        )


def status(code: Code) -> int:
    """The HTTP status of a code."""
    return STATUS.get(code, 409)


def document(problem: Problem, language: Language) -> dict[str, Any]:
    """The problem as RFC 9457 tells it (§3.1), with members of ours (§3.2) as the reference page of OpenAPI describes them."""
    told = explained(problem.code, language) | {"status": status(problem.code)}
    if problem.field:
        told["errors"] = [{"field": problem.field}]
    if problem.retry_in_s is not None:
        told["retry_in_s"] = problem.retry_in_s
    if problem.recorded:
        told["recorded"] = True
    return told


def explained(code: Code, language: Language, provider_code: str = "") -> dict[str, Any]:
    """Why, who has to act and what to do; `provider_code` is the State's own, kept as it came."""
    entry = CATALOGUE[code]
    told = {
        "type": f"urn:accord:problem:{code.value}", "title": entry.cause(language), "detail": entry.todo(language), "code": code.value,
        "origin": entry.origin, "retry": entry.retry, "cause": entry.cause(language), "todo": entry.todo(language),
    }  # fmt: skip
    return told | ({"provider_code": provider_code} if provider_code else {})

"""`POST /v1/token`: an access token for a client's signed assertion."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse, Response

from exchange.core.errors import Code
from portal.api import tokens
from portal.api.certificates import thumbprint
from portal.api.context import ApiDep, unproven
from portal.api.errors import answer
from portal.api.models import Answer
from portal.api.strict import StrictRoute
from portal.core.assertions import BadAssertion
from portal.core.strict_json import BadJson

router = APIRouter(route_class=StrictRoute, tags=["token"])
BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Token(Answer):
    """An access token (RFC 6749 §5.1)."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int


@router.post("/token", response_model=Token)
async def token(
    request: Request,
    api: ApiDep,
    grant_type: Annotated[Literal["client_credentials"], Form()],
    client_assertion_type: Annotated[Literal["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"], Form()],
    client_assertion: Annotated[str, Form(max_length=tokens.ASSERTION_MAX_CHARS)],
) -> Response:
    """Un jeton de dix minutes pour une assertion signée (RFC 7523). · A token of ten minutes for a signed assertion.

    `aud`: this address or that of the API; `iss` = `sub`: the client; `exp` within five minutes; `jti` once; ES256, EdDSA or PS256.
    """
    store, now_ms, certificate = api.parts.store, api.now_ms(), thumbprint(request, api.proxies)
    try:
        audiences = frozenset((f"{api.parts.url}/v1/token", f"{api.parts.url}/v1"))
        client = tokens.proven(store, client_assertion, audiences, certificate, now_ms)
    except (BadAssertion, BadJson):
        return answer(request, unproven(request, Code.CLIENT_INVALID), error="invalid_client")
    delegations = await api.parts.ledger.delegations()
    recipients = [d.recipient for d in delegations if d.operator == client.operator and d.not_after_ms > now_ms]
    text = tokens.issue(store, client, recipients, certificate, now_ms)
    body = {"access_token": text, "token_type": "Bearer", "expires_in": tokens.LIFE_S}
    return JSONResponse(body, headers={"cache-control": "no-store"})

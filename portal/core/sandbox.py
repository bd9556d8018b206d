"""What the identity sandbox answers, as FranceConnect v2 and ProConnect do: requests judged, claims written. Pure; a sandbox's rules only."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from exchange.core.urls import LOOPBACK
from portal.core.login import LEVELS, Kind

CODE_MS, ACCESS_MS, TOKEN_S = 30_000, 60_000, 60
"""FranceConnect's own: a code lives 30 s, an access token 60 s."""
Error = Literal["invalid_request", "unauthorized_client", "invalid_client", "invalid_grant", "invalid_token"]


class BadRequest(Exception):
    """A request that is answered with an error of RFC 6749."""

    def __init__(self, error: Error) -> None:
        super().__init__(error)
        self.error = error


class Registered(msgspec.Struct, frozen=True):
    """A client the sandbox knows; it comes back to any port of this machine."""

    client_id: str
    kind: Kind
    secret_hash: bytes


class Wanted(msgspec.Struct, frozen=True):
    """An authorisation request that holds: what a login must lead to."""

    client_id: str
    redirect_uri: str
    state: str
    nonce: str
    challenge: str
    acr: str


def wanted(asked: Mapping[str, str], clients: Mapping[str, Registered], kind: Kind) -> Wanted:
    """The request, if it is as FranceConnect wants it: state, nonce of 22 characters or more, PKCE S256. `BadRequest` otherwise."""
    client = clients.get(asked.get("client_id", ""))
    if client is None or client.kind != kind:
        raise BadRequest("unauthorized_client")
    if not on_this_machine(asked.get("redirect_uri", "")):
        raise BadRequest("invalid_request")
    fixed = {"response_type": "code", "code_challenge_method": "S256"}
    if any(asked.get(name) != value for name, value in fixed.items()) or "openid" not in asked.get("scope", "").split():
        raise BadRequest("invalid_request")
    if not asked.get("state") or len(asked.get("nonce", "")) < 22 or len(asked.get("code_challenge", "")) != 43:
        raise BadRequest("invalid_request")
    acr = (asked.get("acr_values") or "eidas1").split()[0]
    return Wanted(
        asked["client_id"], asked["redirect_uri"], asked["state"], asked["nonce"], asked["code_challenge"], acr if acr in LEVELS else "eidas1"
    )  # fmt: skip


def on_this_machine(address: str) -> bool:
    """Whether an address is of this machine: fictitious people are sent nowhere else."""
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname in LOOPBACK


def redeemable(client: Registered | None, held: Wanted | None, form: Mapping[str, str]) -> Wanted:
    """The login a code stands for, for the client it was given to and the browser that began it. `BadRequest` otherwise."""
    secret = sha256(form.get("client_secret", "").encode()).digest()
    if client is None or not hmac.compare_digest(secret, client.secret_hash):
        raise BadRequest("invalid_client")
    if held is None or held.client_id != client.client_id or held.redirect_uri != form.get("redirect_uri"):
        raise BadRequest("invalid_grant")
    if create_s256_code_challenge(form.get("code_verifier", "")) != held.challenge:
        raise BadRequest("invalid_grant")
    return held


def subject(key: bytes, client_id: str, person: str) -> str:
    """Pairwise, as FranceConnect's: 64 hexadecimal digits and `v1`."""
    return hmac.digest(key, f"{client_id}\n{person}".encode(), "sha256").hex() + "v1"


def id_token(issuer: str, held: Wanted, sub: str, now_s: int) -> dict[str, Any]:
    return {
        "iss": issuer, "sub": sub, "aud": held.client_id, "iat": now_s, "exp": now_s + TOKEN_S, "nonce": held.nonce, "acr": held.acr,
        "amr": ["pwd"], "auth_time": now_s,
    }  # fmt: skip


def userinfo(issuer: str, held: Wanted, sub: str, claims: Mapping[str, str], now_s: int) -> dict[str, Any]:
    """`given_name_array` beside `given_name`, as FranceConnect has it."""
    told: dict[str, Any] = {
        "iss": issuer,
        "aud": held.client_id,
        "sub": sub,
        "iat": now_s,
        "exp": now_s + TOKEN_S,
        **claims,
    }
    return told | (
        {"given_name_array": claims["given_name"].split()} if "family_name" in claims and "given_name" in claims else {}
    )


def discovery(issuer: str, kind: Kind) -> dict[str, Any]:
    """The document at `/.well-known/openid-configuration` (OpenID Connect Discovery 1.0 §3)."""
    return {
        "issuer": issuer, "authorization_endpoint": f"{issuer}/authorize", "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo", "jwks_uri": f"{issuer}/jwks", "end_session_endpoint": f"{issuer}/session/end",
        "response_types_supported": ["code"], "subject_types_supported": ["pairwise"], "acr_values_supported": list(LEVELS),
        "id_token_signing_alg_values_supported": ["ES256"], "userinfo_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post"], "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": kind == "agent",
    }  # fmt: skip

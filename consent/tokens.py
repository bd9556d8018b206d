"""What an identity provider vouches for, verified before a grant is written (protocol §7): signature, audience, level, freshness, and
a nonce that covers the very terms agreed to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from consent.core.agreement import ASSURANCES, grant_nonce, reference_of
from consent.core.facts import Evidence, Terms, Tokens
from consent.core.pivot import matches
from consent.issuers import Issuer
from exchange.core.errors import Code
from exchange.core.identity import read
from exchange.ports import Refused

AGE_MAX_S = 600
CLOCK_SKEW_S = 60
ALGORITHMS = ["ES256"]


class Login(msgspec.Struct, frozen=True):
    """What a token proves: who (`sub`, pairwise at its issuer), the nonce to be used once, and the key that signed it (a JWK)."""

    subject: str
    nonce: str
    key: dict[str, Any]


def vouch(
    issuers: tuple[Issuer, ...], authorisation: bytes, terms: Terms, identity: bytes, evidence: Evidence, now_ms: int
) -> Login:
    """What the tokens of this evidence prove for these terms; `Refused` unless they prove all they should: the person's own login
    online, with a pivot that is the agreement's identity, or the parent's who speaks for them; on the other channels the login of the agent
    who is named by reference."""
    tokens, kind = evidence.tokens, "citizen" if evidence.channel == "online" else "agent"
    spoke = evidence.representation
    acting = spoke.identity if spoke is not None and spoke.kind == "parent" else identity
    if tokens is None:
        raise Refused(Code.EVIDENCE_MISSING)
    nonce = grant_nonce(terms, authorisation, tokens.random)
    for issuer in (one for one in issuers if one.kind == kind):
        try:
            claims, key = _login(issuer, tokens, terms, nonce, now_ms // 1000)
            if kind == "citizen" and not _about(issuer, tokens, claims, acting):
                continue
            if kind == "citizen" and not _reached(claims, evidence.assurance):
                continue
            if kind == "agent" and reference_of(issuer.issuer, str(claims["sub"])) != evidence.agent:
                continue
            return Login(str(claims["sub"]), nonce, key)
        except (JoseError, ValueError, KeyError, TypeError):
            continue
    raise Refused(Code.EVIDENCE_INVALID)


def _login(
    issuer: Issuer, tokens: Tokens, terms: Terms, nonce: str, now_s: int
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    keys = KeySet.import_key_set(issuer.jwks)  # type: ignore[arg-type]  # a JWKS as it was published
    token = jwt.decode(tokens.id_token, keys, algorithms=ALGORITHMS)
    claims = token.claims
    jwt.JWTClaimsRegistry(
        now=now_s,
        leeway=CLOCK_SKEW_S,
        iss={"essential": True, "value": issuer.issuer},
        nonce={"essential": True, "value": nonce},
        iat={"essential": True},
        exp={"essential": True},
        sub={"essential": True},
    ).validate(claims)
    if not now_s - AGE_MAX_S <= int(claims["iat"]) <= now_s + CLOCK_SKEW_S:
        raise ValueError("login too old")
    audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
    if len(audience) != 1 or issuer.clients.get(audience[0]) not in (terms.recipient, "*"):
        raise ValueError("another client's login")
    signed_by = next(key for key in keys.keys if key.kid == token.header.get("kid"))
    return claims, dict(signed_by.as_dict(private=False))


def _about(issuer: Issuer, tokens: Tokens, claims: Mapping[str, Any], identity: bytes) -> bool:
    """Whether the userinfo is of the same login and of the person of `identity`."""
    told = jwt.decode(tokens.userinfo, KeySet.import_key_set(issuer.jwks), algorithms=ALGORITHMS).claims  # type: ignore[arg-type]  # as above
    same = told.get("sub") == claims["sub"] and told.get("iss", issuer.issuer) == issuer.issuer
    return same and told.get("aud", claims["aud"]) == claims["aud"] and matches(read(identity), told)


def _reached(claims: Mapping[str, Any], assurance: str) -> bool:
    """Whether the login reached the level the evidence claims."""
    reached = claims.get("acr")
    return reached in ASSURANCES and ASSURANCES.index(reached) >= ASSURANCES.index(assurance)

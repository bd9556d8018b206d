"""What a client's signed assertion must say to be given a token (RFC 7523 §3, RFC 7521 §5.2; OpenID Connect Core §9)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALGORITHMS = ("ES256", "EdDSA", "Ed25519", "PS256")
"""Asymmetric only: neither `none`, nor a shared secret that the public key could be taken for."""
LIFE_MAX_S, SKEW_S = 300, 30
JTI_MAX_CHARS = 256


class BadAssertion(ValueError):
    """It does not prove the client. One word for all reasons: none is told."""


def checked(claims: Mapping[str, Any], client: str, audiences: frozenset[str], now_s: int) -> tuple[str, int]:
    """The assertion's own id, to be met once, and until when (s since 1970). BadAssertion unless `iss` and `sub` are the client, one of `aud`
    is ours, and it lives at most five minutes from now."""
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if claims.get("iss") != client or claims.get("sub") != client or not isinstance(named, list):
        raise BadAssertion
    if not any(isinstance(one, str) and one in audiences for one in named):
        raise BadAssertion
    jti, until = claims.get("jti"), _second(claims, "exp")
    if not isinstance(jti, str) or not 0 < len(jti) <= JTI_MAX_CHARS or until is None:
        raise BadAssertion
    if not now_s - SKEW_S < until <= now_s + LIFE_MAX_S + SKEW_S:
        raise BadAssertion
    if any((since := _second(claims, name)) is not None and since > now_s + SKEW_S for name in ("iat", "nbf")):
        raise BadAssertion
    return jti, until


def _second(claims: Mapping[str, Any], name: str) -> int | None:
    """A time, None where there is none; BadAssertion where it is no number."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        raise BadAssertion
    return int(value)

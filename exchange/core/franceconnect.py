"""What FranceConnect says of an access token, judged (pure): the person it vouches for, or why it does not.

Sources: the answer of `checktoken` (FranceConnect `data-provider.service.ts`: `{iss, aud, iat, token_introspection}`), the pivot identity
(docs.partenaires.franceconnect.gouv.fr), and what API Particulier reads of the same answer (`siade` `france_connect/v2`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from exchange.core.errors import Code
from exchange.core.identity import BadIdentity, Identity

LEVELS = ("eidas1", "eidas2", "eidas3")
SKEW_S = 10
"""How far two clocks may be apart. An access token lives 60 s."""
FRESH_S = 60
LIFE_MAX_S = 300
_SEX = {"male": "M", "female": "F"}


class NotVouched(Exception):
    """FranceConnect does not vouch for this token as we need; the code says why, nothing personal."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.value)
        self.code = code


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer must say. `client_id` is ours as data provider; `services` are the client ids whose users we serve; `assurance` is
    the least `acr`; `scopes` are those the person must have been shown."""

    issuer: str
    client_id: str
    services: frozenset[str]
    assurance: str = "eidas1"
    scopes: frozenset[str] = frozenset()


class Vouched(NamedTuple):
    """A person FranceConnect vouches for, and the id of the token that showed it, to be used once until `until_s`."""

    identity: Identity
    assurance: str
    jti: str
    until_s: int


@dataclass(frozen=True, slots=True)
class _Token:
    """The part of the answer about the token."""

    claims: Mapping[str, Any] = field(repr=False)

    def text(self, name: str) -> str:
        value = self.claims.get(name)
        if not isinstance(value, str) or not value:
            raise NotVouched(Code.FRANCECONNECT_INVALID)
        return value

    def time_s(self, name: str) -> int:
        return _time_s(self.claims, name)


def vouched(claims: object, expected: Expected, now_s: int) -> Vouched:
    """The person these claims vouch for, at `now_s` (Unix seconds). Their signature is checked already. Raises `NotVouched`."""
    token = _Token(_addressed(claims, expected, now_s))
    if token.claims.get("active") is not True:
        raise NotVouched(Code.FRANCECONNECT_EXPIRED)
    began_s, until_s = token.time_s("iat"), token.time_s("exp")
    if now_s >= until_s + SKEW_S:
        raise NotVouched(Code.FRANCECONNECT_EXPIRED)
    if began_s > now_s + SKEW_S or until_s - began_s > LIFE_MAX_S or token.text("aud") not in expected.services:
        raise NotVouched(Code.FRANCECONNECT_INVALID)
    assurance = token.claims.get("acr")
    if assurance not in LEVELS or LEVELS.index(assurance) < LEVELS.index(expected.assurance):
        raise NotVouched(Code.ASSURANCE_TOO_LOW)
    if not expected.scopes <= frozenset(token.text("scope").split()):
        raise NotVouched(Code.SCOPE_EXCEEDED)
    return Vouched(pivot_of(token.claims), assurance, token.text("jti"), until_s + SKEW_S)


def _addressed(claims: object, expected: Expected, now_s: int) -> Mapping[str, Any]:
    """The introspection of an answer made by FranceConnect, to us, just now."""
    if not isinstance(claims, Mapping):
        raise NotVouched(Code.FRANCECONNECT_INVALID)
    made_s, audience = _time_s(claims, "iat"), claims.get("aud")
    ours = audience in (expected.client_id, [expected.client_id])
    fresh = now_s - FRESH_S <= made_s <= now_s + SKEW_S
    token = claims.get("token_introspection")
    if claims.get("iss") != expected.issuer or not ours or not fresh or not isinstance(token, Mapping):
        raise NotVouched(Code.FRANCECONNECT_INVALID)
    return token


def _time_s(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int:
        raise NotVouched(Code.FRANCECONNECT_INVALID)
    return value


def pivot_of(claims: Mapping[str, Any]) -> Identity:
    """The pivot as a canonical identity, every field of it there: a token is shown to a State API that asks for each. Raises `NotVouched`."""
    token = _Token(claims)
    for name in ("given_name", "birthcountry", "gender"):
        if name != "given_name" or not claims.get("given_name_array"):
            token.text(name)
    return identity_of(claims)


def identity_of(claims: Mapping[str, Any]) -> Identity:
    """The pivot identity as a canonical one. A presumed day is the first of the month in the pivot, and stays so; a person may have no
    given name, and who comes through eIDAS (Regulation 2015/1501: names and birth date only) neither sex nor place. Raises `NotVouched`."""
    names = claims.get("given_name_array") or _optional(claims, "given_name").split()
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise NotVouched(Code.FRANCECONNECT_INVALID)
    gender = _optional(claims, "gender")
    if not _optional(claims, "family_name") or not _optional(claims, "birthdate") or gender not in ("", *_SEX):
        raise NotVouched(Code.FRANCECONNECT_INVALID)
    try:
        return Identity(
            nom_naissance=_optional(claims, "family_name"),
            nom_usage=_optional(claims, "preferred_username"),
            prenoms=tuple(names),
            date_naissance=_optional(claims, "birthdate"),
            sexe_etat_civil=_SEX.get(gender, ""),
            code_cog_insee_pays_naissance=_optional(claims, "birthcountry"),
            code_cog_insee_commune_naissance=_optional(claims, "birthplace"),
        )
    except BadIdentity:
        raise NotVouched(Code.FRANCECONNECT_INVALID) from None


def _optional(claims: Mapping[str, Any], name: str) -> str:
    """A claim's text, empty where it is absent."""
    value = claims.get(name) or ""
    if not isinstance(value, str):
        raise NotVouched(Code.FRANCECONNECT_INVALID)
    return value

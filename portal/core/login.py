"""Logging in with an identity provider (OpenID Connect Core 1.0, code flow): what is asked, and what an answer must hold. Pure.

FranceConnect v2 and ProConnect want `state`, `nonce`, PKCE S256 (RFC 7636) and signed answers; the level of assurance is checked in the
answer, whatever was asked; where the provider says that it names itself in the callback (RFC 9207), that name is checked too.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import msgspec

from exchange.core.errors import Code
from exchange.core.urls import secure_url

Kind = Literal["citizen", "agent"]
LOGIN_MS = 600_000
"""How long somebody may take between leaving for the identity provider and coming back; a token older than that proves nothing."""
SKEW_S = 60
LEVELS = ("eidas1", "eidas2", "eidas3")
SCOPES: Mapping[Kind, str] = {
    "citizen": "openid given_name family_name birthdate gender birthplace birthcountry preferred_username",
    "agent": "openid given_name usual_name siret",
}
"""FranceConnect's pivot identity by its parts; ProConnect's own names (`profile` is not one of its scopes)."""


class NotLoggedIn(Exception):
    """The login did not succeed; the code says why, nothing personal."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.value)
        self.code = code


class Client(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Our account at an identity provider. `name` is in our addresses; `acr` are the levels accepted, the asked one first, empty for any;
    `plus`: its answers are encrypted to us (FranceConnect+)."""

    name: str
    kind: Kind
    issuer: str
    client_id: str
    scope: str = ""
    acr: tuple[str, ...] = ()
    plus: bool = False
    label: str = ""

    @property
    def scopes(self) -> str:
        return self.scope or SCOPES[self.kind]


class Provider(msgspec.Struct, frozen=True):
    """An identity provider, as its discovery document says it."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    end_session_endpoint: str = ""
    authorization_response_iss_parameter_supported: bool = False


class Going(msgspec.Struct, frozen=True, kw_only=True):
    """A login under way, kept by the browser's session: its secrets (`state`, `nonce`, the PKCE `verifier`), the role and the level
    needed, where the person goes on afterwards (`then`), and what it is for: `subject`, whatever the space that started it says."""

    client: str
    state: str
    nonce: str
    verifier: str
    began_ms: int
    role: str
    assurance: str = ""
    then: str = "/"
    subject: str = ""


def discovered(document: object, client: Client) -> Provider:
    """The provider of a discovery document (OpenID Connect Discovery 1.0 §3, §4.3): the issuer is the one expected, each address secure."""
    try:
        found = msgspec.convert(document, Provider)
        for address in (found.authorization_endpoint, found.token_endpoint, found.userinfo_endpoint, found.jwks_uri):
            secure_url(address)
        if found.end_session_endpoint:
            secure_url(found.end_session_endpoint)
    except ValueError:
        raise NotLoggedIn(Code.IDENTITY_PROVIDER_UNAVAILABLE) from None
    if found.issuer != client.issuer:
        raise NotLoggedIn(Code.IDENTITY_PROVIDER_UNAVAILABLE)
    return found


def accepted(client: Client, assurance: str) -> tuple[str, ...]:
    """The levels that will do: those of the client, and for a level of eIDAS none below the one needed."""
    if assurance not in LEVELS or not set(client.acr) <= set(LEVELS):
        return client.acr
    enough = LEVELS[LEVELS.index(assurance) :]
    return tuple(level for level in client.acr or LEVELS if level in enough)


def leaving(client: Client, provider: Provider, going: Going, challenge: str, redirect_uri: str) -> str:
    """The address to send the browser to. `challenge` is S256 of the verifier. `NotLoggedIn` where the client cannot reach the level needed."""
    levels = accepted(client, going.assurance)
    if not levels and (client.acr or going.assurance):
        raise NotLoggedIn(Code.ASSURANCE_TOO_LOW)
    asked = {
        "response_type": "code", "client_id": client.client_id, "redirect_uri": redirect_uri, "scope": client.scopes,
        "state": going.state, "nonce": going.nonce, "code_challenge": challenge, "code_challenge_method": "S256",
    }  # fmt: skip
    if levels:
        asked["acr_values"] = levels[0]
    return with_query(provider.authorization_endpoint, asked)


def came_back(provider: Provider, going: Going, answer: Mapping[str, str], now_ms: int) -> str:
    """The code of an answer to this login; `NotLoggedIn` for an error, another provider's answer (RFC 9207) or one too late."""
    if not hmac.compare_digest(answer.get("state", "").encode(), going.state.encode()):
        raise NotLoggedIn(Code.LOGIN_INVALID)
    if not going.began_ms <= now_ms < going.began_ms + LOGIN_MS:
        raise NotLoggedIn(Code.LOGIN_EXPIRED)
    named = answer.get("iss", "" if provider.authorization_response_iss_parameter_supported else provider.issuer)
    if named != provider.issuer:
        raise NotLoggedIn(Code.LOGIN_INVALID)
    if error := answer.get("error"):
        raise NotLoggedIn(_ERRORS.get(error, Code.IDENTITY_PROVIDER_UNAVAILABLE))
    if not answer.get("code"):
        raise NotLoggedIn(Code.LOGIN_INVALID)
    return answer["code"]


_ERRORS = {
    "access_denied": Code.LOGIN_REFUSED,
    "login_required": Code.LOGIN_REFUSED,
    "interaction_required": Code.LOGIN_REFUSED,
    "consent_required": Code.LOGIN_REFUSED,
    "unmet_authentication_requirements": Code.ASSURANCE_TOO_LOW,
}
"""RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6 and Unmet Authentication Requirements 1.0. All else is between the provider and us."""


def read_token(claims: Mapping[str, Any], client: Client, going: Going, now_s: int) -> str:
    """The subject of an ID token whose signature holds (OpenID Connect Core §3.1.3.7): issuer, audience, time, nonce, level."""
    audience = claims.get("aud")
    others = client.client_id not in (audience if isinstance(audience, list) else [audience]) or (
        isinstance(audience, list) and len(audience) != 1
    )
    if claims.get("iss") != client.issuer or others or claims.get("azp", client.client_id) != client.client_id:
        raise NotLoggedIn(Code.LOGIN_INVALID)
    if not hmac.compare_digest(str(claims.get("nonce", "")).encode(), going.nonce.encode()):
        raise NotLoggedIn(Code.LOGIN_INVALID)
    made_s, until_s = _time_s(claims, "iat"), _time_s(claims, "exp")
    if now_s >= until_s + SKEW_S or made_s < now_s - LOGIN_MS // 1000:
        raise NotLoggedIn(Code.LOGIN_EXPIRED)
    if made_s > now_s + SKEW_S:
        raise NotLoggedIn(Code.LOGIN_INVALID)
    levels = accepted(client, going.assurance)
    if levels and claims.get("acr") not in levels:
        raise NotLoggedIn(Code.ASSURANCE_TOO_LOW)
    return _text(claims, "sub")


def read_userinfo(told: Mapping[str, Any], token: Mapping[str, Any], client: Client) -> None:
    """`NotLoggedIn` unless a userinfo whose signature holds is of the same login (OpenID Connect Core §5.3.2, §5.3.4)."""
    audience = told.get("aud", client.client_id)
    if told.get("sub") != token["sub"] or told.get("iss", client.issuer) != client.issuer:
        raise NotLoggedIn(Code.LOGIN_INVALID)
    if audience not in (client.client_id, [client.client_id]):
        raise NotLoggedIn(Code.LOGIN_INVALID)


def read_alone(told: Mapping[str, Any], client: Client) -> None:
    """`NotLoggedIn` unless a userinfo whose signature holds, got with a token that somebody showed us, is of a login made for this very
    client: here no ID token says so, and another service's token would be as good as ours."""
    if told.get("iss") != client.issuer or told.get("aud") not in (client.client_id, [client.client_id]):
        raise NotLoggedIn(Code.LOGIN_INVALID)


class Agent(msgspec.Struct, frozen=True):
    """A public agent, as ProConnect says: pairwise subject, name, and the establishment (SIRET) they work for."""

    subject: str
    name: str
    siret: str


def agent_of(told: Mapping[str, Any]) -> Agent:
    """The agent of a userinfo: ProConnect has no `family_name`, its own is `usual_name`."""
    names = [_text(told, "given_name"), _text(told, "usual_name")]
    siret = "".join(_text(told, "siret").split())
    if len(siret) != 14 or not siret.isdecimal() or not siret.isascii():
        raise NotLoggedIn(Code.LOGIN_INVALID)
    return Agent(_text(told, "sub"), " ".join(names), siret)


def logging_out(provider: Provider, id_token: str, state: str, return_uri: str) -> str:
    """Where the browser goes to log out there too (OpenID Connect RP-Initiated Logout 1.0 §2); empty where the provider has no such page."""
    if not provider.end_session_endpoint:
        return ""
    asked = {"id_token_hint": id_token, "state": state, "post_logout_redirect_uri": return_uri}
    return with_query(provider.end_session_endpoint, asked)


def with_query(address: str, asked: Mapping[str, str]) -> str:
    """An address with these parameters added."""
    return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(asked)}"


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= 255:
        raise NotLoggedIn(Code.LOGIN_INVALID)
    return value


def _time_s(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int:
        raise NotLoggedIn(Code.LOGIN_INVALID)
    return value

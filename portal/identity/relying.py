"""One identity provider as we rely on it: where a browser is sent, what its coming back proves. Rules in `portal.core.login`."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt

from exchange.bounded import Outside, Said
from exchange.core.errors import Code
from exchange.core.franceconnect import NotVouched, identity_of, pivot_of
from exchange.core.identity import Identity, canonical
from exchange.core.urls import secure_url
from exchange.ports import Clock, Unavailable
from exchange.published_keys import PublishedKeys
from portal.core import login
from portal.core.login import Agent, Client, Going, NotLoggedIn, Provider
from portal.identity.accounts import Account
from portal.identity.tokens import opened

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_S = 60
DISCOVERY_MS = 3_600_000


def secret() -> str:
    """32 random bytes, as text that any parameter may hold (RFC 7636 §4.1 for a verifier)."""
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


class LoggedIn(NamedTuple):
    """Somebody who came back: what the provider says of them, and the JWS it says it with, as the ledger wants them (protocol §7). One of
    `identity` (canonical) and `agent` is there."""

    client: Client
    subject: str
    assurance: str
    id_token: str
    userinfo: str
    identity: bytes
    agent: Agent | None


class Relying:
    """Our side of one account."""

    def __init__(self, account: Account, outside: Outside, clock: Clock) -> None:
        """ValueError where the issuer is not reached over https, or on this machine."""
        secure_url(account.client.issuer)
        self.client = account.client
        self._account, self._outside, self._clock = account, outside, clock
        self._provider: Provider | None = None
        self._read_ms = 0
        self._keys: PublishedKeys | None = None

    async def leaving(self, going: Going, redirect_uri: str) -> str:
        """The address at the provider that starts this login. Raises `NotLoggedIn`."""
        challenge = create_s256_code_challenge(going.verifier)
        return login.leaving(self.client, await self._discovered(), going, challenge, redirect_uri)

    async def came_back(self, going: Going, answer: Mapping[str, str], redirect_uri: str) -> LoggedIn:
        """Who came back with this answer to that login. Raises `NotLoggedIn`."""
        provider = await self._discovered()
        code = login.came_back(provider, going, answer, self._clock.now_ms())
        tokens = await self._tokens(provider, code, going.verifier, redirect_uri)
        keys = self._published(provider)
        id_token, claims = await opened(self._account, keys, tokens["id_token"])
        subject = login.read_token(claims, self.client, going, self._clock.now_ms() // 1000)
        userinfo, told = await opened(self._account, keys, await self._userinfo(provider, tokens["access_token"]))
        login.read_userinfo(told, claims, self.client)
        return self._who(subject, claims, id_token, userinfo, told)

    async def vouched(self, access_token: str) -> Identity:
        """The person of an access token shown to us, as the provider signs it to us. Raises `NotLoggedIn`: `login_expired` for a token that
        is unknown or over, `login_invalid` for one that shows no pivot identity, or was another client's."""
        provider = await self._discovered()
        signed = await self._userinfo(provider, access_token, Code.LOGIN_EXPIRED)
        _, told = await opened(self._account, self._published(provider), signed)
        login.read_alone(told, self.client)
        try:
            return pivot_of(told)
        except NotVouched:
            raise NotLoggedIn(Code.LOGIN_INVALID) from None

    async def logging_out(self, id_token: str, state: str, return_uri: str) -> str:
        """The provider's address that ends the session there too; empty where there is none, or it cannot be told now."""
        try:
            return login.logging_out(await self._discovered(), id_token, state, return_uri)
        except NotLoggedIn:
            return ""

    def _who(
        self, subject: str, claims: Mapping[str, Any], id_token: str, userinfo: str, told: Mapping[str, Any]
    ) -> LoggedIn:
        citizen = self.client.kind == "citizen"
        try:
            identity = canonical(identity_of(told)) if citizen else b""
        except NotVouched:
            raise NotLoggedIn(Code.LOGIN_INVALID) from None
        agent = None if citizen else login.agent_of(told)
        return LoggedIn(self.client, subject, str(claims.get("acr", "")), id_token, userinfo, identity, agent)

    async def _discovered(self) -> Provider:
        now_ms = self._clock.now_ms()
        if self._provider is None or now_ms - self._read_ms >= DISCOVERY_MS:
            document = await self._json("GET", f"{self.client.issuer}/.well-known/openid-configuration")
            self._provider, self._read_ms = login.discovered(document, self.client), now_ms
        return self._provider

    def _published(self, provider: Provider) -> PublishedKeys:
        if self._keys is None:
            self._keys = PublishedKeys(provider.jwks_uri, self._outside, self._clock)
        return self._keys

    async def _tokens(self, provider: Provider, code: str, verifier: str, redirect_uri: str) -> dict[str, str]:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        found = await self._json("POST", provider.token_endpoint, form | self._authenticated(provider))
        if not isinstance(found, dict) or not all(isinstance(found.get(n), str) for n in ("id_token", "access_token")):
            raise NotLoggedIn(Code.LOGIN_INVALID)
        return found

    def _authenticated(self, provider: Provider) -> dict[str, str]:
        """`client_secret_post`, or `private_key_jwt` (RFC 7523 §2.2)."""
        who, key, now_s = self.client.client_id, self._account.key("sig"), self._clock.now_ms() // 1000
        if key is None:
            return {"client_id": who, "client_secret": self._account.secret}
        claims = {
            "iss": who,
            "sub": who,
            "aud": provider.token_endpoint,
            "iat": now_s,
            "exp": now_s + ASSERTION_S,
            "jti": secret(),
        }
        assertion = jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key, algorithms=["ES256"])
        return {"client_id": who, "client_assertion_type": ASSERTION, "client_assertion": assertion}

    async def _userinfo(self, provider: Provider, access_token: str, refused: Code | None = None) -> str:
        said = await self._said("GET", provider.userinfo_endpoint, bearer=access_token, refused=refused)
        if said.media_type != "application/jwt":  # unsigned: it would prove nothing to the ledger
            raise NotLoggedIn(Code.LOGIN_INVALID)
        return said.body.decode("latin-1")

    async def _json(self, method: str, url: str, form: Mapping[str, str] | None = None) -> object:
        try:
            return json.loads((await self._said(method, url, form)).body)
        except ValueError:
            raise NotLoggedIn(Code.IDENTITY_PROVIDER_UNAVAILABLE) from None

    async def _said(
        self,
        method: str,
        url: str,
        form: Mapping[str, str] | None = None,
        bearer: str = "",
        refused: Code | None = None,
    ) -> Said:
        """An answer of 200; 400 to a code or a token is theirs to refuse (`refused` says what that means), all else is a provider that
        does not answer."""
        try:
            said = await self._outside.read(method, url, form, bearer)
        except Unavailable:
            raise NotLoggedIn(Code.IDENTITY_PROVIDER_UNAVAILABLE) from None
        if said.status != 200:
            theirs = refused or (Code.LOGIN_INVALID if method == "POST" else Code.IDENTITY_PROVIDER_UNAVAILABLE)
            raise NotLoggedIn(theirs if said.status in (400, 401) else Code.IDENTITY_PROVIDER_UNAVAILABLE)
        return said

"""FranceConnect mode: an access token, read at once, becomes the identity that a request is about.

    async with FranceConnect(settings, SystemClock()) as france_connect:
        vouched = await france_connect.introspect(token)
        grant = await give(ledger, wallet, vouched.identity, now_ms)

The token lives 60 s: it is asked about here, at the edge of the application, and goes nowhere else: not on a topic, not into the
ledger, not into a log. What travels on, sealed, is the identity, and the State is called in its identity mode.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from joserfc import jwe, jws
from joserfc.jwk import import_key

from exchange.bounded import Outside
from exchange.core.errors import Code
from exchange.core.franceconnect import Expected, NotVouched, Vouched, vouched
from exchange.core.urls import secure_url
from exchange.outcomes import ExchangeError
from exchange.ports import Clock, Unavailable
from exchange.published_keys import PublishedKeys

SIGNED = ["ES256", "RS256"]
SEALED = ["RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "A256GCM"]
"""What FranceConnect signs and encrypts with; neither `none`, nor a shared secret, nor compression."""
TOKEN_MAX_CHARS = 4096


class NotIdentified(ExchangeError):
    """FranceConnect does not vouch for the person, or does not answer: the code says which."""


@dataclass(frozen=True, slots=True)
class FranceConnectSettings:
    """Our account as data provider. `key` is the private JWK the answers are encrypted to; `services`, the client ids of the
    téléservices we serve; `assurance`, the least level accepted (eidas1 to eidas3)."""

    checktoken_url: str
    jwks_url: str
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    key: Mapping[str, Any] = field(repr=False)
    services: frozenset[str]
    assurance: str = "eidas1"


class FranceConnect:
    """Reads access tokens. Both URLs are https, or http on the loopback (`ValueError`). Nothing of a token is kept but its id, until it ends."""

    def __init__(
        self,
        settings: FranceConnectSettings,
        clock: Clock,
        client: httpx.AsyncClient | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        secure_url(settings.checktoken_url), secure_url(settings.jwks_url)
        self._settings, self._clock = settings, clock
        self._key = import_key(dict(settings.key))
        self._outside = Outside(client, timeout_s)
        self._keys = PublishedKeys(settings.jwks_url, self._outside, clock)
        self._used: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._outside.close()

    async def introspect(self, token: str, scopes: frozenset[str] = frozenset()) -> Vouched:
        """The person behind an access token, once. `scopes`: FranceConnect's, that this person must have been shown. Raises `NotIdentified`."""
        try:
            answer = await self._checktoken(token)
            claims = await self._opened(answer)
            return self._once(vouched(claims, self._expected(scopes), self._now_s()))
        except NotVouched as refused:
            raise NotIdentified(refused.code) from None

    def _expected(self, scopes: frozenset[str]) -> Expected:
        known = self._settings
        return Expected(known.issuer, known.client_id, known.services, known.assurance, scopes)

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000

    async def _checktoken(self, token: str) -> bytes:
        if not token.isascii() or not token.isprintable() or not 0 < len(token) <= TOKEN_MAX_CHARS:
            raise NotVouched(Code.FRANCECONNECT_INVALID)
        known = self._settings
        form = {"client_id": known.client_id, "client_secret": known.client_secret, "token": token}
        try:
            status, _, body = await self._outside.read("POST", known.checktoken_url, form)
        except Unavailable:
            raise NotVouched(Code.FRANCECONNECT_UNAVAILABLE) from None
        # 400 is a token it cannot read, 401 one it does not know any more.
        if status in (400, 401):
            raise NotVouched(Code.FRANCECONNECT_INVALID if status == 400 else Code.FRANCECONNECT_EXPIRED)
        if status != 200:
            raise NotVouched(Code.FRANCECONNECT_UNAVAILABLE)
        return body

    async def _opened(self, answer: bytes) -> object:
        """The claims of a JWE of a JWS of FranceConnect's."""
        try:
            inner = jwe.decrypt_compact(answer, self._key, algorithms=SEALED).plaintext or b""
            keys = await self._keys.for_token(inner)
            return json.loads(jws.deserialize_compact(inner, keys, algorithms=SIGNED).payload)
        except Unavailable:
            raise NotVouched(Code.FRANCECONNECT_UNAVAILABLE) from None
        except Exception:  # whatever these bytes are, they prove nothing; and what is raised may hold some of them
            raise NotVouched(Code.FRANCECONNECT_INVALID) from None

    def _once(self, found: Vouched) -> Vouched:
        """The same token is not read twice by this process."""
        now_s = self._now_s()
        self._used = {jti: until_s for jti, until_s in self._used.items() if until_s > now_s}
        if found.jti in self._used:
            raise NotVouched(Code.FRANCECONNECT_USED)
        self._used[found.jti] = found.until_s
        return found

"""FranceConnect mode: an access token, read at once, becomes the identity that a request is about.

    async with FranceConnect(settings, SystemClock()) as france_connect:
        vouched = await france_connect.introspect(token)
        grant = await give(ledger, wallet, vouched.identity, now_ms)

The token lives 60 s: it is asked about here, at the edge of the application, and goes nowhere else: not on a topic, not into the
ledger, not into a log. What travels on, sealed, is the identity, and the State is called in its identity mode.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from joserfc import jwe, jws
from joserfc.jwk import KeySet, import_key

from exchange.core.errors import Code
from exchange.core.franceconnect import Expected, NotVouched, Vouched, vouched
from exchange.core.urls import secure_url
from exchange.outcomes import ExchangeError
from exchange.ports import Clock

SIGNED = ["ES256", "RS256"]
SEALED = ["RSA-OAEP", "RSA-OAEP-256", "ECDH-ES", "A256GCM"]
"""What FranceConnect signs and encrypts with; neither `none`, nor a shared secret, nor compression."""
ANSWER_MAX_BYTES = 64 << 10
TOKEN_MAX_CHARS = 4096
KEYS_MS, KEYS_LEAST_MS = 3_600_000, 60_000
"""How long FranceConnect's keys are believed; and how often, at most, an unknown one makes us read them again."""


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
        self._settings, self._clock, self._owned = settings, clock, client is None
        self._key = import_key(dict(settings.key))
        self._client = client or httpx.AsyncClient(timeout=timeout_s, trust_env=False)
        self._timeout_s = timeout_s
        self._keys: KeySet | None = None
        self._keys_ms = 0
        self._used: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._owned:
            await self._client.aclose()

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
        status, body = await self._read("POST", known.checktoken_url, form)
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
            keys = await self._keys_for(inner)
            return json.loads(jws.deserialize_compact(inner, keys, algorithms=SIGNED).payload)
        except NotVouched:
            raise
        except Exception:  # whatever these bytes are, they prove nothing; and what is raised may hold some of them
            raise NotVouched(Code.FRANCECONNECT_INVALID) from None

    async def _keys_for(self, inner: bytes) -> KeySet:
        """FranceConnect's signing keys, read again where they are old or lack the one that signed. Raises ValueError, JoseError."""
        kid = jws.extract_compact(inner).headers().get("kid")
        age_ms = self._clock.now_ms() - self._keys_ms
        known = self._keys is not None and any(key.kid == kid for key in self._keys.keys)
        if self._keys is None or age_ms >= KEYS_MS or (not known and age_ms >= KEYS_LEAST_MS):
            status, body = await self._read("GET", self._settings.jwks_url)
            if status != 200:
                raise NotVouched(Code.FRANCECONNECT_UNAVAILABLE)
            listed = [key for key in json.loads(body)["keys"] if key.get("use", "sig") == "sig"]
            self._keys, self._keys_ms = KeySet.import_key_set({"keys": listed}), self._clock.now_ms()
        return self._keys

    def _once(self, found: Vouched) -> Vouched:
        """The same token is not read twice by this process."""
        now_s = self._now_s()
        self._used = {jti: until_s for jti, until_s in self._used.items() if until_s > now_s}
        if found.jti in self._used:
            raise NotVouched(Code.FRANCECONNECT_USED)
        self._used[found.jti] = found.until_s
        return found

    async def _read(self, method: str, url: str, form: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(
                    method, url, data=form, headers={"accept-encoding": "identity"}, follow_redirects=False
                ) as answer,
            ):
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > ANSWER_MAX_BYTES:
                        raise NotVouched(Code.FRANCECONNECT_UNAVAILABLE)
                return answer.status_code, bytes(body)
        except (httpx.HTTPError, TimeoutError):
            raise NotVouched(Code.FRANCECONNECT_UNAVAILABLE) from None

"""The keys an identity provider publishes (JWKS, RFC 7517 §5), read when they are needed."""

from __future__ import annotations

import json

from joserfc import jws
from joserfc.jwk import KeySet

from exchange.bounded import Outside
from exchange.ports import Clock, Unavailable

KEYS_MS, KEYS_LEAST_MS = 3_600_000, 60_000
"""How long keys are believed; and how often, at most, an unknown one makes us read them again."""


class PublishedKeys:
    """Those at one address."""

    def __init__(self, url: str, outside: Outside, clock: Clock) -> None:
        self._url, self._outside, self._clock = url, outside, clock
        self._keys: KeySet | None = None
        self._read_ms = 0

    async def for_token(self, token: bytes) -> KeySet:
        """The signing keys, read again where they are old or lack the one that signed this JWS. `Unavailable`; ValueError and JoseError
        for what is neither keys nor a token."""
        kid = jws.extract_compact(token).headers().get("kid")
        age_ms = self._clock.now_ms() - self._read_ms
        known = self._keys is not None and any(key.kid == kid for key in self._keys.keys)
        if self._keys is None or age_ms >= KEYS_MS or (not known and age_ms >= KEYS_LEAST_MS):
            said = await self._outside.read("GET", self._url)
            if said.status != 200:
                raise Unavailable("no keys")
            listed = [key for key in json.loads(said.body)["keys"] if key.get("use", "sig") == "sig"]
            self._keys, self._read_ms = KeySet.import_key_set({"keys": listed}), self._clock.now_ms()
        return self._keys

"""A FranceConnect of our own, over real HTTP: it signs and encrypts for real, with keys of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

from joserfc import jwe, jws
from joserfc.jwk import ECKey, RSAKey

from exchange.franceconnect import FranceConnectSettings
from exchange.ports import Clock

CLIENT, SECRET, SERVICE = "fournisseur-accord", "secret-du-fournisseur", "teleservice-cantine"
ISSUER = "https://fcp-low.exemple/api/v2"
PIVOT = {
    "family_name": "TREVARIN", "given_name": "Maëlle Anne", "given_name_array": ["Maëlle", "Anne"], "birthdate": "1988-04-12",
    "gender": "female", "birthplace": "35238", "birthcountry": "99100",
}  # fmt: skip


class Provider:
    """What it knows of tokens, and how it answers. `seal` makes the bytes of an answer of its claims; a test may put another in its place."""

    def __init__(self, clock: Clock, encryption: RSAKey | ECKey | None = None) -> None:
        self.clock, self.port, self.known = clock, 0, (CLIENT, SECRET)
        self.ours: RSAKey | ECKey = encryption or ECKey.generate_key("P-256", {"kid": "accord", "use": "enc"})
        self.signing = ECKey.generate_key("P-256", {"kid": "fc-1", "use": "sig", "alg": "ES256"})
        self.tokens: dict[str, dict[str, Any]] = {}
        self.outer: dict[str, Any] = {}
        self.status = 200
        self.seal: Callable[[dict[str, Any]], bytes] = self.sealed
        self.forms: list[dict[str, str]] = []
        self.keys_read = 0

    @property
    def settings(self) -> FranceConnectSettings:
        url = f"http://127.0.0.1:{self.port}"
        return FranceConnectSettings(
            f"{url}/checktoken", f"{url}/jwks", ISSUER, CLIENT, SECRET, dict(self.ours.as_dict(private=True)), frozenset((SERVICE,))
        )  # fmt: skip

    def now_s(self) -> int:
        return self.clock.now_ms() // 1000

    def login(self, token: str, **changes: Any) -> str:
        """A token of somebody who has just logged in; a change to None takes the claim away."""
        now_s = self.now_s()
        claims = {
            "active": True, "aud": SERVICE, "sub": "a" * 64 + "v1", "iat": now_s, "exp": now_s + 60, "acr": "eidas1", "jti": f"id-{token}",
            "scope": "openid identite_pivot cnaf_quotient_familial", **PIVOT, **changes,
        }  # fmt: skip
        self.tokens[token] = {name: value for name, value in claims.items() if value is not None}
        return token

    def claims(self, token: str) -> dict[str, Any]:
        told = self.tokens[token]
        ended = type(told.get("exp")) is int and told["exp"] <= self.now_s()
        active = {"active": False} if ended else told
        answer = {"iss": ISSUER, "aud": CLIENT, "iat": self.now_s(), "token_introspection": active} | self.outer
        return {name: value for name, value in answer.items() if value is not None}

    def signed(self, claims: object, key: ECKey | None = None) -> str:
        by = key or self.signing
        return jws.serialize_compact({"alg": "ES256", "kid": by.kid, "typ": "JWT"}, json.dumps(claims).encode(), by)

    def encrypted(self, inner: str | bytes, **header: str) -> bytes:
        alg = "RSA-OAEP" if isinstance(self.ours, RSAKey) else "ECDH-ES"
        named = {"alg": alg, "enc": "A256GCM", "cty": "JWT"} | header
        known = [alg, "A256GCM", "A128CBC-HS256", "DEF"]
        return jwe.encrypt_compact(named, inner, self.ours, algorithms=known).encode()

    def sealed(self, claims: dict[str, Any]) -> bytes:
        return self.encrypted(self.signed(claims))

    def answer(self, form: dict[str, str]) -> tuple[int, bytes]:
        self.forms.append(form)
        if self.status != 200:
            return self.status, b'{"error": "invalid_request"}'
        known = (form.get("client_id"), form.get("client_secret")) == self.known
        if not known or form.get("token") not in self.tokens:
            return 401, b'{"error": "invalid_client"}'
        return 200, self.seal(self.claims(form["token"]))

    def jwks(self) -> bytes:
        self.keys_read += 1
        return json.dumps({"keys": [self.signing.as_dict(private=False)]}).encode()


@contextmanager
def serving(provider: Provider) -> Iterator[Provider]:
    """The provider, listening on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def _say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._say(200, provider.jwks())

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            self._say(*provider.answer({name: values[0] for name, values in form.items()}))

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    provider.port = server.server_port
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

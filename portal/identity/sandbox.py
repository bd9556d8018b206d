"""A small OpenID provider with fictitious people, for this machine only: FranceConnect's and ProConnect's claims and signatures, no password.

It stands where FranceConnect would, so that everything after it is real: `accord dev` has it, nothing else should.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from joserfc import jwt
from joserfc.jwk import ECKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from exchange.ports import Clock
from portal.core import sandbox as rules
from portal.core.language import choose, translator
from portal.core.login import Kind, with_query
from portal.core.sandbox import BadRequest, Registered, Wanted
from portal.identity.people import People, Person
from portal.web.pages import HERE
from portal.web.static import Static

PATHS: Mapping[Kind, str] = {"citizen": "/franceconnect/api/v2", "agent": "/proconnect/api/v2"}
CSP = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "img-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self' http://127.0.0.1:* http://localhost:*",
    )
)
"""A form's answer leads back to the portal, on another port of this machine."""
ASKED = (
    "client_id",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "acr_values",
)


class Sandbox:
    """Both providers, at `url`. `key` signs and makes the pairwise subjects; `clients` are those that may ask."""

    def __init__(self, url: str, key: ECKey, clients: Mapping[str, Registered], known: People, clock: Clock) -> None:
        self._url, self._key, self._clients, self._people, self._clock = url, key, clients, known, clock
        self._pairwise = pairwise(key)
        self._codes: dict[str, tuple[int, Wanted, str]] = {}
        self._tokens: dict[str, tuple[int, Wanted, str]] = {}
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"), autoescape=select_autoescape(), undefined=StrictUndefined
        )

    def issuer(self, kind: Kind) -> str:
        return self._url + PATHS[kind]

    def app(self) -> Starlette:
        """Everything it serves."""
        return Starlette(routes=[*self._routes("citizen"), *self._routes("agent"), Mount("/static", Static())])

    def _routes(self, kind: Kind) -> list[BaseRoute]:
        served: list[tuple[str, str, Callable[[Kind, Request], Any]]] = [
            ("GET", "/.well-known/openid-configuration", self._discovery),
            ("GET", "/jwks", self._jwks),
            ("GET", "/authorize", self._authorize),
            ("POST", "/choose", self._choose),
            ("POST", "/token", self._token),
            ("GET", "/userinfo", self._userinfo),
            ("GET", "/session/end", self._end),
        ]
        return [
            Route(PATHS[kind] + path, _answering(partial(serve, kind)), methods=[verb]) for verb, path, serve in served
        ]

    async def _discovery(self, kind: Kind, _: Request) -> Response:
        return JSONResponse(rules.discovery(self.issuer(kind), kind))

    async def _jwks(self, _: Kind, __: Request) -> Response:
        return JSONResponse({"keys": [self._key.as_dict(private=False)]})

    async def _authorize(self, kind: Kind, request: Request) -> Response:
        asked = {name: request.query_params.get(name, "") for name in ASKED}
        held = rules.wanted(asked, self._clients, kind)
        language = choose(None, None, request.headers.get("accept-language", ""))
        context = {
            "asked": asked, "acr": held.acr, "people": self._all(kind), "kind": kind, "lang": language, "tr": translator(language),
            "action": f"{PATHS[kind]}/choose",
        }  # fmt: skip
        page = self._templates.get_template("connexion/sandbox.html").render(context)
        return HTMLResponse(page, headers={"content-security-policy": CSP, "cache-control": "no-store"})

    async def _choose(self, kind: Kind, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        held = rules.wanted(form, self._clients, kind)
        answer = {"state": held.state} | ({"iss": self.issuer(kind)} if kind == "agent" else {})
        if self._person(kind, form.get("person", "")) is None:
            answer |= {"error": "access_denied", "error_description": "User auth aborted"}
        else:
            answer["code"] = self._keep(self._codes, rules.CODE_MS, held, form["person"])
        return RedirectResponse(with_query(held.redirect_uri, answer), 303)

    async def _token(self, kind: Kind, request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        found = self._take(self._codes, form.get("code", ""))
        held = rules.redeemable(self._clients.get(form.get("client_id", "")), found[0] if found else None, form)
        assert found is not None  # or it would not be redeemable
        access = self._keep(self._tokens, rules.ACCESS_MS, held, found[1])
        claims = rules.id_token(self.issuer(kind), held, self._subject(held, found[1]), self._now_s())
        told = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": rules.ACCESS_MS // 1000,
            "id_token": self._signed(claims),
        }
        return JSONResponse(told, headers={"cache-control": "no-store"})

    async def _userinfo(self, kind: Kind, request: Request) -> Response:
        found = self._live(self._tokens, request.headers.get("authorization", "").removeprefix("Bearer "))
        who = self._person(kind, found[1]) if found else None
        if found is None or who is None:
            raise BadRequest("invalid_token")
        held, name = found
        claims = rules.userinfo(self.issuer(kind), held, self._subject(held, name), who.claims, self._now_s())
        return Response(self._signed(claims), media_type="application/jwt")

    async def _end(self, _: Kind, request: Request) -> Response:
        back, state = request.query_params.get("post_logout_redirect_uri", ""), request.query_params.get("state", "")
        if not rules.on_this_machine(back) or not state or not request.query_params.get("id_token_hint"):
            raise BadRequest("invalid_request")
        return RedirectResponse(with_query(back, {"state": state}), 303)

    def _all(self, kind: Kind) -> tuple[Person, ...]:
        return self._people.citizens if kind == "citizen" else self._people.agents

    def _person(self, kind: Kind, name: str) -> Person | None:
        return next((one for one in self._all(kind) if one.id == name), None)

    def _subject(self, held: Wanted, name: str) -> str:
        return rules.subject(self._pairwise, held.client_id, name)

    def _signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "ES256", "kid": self._key.kid}, claims, self._key, algorithms=["ES256"])

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000

    def _keep(self, kept: dict[str, tuple[int, Wanted, str]], life_ms: int, held: Wanted, name: str) -> str:
        now_ms = self._clock.now_ms()
        for old in [key for key, (until_ms, *_) in kept.items() if until_ms <= now_ms]:
            del kept[old]
        made = base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")
        kept[made] = now_ms + life_ms, held, name
        return made

    def _live(self, kept: dict[str, tuple[int, Wanted, str]], key: str) -> tuple[Wanted, str] | None:
        found = kept.get(key)
        return found[1:] if found and self._clock.now_ms() < found[0] else None

    def _take(self, kept: dict[str, tuple[int, Wanted, str]], key: str) -> tuple[Wanted, str] | None:
        """Once only."""
        found = self._live(kept, key)
        kept.pop(key, None)
        return found


def pairwise(key: ECKey) -> bytes:
    """What the subjects of a sandbox with this key are made from."""
    return key.private_key.private_numbers().private_value.to_bytes(32, "big")  # type: ignore[union-attr]  # a private key


def _answering(serve: Callable[[Request], Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            answer: Response = await serve(request)
        except BadRequest as refused:
            return JSONResponse(
                {"error": refused.error}, 401 if refused.error in ("invalid_client", "invalid_token") else 400
            )
        return answer

    return endpoint

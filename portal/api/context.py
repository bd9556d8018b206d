"""What the endpoints of the HTTP API stand on: one `Api` per portal, and who calls."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.openapi.models import OAuthFlowClientCredentials, OAuthFlows
from fastapi.security import OAuth2

from consent.keys import read_or_make
from exchange.core.encoding import digest
from exchange.core.errors import Code
from exchange.ports import Outbox, Unavailable
from exchange.publishing import Publishing
from exchange.tracing import Tracing, to_file
from portal.api import tokens
from portal.api.certificates import thumbprint
from portal.api.deliverer import Deliverer
from portal.api.feeds import Feeds
from portal.api.tokens import Caller
from portal.core.addresses import Network, networks
from portal.core.allowance import Allowance, Bucket, Rate, take
from portal.core.headers import bearer
from portal.core.language import Language, choose
from portal.core.problems import Problem
from portal.parts import Parts

CALLS = Rate(burst=600, per_s=100)
"""Of one client."""
WRONG = Rate(burst=30, per_s=1)
"""Calls of one address that prove nobody: beyond it they are turned away unread."""
_REMEMBERED = 10_000


class Throttle:
    """A bucket for each of many, the least recent forgotten first."""

    def __init__(self, rate: Rate) -> None:
        self._rate, self._buckets = rate, OrderedDict[str, Bucket]()

    def take(self, who: str, now_ms: int) -> Allowance:
        """One call."""
        self._buckets[who], allowance = take(self._buckets.pop(who, None), self._rate, now_ms)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        return allowance


@dataclass
class Api:
    """The HTTP API of one portal. `secret` is the portal's own, 32 bytes in its directory."""

    parts: Parts
    calls: Throttle = field(default_factory=lambda: Throttle(CALLS))
    wrong: Throttle = field(default_factory=lambda: Throttle(WRONG))
    streams: dict[str, int] = field(default_factory=dict)

    @cached_property
    def feeds(self) -> Feeds:
        return Feeds(self.parts.reader, self.parts.clock)

    @cached_property
    def secret(self) -> bytes:
        return read_or_make(self.parts.places.portal.parent / "portal.key")

    def key(self, purpose: str) -> bytes:
        """A key for one purpose, 32 bytes."""
        return digest(b"accord.portal.v1", self.secret, purpose.encode())

    @property
    def outbox(self) -> Outbox:
        """`Unavailable` while the broker is away."""
        if self.parts.outbox is None:
            raise Unavailable("broker")
        return self.parts.outbox

    @cached_property
    def publishing(self) -> Publishing:
        return Publishing(self.outbox)

    @cached_property
    def deliverer(self) -> Deliverer:
        parts = self.parts
        return Deliverer(
            parts.store,
            self.feeds,
            parts.clock,
            self.key("webhooks"),
            self.allowed_networks,
            sandbox=self.sandbox,
            outside=parts.outside,
        )

    @cached_property
    def tracing(self) -> Tracing:
        return to_file("portal", self.parts.places.traces("portal")) if self.parts.settings.traces else Tracing()

    @property
    def proxies(self) -> list[str]:
        return [one.strip() for one in self.parts.settings.portal_proxies.split(",") if one.strip()]

    @property
    def sandbox(self) -> bool:
        """Whether this bus asks a sandbox and no State API."""
        return not self.parts.settings.state_api_url

    @cached_property
    def allowed_networks(self) -> tuple[Network, ...]:
        """Where webhooks may go though it is not public; the loopback in the sandbox."""
        named = [one.strip() for one in self.parts.settings.webhook_networks.split(",") if one.strip()]
        return networks(named + (["127.0.0.0/8", "::1/128"] if self.sandbox else []))

    def now_ms(self) -> int:
        return self.parts.clock.now_ms()


def api_of(request: Request) -> Api:
    api: Api = request.app.state.api
    return api


def language_of(request: Request) -> Language:
    return choose(None, None, request.headers.get("accept-language", ""))


_SCHEME = OAuth2(
    flows=OAuthFlows(clientCredentials=OAuthFlowClientCredentials(tokenUrl="token")),
    scheme_name="client",
    description="Identifiants de client, `private_key_jwt` (RFC 7523) · client credentials with a signed assertion.",
    auto_error=False,
)


def known_by(request: Request) -> Caller | None:
    """Who the token and the certificate of a call stand for, now."""
    api, text = api_of(request), bearer(request.headers.get("authorization", ""))
    return tokens.read(api.parts.store, text, thumbprint(request, api.proxies), api.now_ms()) if text else None


async def caller_of(request: Request, _: Annotated[str | None, Security(_SCHEME)] = None) -> Caller:
    """Who calls, known by a token; a `Problem` for anybody else, and for one who calls too often."""
    if (known := getattr(request.state, "caller", None)) is not None:
        caller: Caller = known
        return caller
    api, found = api_of(request), known_by(request)
    if found is None:
        raise unproven(request, Code.TOKEN_INVALID)
    request.state.caller, request.state.allowance = found, api.calls.take(found.client, api.parts.clock.monotonic_ms())
    if not request.state.allowance.allowed:
        raise Problem(Code.TOO_MANY, retry_in_s=request.state.allowance.retry_s)
    if request.headers.get("if-match", "*").strip() != "*":
        raise Problem(Code.PRECONDITION_FAILED)  # nothing here has an entity tag (RFC 9110 §13.1.1)
    return found


def unproven(request: Request, code: Code) -> Problem:
    """What somebody unknown is told: the same for all reasons, and to wait where it was too often."""
    allowance = api_of(request).wrong.take(address_of(request), api_of(request).parts.clock.monotonic_ms())
    return Problem(code) if allowance.allowed else Problem(Code.TOO_MANY, retry_in_s=allowance.retry_s)


def address_of(request: Request) -> str:
    return request.client.host if request.client else ""


async def _api(request: Request) -> Api:
    return api_of(request)


async def _language(request: Request) -> Language:
    return language_of(request)


# Coroutines all: FastAPI calls anything else in a thread, and the store has one connection.
ApiDep = Annotated[Api, Depends(_api)]
CallerDep = Annotated[Caller, Depends(caller_of)]
LanguageDep = Annotated[Language, Depends(_language)]

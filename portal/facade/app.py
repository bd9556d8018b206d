"""The façade's one endpoint: a query of the State's API, answered through the bus.

In the State's order: token, path, recipient, then the person or the company. A query passes under the agreement of its header
`X-Accord-Consent`, or under the one the wallet has for whom it is about; without one it is refused and nothing is asked.
"""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from connectors.core import rules
from connectors.rest.descriptions import descriptions
from exchange.core.errors import Code
from exchange.core.identity import Identity
from exchange.outcomes import Answer, ConsentRequired, ExchangeError
from exchange.ports import Unavailable
from exchange.sdk import Bus
from portal.core import facade
from portal.core.facade import BASE, COMPANIES, Offered, Said
from portal.core.login import NotLoggedIn
from portal.facade.agreements import Agreement, Agreements, Designated, about

MEDIA_TYPE = "application/vnd.api+json; charset=utf-8"
ANSWERED_WITHIN_S = 25.0
"""How long a caller waits, and a request lives: nothing is released for somebody who has hung up."""
NAME = "X-Accord-Consent"
_CACHE = {"x-response-cached": "false", "x-cache-expires-in": ""}
_TOKEN_REFUSED = {Code.LOGIN_EXPIRED: facade.UNKNOWN_TOKEN, Code.LOGIN_INVALID: facade.NO_PIVOT}
"""What the State says of a token FranceConnect does not know, or that shows no pivot identity to this collectivity."""
Pairs = list[tuple[str, str]]


class Vouching(Protocol):
    """Who says whose an access token is."""

    async def vouched(self, token: str) -> Identity:
        """The pivot identity of the person who logged in for the collectivity, and whose token this is. Raises `NotLoggedIn`."""


class Facade:
    """One collectivity's; `token` is what its software sends as Bearer, where it does not send a person's access token."""

    def __init__(self, bus: Bus, token: str, vouching: Vouching) -> None:
        self._bus, self._token, self._vouching = bus, token, vouching
        self._offers = facade.Offers(descriptions().values())
        self._agreements = Agreements(bus.wallet, self._offers)
        self._in_progress: set[tuple[str, ...]] = set()

    def app(self) -> Starlette:
        return Starlette(
            routes=[Route(base + "/{path:path}", self.answer, methods=["GET"]) for base in (BASE, COMPANIES)]
        )

    async def answer(self, request: Request) -> Response:
        """One query, while no other like it is in progress: of another person's token it is another."""
        found, bearer = self._offers.find(request.url.path), _bearer(request)
        by_token = found is not None and found[0].by_token
        if not by_token and not hmac.compare_digest(bearer.encode(), self._token.encode()):
            return _response(facade.said(rules.NO_TOKEN))
        if found is None:
            return PlainTextResponse("Not Found", 404)
        query = (request.url.path, request.url.query, bearer if by_token else "")
        if query in self._in_progress:
            return _response(facade.said(rules.CONFLICT))
        self._in_progress.add(query)
        try:
            return await self._passed(request, *found)
        finally:
            self._in_progress.discard(query)

    async def _passed(self, request: Request, offered: Offered, filled: dict[str, str]) -> Response:
        given = request.query_params.multi_items()
        pairs = [*filled.items(), *((name, text) for name, text in given if name not in filled)]
        person = await self._person(offered, pairs, _bearer(request))
        if isinstance(person, rules.Refusal):
            return _response(facade.said(person))
        recipient = request.query_params.get("recipient", "")
        if fault := rules.check_recipient(recipient) or facade.fault_before(offered, pairs):
            return _response(facade.said(fault))
        if recipient != self._bus.wallet.recipient:
            return _response(facade.refused(Code.RECIPIENT_MISMATCH))
        agreements = self._allowing(request, offered, pairs, person)
        if isinstance(agreements, Said):
            return _response(agreements)
        selected = facade.parameters(offered.description, pairs)
        if selected is None:
            return _response(facade.said(self._fault(offered, pairs) or facade.BAD_PARAMETER))
        return await self._tried(offered, agreements, selected)

    async def _person(self, offered: Offered, pairs: Pairs, bearer: str) -> Designated | rules.Refusal:
        """Whom the query is about: as it says itself, or as FranceConnect says of its token."""
        if not offered.by_token:
            return facade.designated(offered.operation, pairs)
        if not facade.is_token(bearer):
            return facade.MALFORMED_TOKEN if bearer else rules.NO_TOKEN
        try:
            return facade.designation(offered.operation, await self._vouching.vouched(bearer))
        except NotLoggedIn as refused:
            return _TOKEN_REFUSED.get(refused.code, facade.NO_FRANCECONNECT)

    async def _tried(self, offered: Offered, agreements: list[Agreement], selected: dict[str, str]) -> Response:
        said = facade.refused(Code.AUTHORISATION_UNKNOWN)
        for agreement in agreements:
            try:
                return await self._asked(offered, agreement, selected)
            except ExchangeError as error:
                said = facade.refused(error.code, error.provider_code)
                if not isinstance(error, ConsentRequired):
                    break
                self._agreements.over(agreement)  # another may still serve
            except Unavailable:
                said = facade.refused(Code.UNAVAILABLE)
                break
        return _response(said)

    def _allowing(self, request: Request, offered: Offered, pairs: Pairs, person: Designated) -> list[Agreement] | Said:
        """The agreements it may pass under, in the order to try them; one at least."""
        name = request.headers.get(NAME)
        if name is not None:
            held = self._agreements.named(_id(name))
            if held is None or about(held, offered, person):
                return [held] if held else facade.refused(Code.AUTHORISATION_UNKNOWN)
            same = held.certificate.data_set == offered.description.data_set
            return facade.refused(Code.SUBJECT_MISMATCH if same else Code.DATA_SET_MISMATCH)
        found = self._agreements.find(offered, person, self._bus.clock.now_ms())
        if found:
            return found
        fault = self._fault(offered, pairs)
        return facade.said(fault) if fault else facade.refused(Code.AUTHORISATION_UNKNOWN)

    def _fault(self, offered: Offered, pairs: Pairs) -> rules.Refusal | None:
        return facade.fault(offered, pairs, datetime.fromtimestamp(self._bus.clock.now_ms() / 1000, UTC).date())

    async def _asked(self, offered: Offered, agreement: Agreement, selected: dict[str, str]) -> Response:
        sent = await self._bus.request(
            offered.description.data_set,
            consent=agreement.id,
            purpose=agreement.certificate.purpose,
            scopes=agreement.certificate.scopes,
            parameters=selected,
            ttl_s=ANSWERED_WITHIN_S,
        )
        told = _told(offered, await sent.answer(ANSWERED_WITHIN_S + 1))
        return _response(told, {"x-accord-consent": agreement.id.hex(), "x-accord-request": sent.key.request.hex()})


def _told(offered: Offered, answer: Answer) -> Said:
    if answer.status == "found":
        return facade.found(offered, answer.data or {})
    return (facade.not_found if answer.status == "not_found" else facade.state_refusal)(answer.code, answer.title)


def _id(text: str) -> bytes:
    """The agreement's id; of none where the header holds no id."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        return b""


def _bearer(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _response(said: Said, headers: dict[str, str] | None = None) -> Response:
    body = json.dumps(said.body, ensure_ascii=False)
    return Response(body, said.status, _CACHE | (headers or {}), MEDIA_TYPE)

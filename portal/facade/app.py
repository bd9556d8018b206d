"""The façade's one endpoint: a query of the State's API, answered through the bus.

In the State's order: token, path, recipient, then the person. A query passes under the agreement of its header `X-Accord-Consent`, or
under the one the wallet has for that person; without one it is refused and nothing is asked.
"""

from __future__ import annotations

import hmac
import json
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from connectors.core import rules
from connectors.rest.descriptions import descriptions
from exchange.core.errors import Code
from exchange.outcomes import Answer, ConsentRequired, ExchangeError
from exchange.ports import Unavailable
from exchange.sdk import Bus
from portal.core import facade
from portal.core.facade import BASE, Offered, Said
from portal.facade.agreements import Agreement, Agreements, about

MEDIA_TYPE = "application/vnd.api+json; charset=utf-8"
ANSWERED_WITHIN_S = 25.0
"""How long a caller waits, and a request lives: nothing is released for somebody who has hung up."""
NAME = "X-Accord-Consent"
_CACHE = {"x-response-cached": "false", "x-cache-expires-in": ""}


class Facade:
    """One collectivity's; `token` is what its software sends as Bearer."""

    def __init__(self, bus: Bus, token: str) -> None:
        self._bus, self._token = bus, token
        self._offers = facade.offers(descriptions().values())
        self._agreements = Agreements(bus.wallet, tuple(self._offers.values()))
        self._in_progress: set[tuple[str, str]] = set()

    def app(self) -> Starlette:
        return Starlette(routes=[Route(BASE + "/{path:path}", self.answer, methods=["GET"])])

    async def answer(self, request: Request) -> Response:
        """One query, while no other like it is in progress."""
        if not hmac.compare_digest(_bearer(request).encode(), self._token.encode()):
            return _response(facade.said(rules.NO_TOKEN))
        offered, query = self._offers.get(request.url.path), (request.url.path, request.url.query)
        if offered is None:
            return PlainTextResponse("Not Found", 404)
        if query in self._in_progress:
            return _response(facade.said(rules.CONFLICT))
        self._in_progress.add(query)
        try:
            return await self._passed(request, offered)
        finally:
            self._in_progress.discard(query)

    async def _passed(self, request: Request, offered: Offered) -> Response:
        pairs = request.query_params.multi_items()
        recipient = request.query_params.get("recipient", "")
        if fault := rules.check_recipient(recipient):
            return _response(facade.said(fault))
        if recipient != self._bus.wallet.recipient:
            return _response(facade.refused(Code.RECIPIENT_MISMATCH))
        agreements = self._allowing(request, offered, pairs)
        if isinstance(agreements, Said):
            return _response(agreements)
        selected = facade.parameters(offered.description, pairs)
        if selected is None:
            return _response(facade.said(self._fault(offered, pairs) or facade.BAD_PARAMETER))
        return await self._tried(offered, agreements, selected)

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

    def _allowing(self, request: Request, offered: Offered, pairs: list[tuple[str, str]]) -> list[Agreement] | Said:
        """The agreements it may pass under, in the order to try them; one at least."""
        person, name = facade.designated(offered.operation, pairs), request.headers.get(NAME)
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

    def _fault(self, offered: Offered, pairs: list[tuple[str, str]]) -> rules.Refusal | None:
        """What the State would say of the query itself."""
        today = datetime.fromtimestamp(self._bus.clock.now_ms() / 1000, UTC).date()
        return rules.check_identity(pairs, today) if "/dss/" in offered.operation.path else None

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
        return facade.found(offered.description, answer.data or {})
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

"""`/v1/requests`: publish a request the SDK made and sealed, see what became of it, take it back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from consent.core.facts import Outcome, Submission, Waiting
from exchange import wire
from exchange.core import topics
from exchange.core.errors import Code
from exchange.core.heads import SIZE_MAX_BYTES
from exchange.data_sets import DATA_SETS
from exchange.hearing import awaits_person
from exchange.ports import LEASE_MS, Unavailable
from exchange.schemas import catalogue
from portal.api.context import Api, ApiDep, CallerDep, LanguageDep
from portal.api.feeds import Told
from portal.api.models import Base64, Id, IdempotencyKey, Model, PathId, Prefer, Requested
from portal.api.strict import StrictRoute
from portal.api.tokens import Caller
from portal.core import submissions, views
from portal.core.headers import wait_s
from portal.core.language import Language
from portal.core.problems import Problem
from portal.core.submissions import Accepted, Submitted

router = APIRouter(route_class=StrictRoute, tags=["requests"])
_LINKS = {
    "follow": {"operationId": "get_request", "parameters": {"id": "$response.body#/id"}},
    "cancel": {"operationId": "cancel_request", "parameters": {"id": "$response.body#/id"}},
    "open": {"operationId": "open_answer", "parameters": {"id": "$response.body#/id"}},
}
_ENDED: dict[int | str, dict[str, Any]] = {
    200: {"description": "Son issue · its outcome.", "model": Requested},
    202: {"description": "Le bus l'a · the bus has it.", "model": Requested, "links": _LINKS},
}


class Asked(Model):
    """A request: `message` is `exchange-request.v1.avsc` behind its frame, the identity in it sealed to the provider by the SDK."""

    authorisation: Id
    message: Base64


@router.post("/requests", status_code=202, response_model=Requested, responses=_ENDED, operation_id="ask")
async def ask(
    body: Asked, request: Request, api: ApiDep, caller: CallerDep, language: LanguageDep,
    idempotency_key: IdempotencyKey = "", prefer: Prefer = "",
) -> Response:  # fmt: skip
    """Publier une demande : au retour le bus l'a. · Publish a request: on return the bus has it, durably."""
    value = submissions.decoded(body.message)
    if len(value) > SIZE_MAX_BYTES:
        raise Problem(Code.TOO_LARGE, "body.message")
    asked = submissions.submitted(value, caller.operator, catalogue().prefix("exchange-request"), wire.read_ask)
    objection = submissions.objection(asked, bytes.fromhex(body.authorisation), caller.recipients, DATA_SETS)
    if objection is not None:
        raise Problem(objection)
    one, patience_s = await _publish(api, asked, value, request), wait_s(prefer)
    told = await _ended(api, one, patience_s) if patience_s else None
    return _answer(api, one, told, patience_s, language)


@router.get("/requests/{id:id}", response_model=Requested, operation_id="get_request")
async def get_request(
    id: PathId, api: ApiDep, caller: CallerDep, language: LanguageDep, prefer: Prefer = ""
) -> Response:
    """Où en est une demande des sept derniers jours. · Where a request of the last seven days stands."""
    one, told = await _found(api, caller, id)
    patience_s = wait_s(prefer)
    if patience_s and (told is None or awaits_person(told.told)):
        told = await _ended(api, one, patience_s) or told
    return _answer(api, one, told, patience_s, language, 200)


@router.post(
    "/requests/{id:id}/cancellation",
    status_code=202,
    response_model=Requested,
    responses=_ENDED,
    operation_id="cancel_request",
)
async def cancel_request(
    id: PathId, api: ApiDep, caller: CallerDep, language: LanguageDep, idempotency_key: IdempotencyKey = "",
    prefer: Prefer = "",
) -> Response:  # fmt: skip
    """Renoncer à une demande : une seule issue tout de même, celle qui vient en premier. · Take a request back: it has one outcome all the same,
    whichever comes first."""
    one, told = await _found(api, caller, id)
    open_still = told is None or awaits_person(told.told)
    if open_still:
        verdict = wire.write_verdict(submissions.cancellation(one), "gate")
        laid = wire.laid("verdict", one.key.authorisation, verdict, one.key.request.hex())
        place = _place(api, topics.VERDICTS, one.key.authorisation)
        await api.publishing.send(place, lambda: laid)
    patience_s = wait_s(prefer)
    if open_still and patience_s:
        told = await _ended(api, one, patience_s) or told
    return _answer(api, one, told, patience_s, language)


@router.post("/requests/{id:id}/answer", response_model=Requested, operation_id="open_answer")
async def open_answer(id: PathId, api: ApiDep, caller: CallerDep, language: LanguageDep) -> Response:
    """Ouvrir la réponse qui attend : c'est la remise, et un usage. · Open the answer that waits: this is the release, and a use."""
    one, _ = await _found(api, caller, id)
    started_ms = api.parts.clock.monotonic_ms()
    outcome = await api.parts.ledger.open(Submission(one.key, one.digest), "portal")
    if outcome.delivery == "key" and api.parts.clock.monotonic_ms() - started_ms > LEASE_MS:
        raise Unavailable("a key that came too late")
    return _shown(api, one, outcome, wire.write_outcome(outcome), language)


@router.post("/requests/{id:id}/reception", response_model=Requested, operation_id="received")
async def received(id: PathId, api: ApiDep, caller: CallerDep, language: LanguageDep) -> Response:
    """La collectivité a la réponse qu'elle a ouverte. · The collectivity has the answer it opened."""
    one, told = await _found(api, caller, id)
    await api.parts.ledger.received([Submission(one.key, one.digest)])
    return _answer(api, one, told, 0, language, 200)


async def _publish(api: Api, asked: Submitted, value: bytes, request: Request) -> Accepted:
    key, feed = asked.key, api.feeds.of(asked.key.operator)
    topic = topics.requests(key.operator)
    place = _place(api, topic, key.authorisation)
    parent = [
        (name, request.headers[name].encode()) for name in ("traceparent", "tracestate") if name in request.headers
    ]
    with api.tracing.span("request", parent, topic, key.request, root=True) as headers:
        event_id = key.request.hex()
        await api.publishing.send(
            place, lambda: wire.laid("exchange-request", key.authorisation, value, event_id, headers)
        )
    now_ms = api.now_ms()
    one = Accepted(key, asked.digest, now_ms, now_ms + asked.ttl_ms)
    feed.accept(one)
    return one


def _place(api: Api, topic: str, authorisation: bytes) -> tuple[str, int]:
    """What concerns one agreement stays in order."""
    partitions = api.outbox.partitions(topic)
    if not partitions:
        raise Unavailable("no such topic yet")
    return topic, authorisation[0] % partitions


async def _found(api: Api, caller: Caller, id: str) -> tuple[Accepted, Told | None]:
    found = await api.feeds.of(caller.operator).find(bytes.fromhex(id))
    if found is None:
        raise Problem(Code.REQUEST_UNKNOWN)
    return found


async def _ended(api: Api, one: Accepted, patience_s: int) -> Told | None:
    """The outcome, if it comes in time; what was accepted stays accepted where it cannot be known."""
    with suppress(Unavailable):
        return await api.feeds.of(one.key.operator).ended(one, patience_s)
    return None


def _answer(
    api: Api, one: Accepted, told: Told | None, patience_s: int, language: Language, without: int = 202
) -> Response:
    """The request as it stands: 200 with an outcome, `without` otherwise."""
    headers = {"preference-applied": f"wait={patience_s}"} if patience_s else {}
    if told is None:
        return _shown(api, one, None, b"", language, without, headers)
    return _shown(api, one, told.told, told.message, language, 200, headers)


def _shown(
    api: Api, one: Accepted, told: Outcome | Waiting | None, message: bytes, language: Language, status: int = 200,
    headers: dict[str, str] | None = None,
) -> Response:  # fmt: skip
    location = {"location": f"{api.parts.url}/v1/requests/{one.key.request.hex()}"}
    return JSONResponse(views.accepted(one, told, message, language), status, location | (headers or {}))

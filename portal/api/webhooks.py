"""`/v1/webhooks`: have an operator's events sent to an address (Standard Webhooks), try it, see each delivery, send one again, go on after a pause."""

from __future__ import annotations

import os
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from exchange.core.errors import Code
from exchange.core.rendering import rfc3339
from portal.api import hooks
from portal.api.context import Api, ApiDep, CallerDep
from portal.api.hooks import Delivery, Hook
from portal.api.models import Answer, Id, IdempotencyKey, Limit, Links, Model, PathId
from portal.api.strict import StrictRoute
from portal.api.tokens import Caller
from portal.core import hooks as signing
from portal.core.addresses import URL_MAX_CHARS, BadAddress
from portal.core.hooks import Standing
from portal.core.problems import Problem

router = APIRouter(route_class=StrictRoute, tags=["webhooks"])
HOOKS_MAX = 20
"""Of one operator."""


class Address(Model):
    """Where to send, and whom to tell when it is paused (`alert`, another address, none if empty): https, at a public address."""

    url: Annotated[str, Field(max_length=URL_MAX_CHARS, json_schema_extra={"format": "uri"})]
    alert: Annotated[str, Field(max_length=URL_MAX_CHARS)] = ""


class Shown(Answer):
    """A webhook. `secret` is told once, when it is made."""

    id: Id
    url: str
    alert: str
    state: Literal["active", "paused"]
    failures: int
    next_try_at: str | None
    created_at: str
    secret: str | None = None


class Delivered(Answer):
    """What a delivery came to; `status` is the HTTP status it met, 0 for none."""

    id: Id
    type: str
    at: str
    tries: int
    status: int
    delivered: bool
    tried_at: str


class Meta(Answer):
    """How many are here."""

    count: int


class Hooks(Answer):
    """All of an operator's."""

    data: list[Shown]
    links: Links
    meta: Meta


class Deliveries(Answer):
    """The latest first, of seven days."""

    data: list[Delivered]
    links: Links
    meta: Meta


_LINKS = {
    name: {"operationId": name, "parameters": {"id": "$response.body#/id"}}
    for name in ("get_webhook", "test_webhook", "deliveries", "resume_webhook", "remove_webhook")
}
_MADE: dict[int | str, dict[str, Any]] = {201: {"links": _LINKS}}


@router.post("/webhooks", status_code=201, response_model=Shown, responses=_MADE, operation_id="add_webhook")
async def add_webhook(body: Address, api: ApiDep, caller: CallerDep, idempotency_key: IdempotencyKey = "") -> Response:
    """Recevoir les événements à venir ; le secret n'est dit qu'ici. · Be sent the events to come; the secret is told here only."""
    if len(hooks.every(api.parts.store, caller.operator)) >= HOOKS_MAX:
        raise Problem(Code.TOO_MANY)
    for name, url in (("url", body.url), ("alert", body.alert)):
        try:
            if url or name == "url":
                await api.deliverer.check(url)
        except BadAddress:
            raise Problem(Code.ADDRESS_REFUSED, f"body.{name}") from None
    id, secret, now_ms = os.urandom(16).hex(), hooks.new_secret(), api.now_ms()
    offsets = await api.feeds.of(caller.operator).ends()
    sealed = hooks.seal(api.key("webhooks"), id, secret)
    hook = Hook(id, caller.operator, body.url, sealed, offsets, Standing(), now_ms, body.alert)
    hooks.add(api.parts.store, hook)
    return JSONResponse(
        _shown(hook) | {"secret": signing.shown_secret(secret)}, 201, {"location": f"{api.parts.url}/v1/webhooks/{id}"}
    )


@router.get("/webhooks", response_model=Hooks, operation_id="webhooks")
async def webhooks(api: ApiDep, caller: CallerDep) -> Response:
    """Ceux de l'opérateur. · The operator's."""
    data = [_shown(hook) for hook in hooks.every(api.parts.store, caller.operator)]
    return JSONResponse(
        {"data": data, "links": {"self": f"{api.parts.url}/v1/webhooks", "next": None}, "meta": {"count": len(data)}}
    )


@router.get("/webhooks/{id:id}", response_model=Shown, operation_id="get_webhook")
async def get_webhook(id: PathId, api: ApiDep, caller: CallerDep) -> Response:
    """Un webhook et son état. · A webhook and where it stands."""
    return JSONResponse(_shown(_own(api, caller, id)))


@router.post("/webhooks/{id:id}/tests", response_model=Delivered, operation_id="test_webhook")
async def test_webhook(id: PathId, api: ApiDep, caller: CallerDep) -> Response:
    """Envoyer un événement d'essai, maintenant. · Send a test event, now."""
    return JSONResponse(_delivered(await api.deliverer.tell(_own(api, caller, id), "webhook.test")))


@router.get("/webhooks/{id:id}/deliveries", response_model=Deliveries, operation_id="deliveries")
async def deliveries(
    id: PathId, api: ApiDep, caller: CallerDep, before: Annotated[int, Query(ge=0, lt=1 << 53)] = 0, limit: Limit = 100
) -> Response:
    """Ce qui a été envoyé, et ce qui en est advenu. · What was sent, and what it came to."""
    hook = _own(api, caller, id)
    found = hooks.deliveries(api.parts.store, hook.id, before, limit)
    base = f"{api.parts.url}/v1/webhooks/{id}/deliveries?limit={limit}"
    following = f"{base}&before={found[-1].number}" if len(found) == limit else None
    body = {"data": [_delivered(one) for one in found], "links": {"self": f"{base}&before={before}", "next": following},
            "meta": {"count": len(found)}}  # fmt: skip
    return JSONResponse(body, headers={"link": f'<{following}>; rel="next"'} if following else None)


@router.post(
    "/webhooks/{id:id}/deliveries/{delivery:id}/replay", response_model=Delivered, operation_id="replay_delivery"
)
async def replay_delivery(id: PathId, delivery: PathId, api: ApiDep, caller: CallerDep) -> Response:
    """Envoyer de nouveau, sous le même numéro. · Send again, under the same id."""
    hook = _own(api, caller, id)
    one = hooks.delivery_of(api.parts.store, hook.id, delivery)
    if one is None:
        raise Problem(Code.NOT_THERE)
    return JSONResponse(_delivered(await api.deliverer.send(hook, one)))


@router.post("/webhooks/{id:id}/resume", response_model=Shown, operation_id="resume_webhook")
async def resume_webhook(id: PathId, api: ApiDep, caller: CallerDep) -> Response:
    """Reprendre après une pause, là où il en était. · Go on after a pause, from where it was."""
    hook = _own(api, caller, id)
    hooks.stand(api.parts.store, hook.id, Standing())
    return JSONResponse(_shown(_own(api, caller, id)))


@router.post("/webhooks/{id:id}/removal", response_model=Shown, operation_id="remove_webhook")
async def remove_webhook(id: PathId, api: ApiDep, caller: CallerDep) -> Response:
    """Ne plus rien envoyer. · Send nothing more."""
    hook = _own(api, caller, id)
    hooks.remove(api.parts.store, hook.id)
    return JSONResponse(_shown(hook))


def _own(api: Api, caller: Caller, id: str) -> Hook:
    hook = hooks.find(api.parts.store, caller.operator, id)
    if hook is None:
        raise Problem(Code.NOT_THERE)
    return hook


def _shown(hook: Hook) -> dict[str, Any]:
    standing = hook.standing
    return {
        "id": hook.id, "url": hook.url, "alert": hook.alert, "state": "paused" if standing.paused else "active", "failures": standing.failures,
        "next_try_at": rfc3339(standing.next_ms) if standing.next_ms else None, "created_at": rfc3339(hook.at_ms),
    }  # fmt: skip


def _delivered(one: Delivery) -> dict[str, Any]:
    return {
        "id": one.id, "type": one.type, "at": rfc3339(one.at_ms), "tries": one.tries, "status": one.status, "delivered": one.delivered,
        "tried_at": rfc3339(one.tried_ms),
    }  # fmt: skip

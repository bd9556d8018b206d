"""What the bus carries, how its providers are, which errors there are, and what a token may ask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import JSONResponse, Response

from connectors.sdk.core.health import Health
from consent.core.facts import Habilitation
from consent.receipts import words_of
from exchange.core.decision import DataSet
from exchange.core.errors import CATALOGUE, Code
from exchange.core.rendering import rfc3339
from exchange.data_sets import DATA_SETS, PROVIDERS
from exchange.reference import asyncapi
from exchange.schemas import Name
from exchange.schemas import catalogue as schemas
from portal.api.context import CALLS, Api, ApiDep, CallerDep, LanguageDep
from portal.api.models import WORD, Answer, Links, ProblemMembers
from portal.api.strict import BODY_MAX_BYTES, StrictRoute
from portal.api.tokens import Caller
from portal.core import views
from portal.core.problems import Problem, explained
from portal.core.snippets import as_agreement, as_env

router = APIRouter(route_class=StrictRoute, tags=["catalogue"])
_WORD = Annotated[str, Path(pattern=WORD)]


class Meta(Answer):
    """How many there are."""

    count: int


class Scope(Answer):
    """A part of a data set that may be granted."""

    name: str
    label: str


class DataSetShown(Answer):
    """A data set of the catalogue; `schema_path` is where its Avro schema lies below `/v1`; `preview`: its person lets each answer through
    before it is handed over."""

    name: str
    provider: str
    title: str
    scopes: list[Scope]
    parameters: list[str]
    preview: bool
    schema_path: str


class DataSets(Answer):
    """All of them."""

    data: list[DataSetShown]
    links: Links
    meta: Meta


class Provider(Answer):
    """A provider's health, as API Particulier tells it."""

    name: str
    data_sets: list[str]
    status: str
    last_update: str | None
    last_ok_status: str | None


class Providers(Answer):
    """All of them."""

    data: list[Provider]
    links: Links
    meta: Meta


class Errors(Answer):
    """The whole catalogue."""

    data: list[ProblemMembers]
    links: Links
    meta: Meta


class Right(Answer):
    """What a collectivity may ask through this token."""

    recipient: str
    data_set: str
    purpose: str
    scopes: list[str]
    legal_reference: str
    not_after: str


class Me(Answer):
    """What this token may do."""

    client: str
    operator: str
    recipients: list[str]
    expires_at: str
    rights: list[Right]
    limits: dict[str, int]


class Start(Answer):
    """A habilitation, and how to begin with it: a `.env` file of the SDK's settings, a program that asks for an agreement."""

    recipient: str
    data_set: str
    purpose: str
    env: str
    python: str


class Kit(Answer):
    """One for each right."""

    data: list[Start]
    links: Links
    meta: Meta


class Key(Answer):
    """A public key of the directory."""

    kind: str
    organisation: str
    operator: str
    public_key: str
    not_after: int
    enrolment_key: str
    signature: str
    countersignature: str


class Keys(Answer):
    """The directory."""

    data: list[Key]
    links: Links
    meta: Meta


@router.get("/datasets", response_model=DataSets, operation_id="data_sets")
async def data_sets(api: ApiDep) -> Response:
    """Les jeux de données. · The data sets."""
    return _all(api.parts.url, "datasets", [_data_set(one) for _, one in sorted(DATA_SETS.items())])


@router.get("/datasets/{name}", response_model=DataSetShown, operation_id="data_set")
async def data_set(name: _WORD) -> Response:
    """Un jeu de données : ses périmètres et paramètres. · A data set: scopes and parameters."""
    known = DATA_SETS.get(name)
    if known is None:
        raise Problem(Code.NOT_THERE)
    return JSONResponse(_data_set(known))


@router.get("/schemas/{subject}/versions/{version}", response_model=dict[str, Any], operation_id="schema")
async def schema(subject: _WORD, version: Annotated[int, Path(ge=1, le=10_000)]) -> Response:
    """Un schéma Avro, tel qu'enregistré. · An Avro schema, as registered."""
    codec = schemas().codecs.get(Name(subject, version))
    if codec is None:
        raise Problem(Code.NOT_THERE)
    return JSONResponse(codec.schema)


@router.get("/providers", response_model=Providers, operation_id="providers")
async def providers(api: ApiDep) -> Response:
    """La santé des fournisseurs. · How the providers are."""
    return _all(
        api.parts.url, "providers", [_provider(api.parts.places.health(name), name, api.now_ms()) for name in PROVIDERS]
    )


@router.get("/directory", response_model=Keys, operation_id="directory")
async def directory(api: ApiDep) -> Response:
    """Les clés publiques des fournisseurs, connecteurs et collectivités, et celle du registre, deux fois signées. · Public keys, the
    ledger's own among them, signed twice."""
    ledger = api.parts.ledger
    entries = [*await ledger.directory(), await ledger.intake()]
    return _all(api.parts.url, "directory", [views.entry(one) for one in entries])


@router.get("/errors", response_model=Errors, operation_id="errors")
async def errors(api: ApiDep, language: LanguageDep) -> Response:
    """Tous les codes : cause, que faire. · Every code: cause, what to do."""
    return _all(api.parts.url, "errors", [explained(code, language) for code in CATALOGUE])


@router.get("/errors/{code}", response_model=ProblemMembers, operation_id="error")
async def error(code: _WORD, language: LanguageDep) -> Response:
    """Un code. · One code."""
    if code not in CATALOGUE:
        raise Problem(Code.NOT_THERE)
    return JSONResponse(explained(Code(code), language))


@router.get("/me", response_model=Me, operation_id="me")
async def me(api: ApiDep, caller: CallerDep) -> Response:
    """Ce que ce jeton peut demander : jeux, finalités, périmètres, limites, échéance. · What this token may ask: data sets, purposes, scopes,
    limits, expiry."""
    rights = [_right(one) for one in await _rights(api, caller)]
    limits = {"calls_burst": CALLS.burst, "calls_per_s": int(CALLS.per_s), "body_max_bytes": BODY_MAX_BYTES}
    return JSONResponse({
        "client": caller.client, "operator": caller.operator, "recipients": sorted(caller.recipients),
        "expires_at": rfc3339(caller.not_after_ms), "rights": rights, "limits": limits,
    })  # fmt: skip


@router.get("/me/kit", response_model=Kit, operation_id="kit")
async def kit(api: ApiDep, caller: CallerDep) -> Response:
    """De quoi commencer, pour chaque droit : un fichier .env et un programme. · What to begin with, for each right: a .env file and a program."""
    data = [
        {name: getattr(one, name) for name in ("recipient", "data_set", "purpose")}
        | {"env": as_env(api.parts.url, caller.client, one.recipient), "python": as_agreement(one)}
        for one in await _rights(api, caller)
    ]
    return _all(api.parts.url, "me/kit", data)


async def _rights(api: Api, caller: Caller) -> list[Habilitation]:
    """In force now."""
    now_ms, held = api.now_ms(), await api.parts.ledger.habilitations()
    return [one for one in held if one.recipient in caller.recipients and one.scopes and one.not_after_ms > now_ms]


@router.get("/asyncapi.json", response_model=dict[str, Any], operation_id="asyncapi")
async def asyncapi_document() -> Response:
    """Les topics, pour qui va par Kafka (AsyncAPI 3). · The topics, for who goes by Kafka."""
    return JSONResponse(asyncapi.document(schemas(), DATA_SETS))


def _all(url: str, name: str, data: Sequence[dict[str, Any]]) -> Response:
    """A list that is whole."""
    links = {"self": f"{url}/v1/{name}", "next": None}
    return JSONResponse({"data": list(data), "links": links, "meta": {"count": len(data)}})


def _data_set(known: DataSet) -> dict[str, Any]:
    title, labels = words_of(known.name)
    subject, _, version = known.name.rpartition(".v")
    return {
        "name": known.name,
        "provider": known.provider,
        "title": title,
        "scopes": [{"name": scope, "label": labels.get(scope, scope)} for scope in sorted(known.scopes)],
        "parameters": sorted(known.parameters),
        "preview": known.preview,
        "schema_path": f"/schemas/{subject}/versions/{version}",
    }


def _provider(file: FilePath, name: str, now_ms: int) -> dict[str, Any]:
    try:
        seen = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        seen = Health().document(now_ms)
    of = sorted(one.name for one in DATA_SETS.values() if one.provider == name)
    return {
        "name": name,
        "data_sets": of,
        **{field: seen[field] for field in ("status", "last_update", "last_ok_status")},
    }


def _right(of: Habilitation) -> dict[str, Any]:
    return {
        "recipient": of.recipient, "data_set": of.data_set, "purpose": of.purpose, "scopes": list(of.scopes),
        "legal_reference": of.legal_reference, "not_after": rfc3339(of.not_after_ms),
    }  # fmt: skip

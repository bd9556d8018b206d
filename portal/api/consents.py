"""`/v1/consents`: ask for an agreement, see it, withdraw it, check what it allows, take its receipt, proof and capsule.

An agreement of a collectivity the caller has no delegation of is as unknown as one that does not exist.
"""

from __future__ import annotations

import asyncio
import os
from typing import Annotated, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import Field

from consent import paper
from consent.core import record
from consent.core.facts import Authorisation, Evidence, Terms
from exchange.core.decision import Ask
from exchange.core.errors import Code
from exchange.core.rendering import rfc3339
from exchange.data_sets import DATA_SETS
from portal.api.context import Api, ApiDep, CallerDep, LanguageDep
from portal.api.models import (
    Answer,
    Base64,
    DataSetName,
    Id,
    IdempotencyKey,
    Model,
    Moment,
    PathId,
    ProblemMembers,
    Siret,
    Word,
    millis,
)
from portal.api.strict import StrictRoute
from portal.api.tokens import Caller
from portal.core import checks, submissions, views
from portal.core.headers import accepted
from portal.core.problems import Problem, explained

router = APIRouter(route_class=StrictRoute, tags=["consents"])
DAY_MS = 86_400_000
YEAR_MS = 365 * DAY_MS
JSON_LD, PDF, TEXT = "application/ld+json", "application/pdf", "text/plain"
Scopes = Annotated[list[Word], Field(min_length=1, max_length=50)]
Text = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]*$")]
Channel = Literal["online", "counter", "phone", "paper"]
Level = Literal["eidas1", "eidas2", "eidas3"]


class Evidenced(Model):
    """How an act was collected."""

    channel: Channel = "online"
    agent: Text = ""
    evidence_hash: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    assurance: Level = "eidas1"


class Termed(Model):
    """Terms, and how the act was collected. `rule`: the signed rule whose answer alone may leave the provider; `watch_every_ms`: the
    shortest period at which a change may be looked for, 0 for not at all."""

    recipient: Siret
    data_set: DataSetName
    purpose: Word
    scopes: Scopes
    not_before: Moment | None = None
    not_after: Moment | None = None
    max_uses: Annotated[int, Field(ge=1, le=10_000)] = 100
    basis: Literal["consent", "legal"] = "consent"
    legal_reference: Text = ""
    notice_hash: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    notice_version: Text = ""
    data_life_days: Annotated[int, Field(ge=1, le=3650)] = 365
    assurance: Level = "eidas1"
    rule: Base64 = ""
    watch_every_ms: Annotated[int, Field(ge=0, le=400 * DAY_MS)] = 0
    evidence: Evidenced = Evidenced()


class Wanted(Termed):
    """The agreement that is asked for; the person gives it, or says no, on the ledger's own pages, with an agent, or to the collectivity."""

    id: Id | None = None


class Given(Termed):
    """What the person said to the collectivity, or what the law allows. `sealed`: whom it is about, and their identity provider's word,
    sealed to the ledger's key of the directory (kind `ledger`) for this very act, as the page on HTTP says."""

    not_before: Moment
    not_after: Moment
    sealed: Annotated[Base64, Field(min_length=4)]


class Agreement(Answer):
    """An agreement, and where it stands."""

    id: Id
    state: str
    version: int
    recipient: str
    provider: str
    data_set: str
    purpose: str
    scopes: list[str]
    basis: Literal["consent", "legal"]
    legal_reference: str
    notice_hash: str
    notice_version: str
    not_before: str
    not_after: str
    uses: int
    max_uses: int
    data_life_days: int
    assurance: str
    rule: str
    watch_every_ms: int


class Withdrawal(Model):
    """`withdrawn` and `opposed`: the person's word, told to the collectivity; `ended`: the collectivity's own."""

    happening: Literal["withdrawn", "opposed", "ended"] = "withdrawn"
    evidence: Evidenced = Evidenced()


class Acknowledged(Answer):
    """The ledger's signed word. `named` are the requests released before and not confirmed delivered: nothing else becomes openable."""

    authorisation: Id
    state: str
    at: str
    leaf_index: int
    leaf_hash: str
    named: list[Id]
    note: str


class Parameter(Model):
    """What selects, as the data set's page says."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9]{0,40}$")]
    value: Text


class Check(Model):
    """What one would ask."""

    authorisation: Id
    recipient: Siret
    data_set: DataSetName
    purpose: Word
    scopes: Scopes
    parameters: Annotated[tuple[Parameter, ...], Field(max_length=20)] = ()
    rule: Base64 = ""


class Checked(Answer):
    """What the gate would say now."""

    allowed: bool
    until: str | None
    uses_left: int
    problem: ProblemMembers | None


class Capsule(Answer):
    """Identity, salt and certificate, sealed to the collectivity's key."""

    authorisation: Id
    certificate: str
    capsule: str
    leaf_index: int


_BY_ID = {
    name: {"operationId": operation, "parameters": {"id": "$response.body#/id"}}
    for name, operation in (("see", "get_consent"), ("withdraw", "withdraw_consent"))
}


@router.post(
    "/consents",
    status_code=201,
    response_model=Agreement,
    responses={201: {"links": _BY_ID}},
    operation_id="want_consent",
)
async def want_consent(
    body: Wanted, api: ApiDep, caller: CallerDep, idempotency_key: IdempotencyKey = ""
) -> Response:  # fmt: skip
    """Demander un accord, aux termes donnés ; la même demande ne change rien. · Ask for an agreement under these terms; the same again changes
    nothing."""
    terms = _own_terms(body, api, caller)
    authorisation = bytes.fromhex(body.id) if body.id else os.urandom(16)
    await api.parts.ledger.request(authorisation, terms, _evidence(body.evidence), caller.operator)
    held = await _held(api, caller, authorisation.hex())
    location = f"{api.parts.url}/v1/consents/{authorisation.hex()}"
    return JSONResponse(views.agreement(held, await api.parts.ledger.terms(authorisation)), 201, {"location": location})


@router.post("/consents/{id:id}/grants", status_code=201, response_model=Capsule, operation_id="record_consent")
async def record_consent(
    id: PathId, body: Given, api: ApiDep, caller: CallerDep, idempotency_key: IdempotencyKey = ""
) -> Response:
    """Consigner un accord donné chez la collectivité, ou une base légale ; l'identité est scellée au registre, que l'API n'ouvre pas. Le même
    acte redit rend le même accord. · Record an agreement given to the collectivity, or a legal basis; the identity is sealed to the ledger."""
    terms, sealed = _own_terms(body, api, caller), submissions.decoded(body.sealed)
    grant = await api.parts.ledger.grant_sealed(
        bytes.fromhex(id), terms, sealed, _evidence(body.evidence), caller.operator
    )
    return JSONResponse(views.capsule(grant), 201, {"location": f"{api.parts.url}/v1/consents/{id}"})


@router.post("/consents/{id:id}/refusals", status_code=201, response_model=Agreement, operation_id="refuse_consent")
async def refuse_consent(
    id: PathId, body: Termed, api: ApiDep, caller: CallerDep, idempotency_key: IdempotencyKey = ""
) -> Response:
    """Consigner un refus, qui ne nomme personne ; dit de ce qui est en cours, il le clôt. · Record a refusal, which names nobody; said of what
    is live, it closes it."""
    terms, authorisation = _own_terms(body, api, caller), bytes.fromhex(id)
    (known,) = await api.parts.ledger.lookup([authorisation])
    if known is not None and checks.own(known, caller.operator) is None:
        raise Problem(Code.AUTHORISATION_UNKNOWN)
    await api.parts.ledger.refuse(authorisation, terms, _evidence(body.evidence))
    held = await _held(api, caller, id)
    return JSONResponse(views.agreement(held, await api.parts.ledger.terms(held.id)), 201)


@router.post("/consents/checks", response_model=Checked, operation_id="check_consent")
async def check_consent(body: Check, api: ApiDep, caller: CallerDep, language: LanguageDep) -> Response:
    """Ce que la porte dirait maintenant : permis, sinon pourquoi ; jusqu'à quand. · What the gate would say now: allowed, else why; until when."""
    authorisation = bytes.fromhex(body.authorisation)
    held = checks.own((await api.parts.ledger.lookup([authorisation]))[0], caller.operator)
    parameters = tuple((one.name, one.value) for one in body.parameters)
    ask = Ask(
        body.recipient, body.data_set, body.purpose, tuple(body.scopes), parameters, submissions.decoded(body.rule)
    )
    told = checks.check(ask, caller.operator, held, DATA_SETS, api.now_ms())
    return JSONResponse({
        "allowed": told.reason is None,
        "until": rfc3339(told.until_ms) if told.reason is None else None,
        "uses_left": told.uses_left,
        "problem": None if told.reason is None else explained(told.reason, language),
    })  # fmt: skip


@router.get("/consents/{id:id}", response_model=Agreement, operation_id="get_consent")
async def get_consent(id: PathId, api: ApiDep, caller: CallerDep) -> Response:
    """Un accord, ses termes et son état. · An agreement, its terms and where it stands."""
    held = await _held(api, caller, id)
    return JSONResponse(views.agreement(held, await api.parts.ledger.terms(held.id)))


@router.post("/consents/{id:id}/withdrawals", response_model=Acknowledged, operation_id="withdraw_consent")
async def withdraw_consent(
    id: PathId, body: Withdrawal, api: ApiDep, caller: CallerDep, idempotency_key: IdempotencyKey = ""
) -> Response:
    """Consigner un retrait : au retour les clés sont détruites ; redire donne le même accusé. · Record a withdrawal: on return the keys are
    destroyed; saying it again gets the same acknowledgement."""
    held = await _held(api, caller, id)
    ack = await api.parts.ledger.withdraw(held.id, body.happening, _evidence(body.evidence))
    return JSONResponse(views.acknowledgement(ack))


@router.get(
    "/consents/{id:id}/receipt", operation_id="get_receipt", response_class=Response,
    responses={200: {"content": {form: {} for form in (JSON_LD, PDF, TEXT)}, "description": "Le reçu, selon Accept · the receipt, by Accept."}},
)  # fmt: skip
async def get_receipt(request: Request, id: PathId, api: ApiDep, caller: CallerDep, language: LanguageDep) -> Response:
    """Le reçu : JSON-LD signé, page PDF ou preuve C2SP (text/plain). · The receipt: signed JSON-LD, a PDF page, or the C2SP proof (text/plain)."""
    form = accepted(request.headers.get("accept", ""), (JSON_LD, PDF, TEXT))
    if not form:
        raise Problem(Code.NOT_ACCEPTABLE)
    held = await _held(api, caller, id)
    text = await api.parts.ledger.receipt(held.id)
    if form == JSON_LD:
        return Response(text, media_type=JSON_LD)
    document = record.parse(text)
    if form == TEXT:
        return PlainTextResponse(paper.act_proof(document))
    return Response(await asyncio.to_thread(paper.draw, document, language), media_type=PDF)


@router.get("/consents/{id:id}/proof", operation_id="get_proof", response_class=PlainTextResponse)
async def get_proof(id: PathId, api: ApiDep, caller: CallerDep) -> Response:
    """La preuve que l'acte est au journal (C2SP tlog-proof). · The proof that the act is in the log."""
    held = await _held(api, caller, id)
    return PlainTextResponse(paper.act_proof(record.parse(await api.parts.ledger.receipt(held.id))))


@router.get("/consents/{id:id}/capsule", response_model=Capsule, operation_id="get_capsule")
async def get_capsule(id: PathId, api: ApiDep, caller: CallerDep) -> Response:
    """De quoi demander sous cet accord, scellé à la clé de la collectivité. · What asking under this agreement takes, sealed to the
    collectivity's key."""
    held = await _held(api, caller, id)
    return JSONResponse(views.capsule(await api.parts.ledger.capsule(held.id, caller.operator)))


async def _held(api: Api, caller: Caller, id: str) -> Authorisation:
    held = checks.own((await api.parts.ledger.lookup([bytes.fromhex(id)]))[0], caller.operator)
    if held is None:
        raise Problem(Code.AUTHORISATION_UNKNOWN)
    return held


def _own_terms(body: Termed, api: Api, caller: Caller) -> Terms:
    if body.recipient not in caller.recipients:
        raise Problem(Code.DELEGATION_ABSENT)
    return _terms(body, api.now_ms())


def _terms(body: Termed, now_ms: int) -> Terms:
    known = DATA_SETS[body.data_set]
    if not set(body.scopes) <= known.scopes:
        raise Problem(Code.SCOPE_EXCEEDED, "body.scopes")
    since_ms = millis(body.not_before) if body.not_before else now_ms
    until_ms = millis(body.not_after) if body.not_after else now_ms + YEAR_MS
    if since_ms is None or until_ms is None or not since_ms < until_ms or until_ms <= now_ms:
        raise Problem(Code.EXPIRED, "body.not_after")
    return Terms(
        body.recipient, known.provider, body.data_set, body.purpose, tuple(sorted(set(body.scopes))), since_ms, until_ms, body.max_uses,
        body.basis, body.legal_reference, bytes.fromhex(body.notice_hash), body.notice_version, body.data_life_days, body.assurance,
        submissions.decoded(body.rule), body.watch_every_ms,
    )  # fmt: skip


def _evidence(told: Evidenced) -> Evidence:
    return Evidence(told.channel, told.agent, bytes.fromhex(told.evidence_hash), told.assurance)

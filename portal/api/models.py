"""Shapes that several endpoints share, as pydantic models: they are the OpenAPI document too."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Header, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from exchange.core.referentials import is_siret
from exchange.data_sets import DATA_SETS

ID = r"^[0-9a-f]{32}$"
WORD = r"^[a-z0-9][a-z0-9._-]{0,99}$"
BASE64 = r"^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$"
"""In its one form (RFC 4648 §3.5: the bits left over are zero)."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    kind: {
        "description": text,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for kind, text in (
        ("4XX", "Ce que l'appelant peut corriger · what the caller can mend."),
        ("5XX", "Le bus ne répond pas comme il devrait · the bus does not answer as it should."),
    )
}


def _siret(text: str) -> str:
    if not is_siret(text):
        raise ValueError("not a SIRET")
    return text


def _moment(text: str) -> str:
    if millis(text) is None:
        raise ValueError("not a moment")
    return text


def millis(text: str) -> int | None:
    """RFC 3339 with its zone, as ms since 1970; None for anything else."""
    try:
        found = datetime.fromisoformat(text.upper())
        return round(found.timestamp() * 1000) if found.tzinfo is not None and "T" in text.upper() else None
    except (ValueError, OverflowError):
        return None


def _data_set(text: str) -> str:
    if text not in DATA_SETS:
        raise ValueError("not a data set")
    return text


Id = Annotated[str, StringConstraints(pattern=ID)]
PathId = Annotated[str, Path(pattern=ID, description="32 chiffres hexadécimaux · hexadecimal digits.")]
Siret = Annotated[
    str, StringConstraints(pattern=r"^[0-9]{14}$"), AfterValidator(_siret), Field(json_schema_extra={"format": "siret"})
]
Word = Annotated[str, StringConstraints(pattern=WORD)]
DataSetName = Annotated[str, AfterValidator(_data_set), Field(json_schema_extra={"enum": sorted(DATA_SETS)})]
Base64 = Annotated[
    str, StringConstraints(pattern=BASE64, max_length=400_000), Field(json_schema_extra={"contentEncoding": "base64"})
]
Moment = Annotated[
    str, StringConstraints(max_length=40), AfterValidator(_moment), Field(json_schema_extra={"format": "date-time"})
]
IdempotencyKey = Annotated[
    str, Header(pattern=r"^[!-~]{1,255}$", description="La même clé, la même réponse, 24 h · same key, same answer.")
]
Prefer = Annotated[
    str, Header(max_length=200, description="`wait=10` (RFC 7240) : attendre l'issue · wait for the outcome.")
]
Limit = Annotated[int, Query(ge=1, le=500)]
Cursor = Annotated[
    str, Query(max_length=4096, pattern=r"^[A-Za-z0-9_-]*$", description="Reprendre après · go on after.")
]


class Model(BaseModel):
    """What is sent: nothing but the fields that are told."""

    model_config = ConfigDict(extra="forbid")


class Answer(BaseModel):
    """What is answered; members may be added in a later version."""


class ProblemMembers(Answer):
    """Why a request ended so, and what to do: the members of a problem that are its own."""

    type: str
    title: str
    detail: str
    code: str
    origin: Literal["caller", "citizen", "provider", "bus"]
    retry: bool
    cause: str
    todo: str
    provider_code: str = ""


class Outcome(Answer):
    """The one fate of a request."""

    code: Literal["released", "refused", "failed", "expired", "cancelled", "conflict"]
    delivery: Literal["none", "key", "cut"]
    reason: str
    provider_code: str
    decided_at: str
    problem: ProblemMembers | None


class Requested(Answer):
    """A request, and its outcome once it has one. `message` is the bus's own word, sealed: `exchange.adapters.http` and the collectivity's
    key open it. `waiting`: its answer is there to be opened (`/answer`); `preview_pending`: it is there, and its person has first to let it
    through."""

    id: Id
    authorisation: Id
    status: Literal[
        "accepted", "preview_pending", "waiting", "released", "refused", "failed", "expired", "cancelled", "conflict"
    ]
    accepted_at: str
    deadline: str
    outcome: Outcome | None
    message: str


class Links(Answer):
    """Where to go on."""

    self: str
    next: str | None

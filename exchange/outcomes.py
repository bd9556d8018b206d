"""What an application gets: an opened answer, or an error that says what happened and what to do. The classes of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from consent.core.facts import Outcome
from exchange.core.errors import CATALOGUE, Code


@dataclass(frozen=True, slots=True)
class RuleAnswer:
    """What a rule (its hash) answered: yes or no, a table's label, or None where the State's answer does not tell. `at_ms`: when."""

    hash: bytes
    result: bool | str | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """What the State said, opened by the collectivity. `data` is present when `status` is found, `rule` in its place where a rule was
    asked; `code` is the State's own."""

    request: bytes
    status: Literal["found", "not_found", "refused"]
    code: str
    title: str
    data: dict[str, Any] | None = field(repr=False)
    outcome: Outcome = field(repr=False)
    rule: RuleAnswer | None = None


class ExchangeError(Exception):
    """A request that ended without an answer. `code`, `cause` and `todo` come from the catalogue; `outcome` is the bus's word."""

    def __init__(self, code: Code, outcome: Outcome | None = None) -> None:
        entry = CATALOGUE[code]
        super().__init__(f"{code.value}: {entry.cause_en} → {entry.todo_en}")
        self.code, self.cause, self.todo, self.outcome = code, entry.cause_en, entry.todo_en, outcome
        self.provider_code = outcome.provider_code if outcome is not None else ""


class ConsentRequired(ExchangeError):
    """The citizen has not agreed, no longer agrees, or agreed to something else."""


class ConsentWithdrawn(ConsentRequired):
    """The agreement was withdrawn; a release made before may have been cut."""


class NotEntitled(ExchangeError):
    """No habilitation, no delegation, or more asked than agreed."""


class UnknownDataSet(ExchangeError):
    """No such data set, or not with these parameters."""


class InvalidSubject(ExchangeError):
    """The person designated is not the agreement's."""


class ProviderUnavailable(ExchangeError):
    """The State API does not answer, or not properly."""


class Expired(ExchangeError):
    """The deadline passed first."""


class NothingWaits(ExchangeError):
    """No answer waits to be opened: it is not there yet, was taken, or its time is over."""


class AwaitsPerson(ExchangeError):
    """An answer is there, and its person has not said yet whether it may be handed over: the request goes on until its deadline."""


class PreviewRejected(ExchangeError):
    """The person saw what would be handed over and said no; the agreement stands."""


class Conflict(ExchangeError):
    """The request id was used for another request."""


class BusUnavailable(ExchangeError):
    """The bus does not answer."""


_CLASSES: dict[type[ExchangeError], tuple[Code, ...]] = {
    ConsentWithdrawn: (Code.WITHDRAWN, Code.ERASED, Code.OPPOSED),
    ConsentRequired: (Code.AUTHORISATION_UNKNOWN, Code.NOT_YET_GIVEN, Code.NOT_YET_VALID, Code.CONSENT_REFUSED, Code.EXPIRED, Code.USED_UP,
                      Code.INVALIDATED, Code.ENDED, Code.CERTIFICATE_OUTDATED),
    NotEntitled: (Code.DELEGATION_ABSENT, Code.HABILITATION_ABSENT, Code.SCOPE_EXCEEDED, Code.WATCH_EXCEEDED, Code.RECIPIENT_MISMATCH, Code.DATA_SET_MISMATCH,
                  Code.PURPOSE_MISMATCH, Code.RULE_MISMATCH, Code.RULE_INVALID),
    UnknownDataSet: (Code.DATA_SET_UNKNOWN, Code.PARAMETER_UNKNOWN),
    InvalidSubject: (Code.SUBJECT_MISMATCH, Code.IDENTITY_UNOPENABLE),
    ProviderUnavailable: (Code.PROVIDER_UNAVAILABLE, Code.PROVIDER_ERROR, Code.ATTEMPTS_EXHAUSTED, Code.WRONG_PERSON),
    Expired: (Code.DEADLINE_PASSED,),
    NothingWaits: (Code.NOTHING_WAITS,),
    AwaitsPerson: (Code.PREVIEW_PENDING,),
    PreviewRejected: (Code.PREVIEW_REJECTED,),
    Conflict: (Code.CONFLICT,),
    BusUnavailable: (Code.UNAVAILABLE,),
}  # fmt: skip


_RESULTS = {"true": True, "false": False, "unknown": None}


def ruled(request: bytes, said: Mapping[str, Any], outcome: Outcome) -> Answer:
    """The answer to a rule, from RuleAnswer's fields."""
    told = RuleAnswer(outcome.rule_hash, _RESULTS.get(said["result"], said["result"]), said["at_ms"])
    return Answer(request, said["status"], said["code"], "", None, outcome, told)


def error(outcome: Outcome) -> ExchangeError:
    """The error an outcome without an answer is."""
    return of(Code.WITHDRAWN if outcome.delivery == "cut" else Code(outcome.reason), outcome)


def of(code: Code, outcome: Outcome | None = None) -> ExchangeError:
    """The error of a code."""
    kind = next((kind for kind, codes in _CLASSES.items() if code in codes), ExchangeError)
    return kind(code, outcome)

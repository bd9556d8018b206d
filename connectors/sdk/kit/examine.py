"""The conformance kit: a connector, and cases of the State, held to every promise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from connectors.contract import Found
from connectors.core.call import call
from connectors.core.cases import NEVER_COMPARED, Case
from connectors.core.description import Description
from connectors.core.reading import interpret
from connectors.rest.descriptions import parts_of
from connectors.sdk.declare import BadConnector
from connectors.sdk.kit.checks import CHECKS, Broken, Skipped
from connectors.sdk.kit.promises import PROMISES, Promise, Result
from connectors.sdk.kit.stage import JSON, TOKEN, URL, Make, Play, staged
from connectors.sdk.providers import service
from exchange.core.identity import Identity
from exchange.outcomes import ExchangeError

SIRET = "21130055300016"
REASON = "conformance"
"""The context or object of a call (API Entreprise), where the State's cases do not say it."""


async def examine(name: str, cases: Sequence[Case]) -> list[Result]:
    """The connector of a provider or of a file, held to every promise for each of its data sets. Raises BadConnector, ValueError."""
    return await examined(lambda client: service(name, URL, TOKEN, client), cases)


async def examined(make: Make, cases: Sequence[Case], promises: Sequence[str] = tuple(PROMISES)) -> list[Result]:
    """The same for a connector made on the client it is given. A data set without a case where the State finds is a BadConnector."""
    async with httpx.AsyncClient() as client:
        data_sets = sorted(make(client).apis)
    plays = [_play(data_set, cases) for data_set in data_sets]
    return [await _held(PROMISES[name], play, make) for play in plays for name in promises]


async def _held(promise: Promise, play: Play, make: Make) -> Result:
    try:
        async with staged(play, make) as stage:
            await CHECKS[promise.name](stage)
    except Broken as broken:
        return Result(play.data_set, promise, "failed", str(broken))
    except Skipped as skipped:
        return Result(play.data_set, promise, "skipped", str(skipped))
    except ExchangeError as error:
        return Result(play.data_set, promise, "failed", error.code.value)
    return Result(play.data_set, promise, "passed")


def _play(data_set: str, cases: Sequence[Case]) -> Play:
    """The first cases where the State finds, in each part, the one that the parameters of one of them designate."""
    parts = list(parts_of(data_set).values())
    for description in parts:
        for case in _of(description, cases):
            try:
                identity, parameters = _person(case, set(description.parameters))
                required = [name for name, known in description.parameters.items() if known.required]
                parameters = dict.fromkeys(required, REASON) | parameters
                met = [(part, _met(part, cases, identity, parameters)) for part in parts]
            except ValueError:  # this case is about a fault of the query, or lacks what another part asks
                continue
            found = tuple((part, one) for part, one in met if one is not None)
            if len(found) == len(parts):
                return Play(data_set, found, identity, parameters)
    operations = [operation.id for description in parts for operation in description.operations]
    raise BadConnector(f"{data_set}: no case with status 200 for {', '.join(operations)}")


def _of(description: Description, cases: Sequence[Case]) -> list[Case]:
    """The cases of a description's operations where the State finds; first those asked by name, whose answers can be seen to be theirs."""
    operations = [operation.id for operation in description.operations]
    found = [case for case in cases if case.status == 200 and case.operation in operations]
    return sorted(found, key=lambda case: case.wire.keys().isdisjoint(("nom", "nomNaissance")))


def _met(
    description: Description, cases: Sequence[Case], identity: Identity, parameters: Mapping[str, str]
) -> Case | None:
    """The first case found about this one. Raises ValueError where the description cannot ask."""
    call(description, identity, SIRET, parameters)
    found = (
        case
        for case in _of(description, cases)
        if isinstance(interpret(description, 200, JSON, case.payload, identity), Found)
    )
    return next(found, None)


def _person(case: Case, parameters: set[str]) -> tuple[Identity, dict[str, str]]:
    """The person or company a case is about, and what it selects beside. Raises ValueError."""
    values: dict[str, Any] = {name.removesuffix("[]"): value for name, value in case.wire.items()}
    selecting = {name: str(values[name]) for name in parameters if values.get(name)}
    for name in (*parameters, *NEVER_COMPARED):
        values.pop(name, None)
    if siren := values.pop("siren", ""):
        return Identity(siret=f"{siren}00010"), selecting
    if siret := values.pop("siret", ""):  # fictitious: its key may be wrong
        return Identity(siret=str(siret)), selecting
    return Identity.from_wire(values), selecting

"""The conformance kit: a connector, and cases of the State, held to every promise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx

from connectors.core.cases import Case
from connectors.rest.descriptions import descriptions
from connectors.sdk.declare import BadConnector
from connectors.sdk.kit.checks import CHECKS, Broken, Skipped
from connectors.sdk.kit.promises import PROMISES, Promise, Result
from connectors.sdk.kit.stage import TOKEN, URL, Make, Play, staged
from connectors.sdk.providers import service
from exchange.core.identity import BadIdentity, Identity
from exchange.outcomes import ExchangeError


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
    """The first case where the State finds somebody this connector can designate."""
    description = descriptions()[data_set]
    operations = [operation.id for operation in description.operations]
    for case in cases:
        if case.status == 200 and case.operation in operations:
            try:
                identity, parameters = _person(case, set(description.parameters))
            except BadIdentity:
                continue
            return Play(data_set, case, identity, parameters)
    raise BadConnector(f"{data_set}: no case with status 200 for {', '.join(operations)}")


def _person(case: Case, parameters: set[str]) -> tuple[Identity, dict[str, str]]:
    """The person or company a case is about, and what it selects beside."""
    values: dict[str, Any] = {name: value for name, value in case.wire.items() if name not in parameters}
    selecting = {name: str(case.wire[name]) for name in parameters if case.wire.get(name)}
    for name in ("recipient", "context", "object", "year"):
        values.pop(name, None)
    if siren := values.pop("siren", ""):
        return Identity(siret=f"{siren}00010"), selecting
    return Identity.from_wire(values), selecting

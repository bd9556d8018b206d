"""The conformance kit passes who keeps the promises, and names the promise that is broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from connectors.contract import Failure, Found, NotFound, Reading, Retry
from connectors.rest.api import RestApi
from connectors.sandbox import FAMILIES, load_cases
from connectors.sdk.declare import BadConnector, Service
from connectors.sdk.kit.checks import CHECKS
from connectors.sdk.kit.examine import examine, examined
from connectors.sdk.kit.promises import PROMISES
from connectors.sdk.kit.stage import TOKEN, URL

DATA_SET = "cnaf.quotient-familial.v1"
CASES = [case for case in load_cases(FAMILIES) if case.name.startswith("01-couple")]


class Honest:
    """A connector that keeps its promises; what is wrong with each other is told by its own methods."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.api, self.client = RestApi(URL, TOKEN, client), client

    async def fetch(self, data_set: str, identity: Any, recipient: str, parameters: Any) -> Reading:
        return await self.api.fetch(data_set, identity, recipient, parameters)

    async def close(self) -> None: ...


class CallsTwice(Honest):
    async def fetch(self, *asked: Any) -> Reading:
        await super().fetch(*asked)
        return await super().fetch(*asked)


class KeepsThePerson(Honest):
    """Asks about whoever came first."""

    first: Any = None

    async def fetch(self, data_set: str, identity: Any, recipient: str, parameters: Any) -> Reading:
        self.first = self.first or identity
        return await super().fetch(data_set, self.first, recipient, parameters)


class Maps(Honest):
    """Says one reading in place of another."""

    def __init__(self, client: httpx.AsyncClient, change: Callable[[Reading], Reading]) -> None:
        super().__init__(client)
        self.change = change

    async def fetch(self, *asked: Any) -> Reading:
        return self.change(await super().fetch(*asked))


class Impatient(Honest):
    """Takes silence for an answer."""

    async def fetch(self, *asked: Any) -> Reading:
        call = asyncio.create_task(super().fetch(*asked))
        for _ in range(20):
            await asyncio.sleep(0)
        return call.result() if call.done() else NotFound("35003", "")


class TriesAgain(Honest):
    """Does the agent's work, behind the ledger's back."""

    async def fetch(self, *asked: Any) -> Reading:
        while isinstance(reading := await super().fetch(*asked), Retry):
            pass
        return reading


class Unchecked(Honest):
    """Believes the State, whoever the answer is about."""

    async def fetch(self, data_set: str, identity: Any, recipient: str, parameters: Any) -> Reading:
        pairs = [("recipient", recipient), ("nomNaissance", identity.nom_naissance), *parameters.items()]
        answer = await self.client.get(URL, params=pairs)
        try:
            return Found(answer.json()["data"])
        except ValueError:
            return Found({})


class GoesOn(Honest):
    """Calls on behind the back of who gave up."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        super().__init__(client)
        self.tasks: set[asyncio.Task[None]] = set()

    async def fetch(self, *asked: Any) -> Reading:
        self.tasks.add(asyncio.create_task(self._again(asked)))
        return await super().fetch(*asked)

    async def _again(self, asked: Any) -> None:
        for _ in range(2_000):
            await asyncio.sleep(0)
        for _ in range(50):
            self.tasks.add(asyncio.create_task(self._ignored(asked)))
            for _ in range(500):
                await asyncio.sleep(0)

    async def _ignored(self, asked: Any) -> None:
        await self.api.fetch(*asked)

    async def close(self) -> None:
        for task in self.tasks:
            task.cancel()


class Sleeps(Honest):
    """Waits itself for the time the State asks, forgetting it at each restart."""

    async def fetch(self, *asked: Any) -> Reading:
        reading = await super().fetch(*asked)
        return Retry(reading.code, 1.0) if isinstance(reading, Retry) else reading


def becomes(kind: type, other: Reading) -> Callable[[httpx.AsyncClient], Honest]:
    return lambda client: Maps(client, lambda reading: other if isinstance(reading, kind) else reading)


def invents(reading: Reading) -> Reading:
    return Found({"quotient_familial": None}) if isinstance(reading, Failure) else reading


WRONG: dict[str, Callable[[httpx.AsyncClient], Any]] = {
    "answered": CallsTwice,
    "own_person": KeepsThePerson,
    "not_found": becomes(NotFound, Failure("35003", "unexpected")),
    "refusal": Unchecked,
    "duplicate": CallsTwice,
    "timeout": Impatient,
    "withdrawn": TriesAgain,
    "bad_payload": lambda client: Maps(client, invents),
    "conflict_409": becomes(Retry, Failure("00015", "unexpected")),
    "too_many_429": Sleeps,
    "gateway_502": becomes(Retry, NotFound("35003", "")),
    "gateway_504": becomes(Retry, Failure("37002", "unexpected")),
    "somebody_else": Unchecked,
    "extra_parameter": Unchecked,
    "deadline": GoesOn,
    "restart": Sleeps,
    "unknown_data_set": Unchecked,
}


def made(wrong: Callable[[httpx.AsyncClient], Any]) -> Callable[[httpx.AsyncClient], Service]:
    return lambda client: Service("cnaf", {DATA_SET: wrong(client)})


def test_every_promise_is_examined() -> None:
    """Each sentence has its check, and a wrong connector here, but for the three that the agent alone keeps, whatever the API does."""
    assert list(PROMISES) == list(CHECKS)
    assert PROMISES.keys() - WRONG.keys() == {"wrong_person", "minimised", "rule"}


@pytest.mark.parametrize("promise", WRONG)
async def test_a_broken_promise_is_named(promise: str) -> None:
    """A connector wrong in this one way fails this check, with what was seen."""
    (result,) = await examined(made(WRONG[promise]), CASES, [promise])
    assert (result.promise.name, result.verdict) == (promise, "failed")
    assert result.seen


async def test_an_honest_connector_passes() -> None:
    """Every promise kept, none skipped, where the State's answers name people and have several scopes."""
    results = await examined(made(Honest), CASES)
    assert [(r.promise.name, r.seen) for r in results if r.verdict != "passed"] == []
    assert [r.promise.name for r in results] == list(PROMISES)


async def test_without_a_case_nothing_is_said() -> None:
    """A connector that nothing was tried on did not pass."""
    with pytest.raises(BadConnector, match="no case"):
        await examine("cnaf", [])

"""What a State team writes: one function per data set. Everything else is given.

    c = Connector("cnaf")

    @c.answers("cnaf.quotient-familial.v1", concurrency=16, rate="20/s", timeout_s=10)
    async def quotient(asked: Asked) -> Answered:
        said = await asked.get("/v3/dss/quotient_familial/identite", asked.query())
        return said.data() if said.status == 200 else said.refusal()

The function is called for authorised requests only, in its rate and time, at most three times each; what it raises or returns wrongly
is a technical failure, never an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from connectors.contract import Failure, Found, Identity, NotFound, Reading, Retry, StateApi, StateRefusal
from connectors.core.call import call
from connectors.core.person import is_about
from connectors.rest.descriptions import descriptions
from connectors.sdk.core.rate import interval_ms
from connectors.sdk.lanes import Limits
from connectors.sdk.state import BadAnswer, Said, StateHttp
from exchange.bounded import TooLarge
from exchange.data_sets import DATA_SETS

Answered = Reading | Mapping[str, Any]
"""A reading, or the State's data: the root fields of the data set's schema, those it has."""
Function = Callable[["Asked"], Awaitable[Answered]]
Ping = Callable[[StateHttp], Awaitable[bool]]


class BadConnector(ValueError):
    """A connector declared wrongly; says what, in one line."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One authorised request about one person or company. `recipient` is a SIRET; `parameters` are the data set's own."""

    data_set: str
    identity: Identity = field(repr=False)
    recipient: str
    parameters: Mapping[str, str]
    state: StateHttp = field(repr=False)

    async def get(self, path: str, query: Sequence[tuple[str, str]]) -> Said:
        """One call of the State API. Let what it raises pass."""
        return await self.state.get(path, query)

    def query(self) -> list[tuple[str, str]]:
        """The wire parameters the data set's description documents, from this person alone."""
        return call(descriptions()[self.data_set], self.identity, self.recipient, self.parameters).query


@dataclass(frozen=True)
class Service:
    """A connector ready to answer: its APIs and limits by data set, the rate of all together (empty: none), its ping if it has one."""

    provider: str
    apis: Mapping[str, StateApi]
    limits: Mapping[str, Limits] = field(default_factory=dict)
    rate: str = ""
    ping: Callable[[], Awaitable[bool]] | None = None

    async def close(self) -> None:
        for api in {id(api): api for api in self.apis.values()}.values():
            await api.close()


class Connector:
    """A connector for one provider. `rate` bounds its calls of all data sets together. Raises BadConnector or ValueError."""

    def __init__(self, provider: str, *, rate: str = "") -> None:
        interval_ms(rate)
        self.provider, self.rate = provider, rate
        self._functions: dict[str, tuple[Function, Limits]] = {}
        self._ping: Ping | None = None

    def answers(
        self, data_set: str, *, concurrency: int = 16, rate: str = "", timeout_s: float = 10.0
    ) -> Callable[[Function], Function]:
        """Declares the function that answers for a data set of the catalogue."""
        if data_set not in DATA_SETS or DATA_SETS[data_set].provider != self.provider:
            raise BadConnector(f"{data_set}: not a data set of {self.provider}")
        limits = Limits(concurrency, rate, timeout_s)

        def declared(function: Function) -> Function:
            if data_set in self._functions:
                raise BadConnector(f"{data_set}: answered twice")
            self._functions[data_set] = (function, limits)
            return function

        return declared

    def status(self, function: Ping) -> Ping:
        """Declares the function that says whether the State API is well: it feeds the provider's health."""
        self._ping = function
        return function

    def open(self, base_url: str, token: str, client: httpx.AsyncClient | None = None) -> Service:
        """The connector on a State API: https, or http on the loopback (ValueError). Raises BadConnector if it answers nothing."""
        if not self._functions:
            raise BadConnector(f"{self.provider}: answers no data set")
        state = StateHttp(base_url, token, client)
        apis = {name: _FunctionApi(function, state) for name, (function, _) in self._functions.items()}
        limits = {name: limits for name, (_, limits) in self._functions.items()}
        ping = self._ping
        return Service(self.provider, apis, limits, self.rate, (lambda: ping(state)) if ping else None)


class _FunctionApi:
    """`StateApi` over one function: what it raises becomes a word, and an answer about somebody else is none."""

    def __init__(self, function: Function, state: StateHttp) -> None:
        self._function, self._state = function, state

    async def fetch(self, data_set: str, identity: Identity, recipient: str, parameters: Mapping[str, str]) -> Reading:
        if data_set not in DATA_SETS or not parameters.keys() <= DATA_SETS[data_set].parameters:
            return Failure("", "parameter")
        try:
            answered = await self._function(Asked(data_set, identity, recipient, dict(parameters), self._state))
        except (TimeoutError, httpx.TimeoutException):
            return Retry("", 0.0, "timeout")
        except (httpx.NetworkError, httpx.RemoteProtocolError):
            return Retry("", 0.0, "network")
        except TooLarge:
            return Failure("", "too_large")
        except BadAnswer:
            return Failure("", "garbage")
        except Exception:  # what it holds may be personal: only the fact of it leaves
            return Failure("", "client")
        return _checked(data_set, answered, identity)

    async def close(self) -> None:
        await self._state.close()


def _checked(data_set: str, answered: object, identity: Identity) -> Reading:
    if isinstance(answered, NotFound | StateRefusal | Retry | Failure):
        return answered
    data = answered.data if isinstance(answered, Found) else answered
    if not isinstance(data, dict):
        return Failure("", "garbage")
    description = descriptions()[data_set]
    if not any(data.get(field["name"]) is not None for field in description.schema["fields"]):
        return Failure("", "schema")
    try:
        about = is_about(description.about, data, identity)
    except (TypeError, AttributeError):
        return Failure("", "schema")
    return Found(data) if about else Failure("", "wrong_person")

"""The pytest plugin of Accord: a whole bus in memory in each test that asks for `accord_bus`, with no process and no broker.

    def test_the_canteen_reads_the_quotient(accord_bus):
        agreement = accord_bus.give("01-couple-deux-enfants")
        assert accord_bus.ask(agreement).data["quotient_familial"]["valeur"] == 742

Time is the test's: five minutes of waiting pass at once (`accord_bus.wait(300)`). An application that is asynchronous is run on the same
bus with `accord_bus.run(…)`, or opens its own: `async with exchange.testing.MemoryBus(…)`. pytest loads this file in every session where
Accord is installed, so what the bus needs is imported when a test first asks for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import pytest

if TYPE_CHECKING:
    from consent.core.facts import Acknowledgement
    from exchange.core.identity import Identity
    from exchange.outcomes import Answer
    from exchange.sdk import Bus, Request

T = TypeVar("T")
MARK = "accord_bus(cases=None, provider='cnaf', handover='push'): the State's cases, the provider and the handover of this test's bus."


class AccordBus:
    """A bus in memory, one collectivity and the State's fictitious families, driven without `async`."""

    def __init__(self, cases: Path | None = None, provider: str = "cnaf", handover: Any = "push") -> None:
        """`cases`: a folder of cases (`params`, `status`, `payload`) in place of those shipped."""
        from connectors.sandbox import FAMILIES, load_cases
        from exchange.testing import CasesApi, MemoryBus

        self.cases = {case.name: case for case in load_cases(cases or FAMILIES)}
        self.memory, self._handover = MemoryBus(CasesApi(list(self.cases.values())), provider=provider), handover
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        self.run(self.memory.__aenter__())
        self.run(self.memory.hand_over(self._handover))
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.memory.__aexit__())
        self._runner.close()

    @property
    def sdk(self) -> Bus:
        """The collectivity's SDK: what an application is given in production."""
        return self.memory.sdk

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What an asynchronous application does with the bus; its result."""
        return self._runner.run(work)

    def give(self, person: str | Identity, **terms: object) -> bytes:
        """An agreement of a family (a case's name) or of an identity; `terms` replace the usual ones (`scopes`, `max_uses`, `data_set`…).
        Its id."""
        return self.run(self.memory.give(self.identity(person) if isinstance(person, str) else person, **terms))

    def identity(self, case: str) -> Identity:
        """Who a case is about. KeyError where there is no such case."""
        from connectors.core.cases import NEVER_COMPARED, PERIOD
        from exchange.core.identity import Identity

        asked = self.cases[case].wire
        return Identity.from_wire({name: value for name, value in asked.items() if name not in PERIOD | NEVER_COMPARED})

    def request(self, agreement: bytes, **asked: Any) -> Request:
        """Ask for what an agreement allows, or for what `asked` says (`scopes`, `parameters`, `purpose`, `ttl_s`…)."""
        from consent import certificates

        capsule = self.sdk.wallet.capsule(agreement)
        if capsule is None:
            raise KeyError("no such agreement")
        said = certificates.read_checked(capsule.certificate)
        usual = {"purpose": said.purpose, "scopes": said.scopes}
        data_set = asked.pop("data_set", said.data_set)
        return self.run(self.sdk.request(data_set, consent=agreement, **usual | asked))

    def ask(self, agreement: bytes, **asked: Any) -> Answer:
        """The same, and its answer; the `ExchangeError` it ends with otherwise."""
        return self.run(self.request(agreement, **asked).answer(3_600))

    def preview(self, request: Request, accepted: bool = True) -> None:
        """Where the data set asks for it: the person lets the answer to this request through, or not. LookupError where none waits for them."""
        self.run(self.memory.preview(request, accepted))

    def withdraw(self, agreement: bytes) -> Acknowledgement:
        """The person takes the agreement back."""
        return self.run(self.memory.withdraw(agreement))

    def wait(self, seconds: float) -> None:
        """Time passes, for everybody and at one go: all who waited for a moment in between wake after it."""
        self.run(self._wait(seconds))

    async def _wait(self, seconds: float) -> None:
        self.memory.clock.advance(round(seconds * 1000))
        await self.memory.clock.sleep(1)

    def stop(self, agent: str) -> None:
        """An agent of the bus dies: `release`, `gate`, `connector.cnaf`…"""
        self.run(self.memory.pause(agent))

    def start(self, agent: str) -> None:
        """It is there again."""
        self.run(self.memory.resume(agent))


@pytest.fixture
def accord_bus(request: pytest.FixtureRequest) -> Iterator[AccordBus]:
    """A bus of this test's own."""
    mark = request.node.get_closest_marker("accord_bus")
    with AccordBus(*(mark.args if mark else ()), **(mark.kwargs if mark else {})) as bus:
        yield bus


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARK)

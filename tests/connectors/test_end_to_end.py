"""Every data set through the whole bus in memory: authorisation, gate, connector, seal, release, opened by the collectivity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from connectors.contract import Failure, Found, NotFound, Reading, Retry, StateRefusal
from connectors.core.cases import Case
from connectors.core.description import Description
from connectors.rest.descriptions import descriptions
from connectors.sandbox import FAMILIES, load_cases
from exchange.core.errors import Code
from exchange.core.referentials import purposes_of
from exchange.core.shape import present
from exchange.data_sets import DATA_SETS
from exchange.introduction import LEGAL_REFERENCE
from exchange.outcomes import ExchangeError
from exchange.testing import CasesApi, MemoryBus
from tests.connectors.state_cases import STATE, apart, asked_by, state_cases
from tests.connectors.test_data_sets import NAMES, STATED, expected, filled

LEGAL: dict[str, object] = {
    "basis": "legal",
    "legal_reference": LEGAL_REFERENCE,
    "notice_hash": b"n" * 32,
    "notice_version": "2026-1",
}
FAILED = (Code.PROVIDER_ERROR, Code.PROVIDER_UNAVAILABLE, Code.ATTEMPTS_EXHAUSTED, Code.DEADLINE_PASSED)


def basis(description: Description) -> dict[str, object]:
    """A company consents to nothing: the law does. A person agrees."""
    return LEGAL if "siret" in description.operations[0].needs else {}


async def carried(description: Description, cases: Sequence[Case]) -> list[tuple[Case, Any]]:
    """Each case asked through one bus, under an authorisation of its own, whose person lets through what they are shown: the answer, or the
    error."""
    name, scopes = description.data_set, tuple(sorted(field["scope"] for field in description.schema["fields"]))
    done: list[tuple[Case, Any]] = []
    async with MemoryBus(CasesApi(cases), provider=description.provider) as bus:
        for case in cases:
            identity, parameters = asked_by(case, description)
            terms = {"provider": description.provider, "data_set": name, "scopes": tuple(sorted(set(scopes)))}
            authorisation = await bus.give(identity, **terms, **basis(description))
            request = await bus.sdk.request(
                name, consent=authorisation, purpose=purposes_of(name)[0], parameters=parameters, ttl_s=60
            )
            try:
                if DATA_SETS[name].preview and await request.awaits_person(600):
                    await bus.preview(request)
                done.append((case, await request.answer(600)))
            except ExchangeError as error:
                done.append((case, error))
    return done


def as_meant(description: Description, case: Case, met: Any) -> bool:
    """Whether what the collectivity got is what the case means."""
    reading: Reading = expected(description, case)
    match reading:
        case Found():
            return bool(met.status == "found" and met.data == present(filled(description.schema, reading.data)))
        case NotFound() | StateRefusal():
            status = "not_found" if isinstance(reading, NotFound) else "refused"
            return bool((met.status, met.code, met.title) == (status, reading.code, reading.title))
        case Failure(cause="wrong_person"):
            return isinstance(met, ExchangeError) and met.code == Code.WRONG_PERSON
        case Retry() | Failure():
            return isinstance(met, ExchangeError) and met.code in FAILED and met.provider_code in ("", reading.code)


async def count(description: Description, cases: Sequence[Case]) -> int:
    """How many cases went through the bus as they mean."""
    carried_by_group = [await carried(description, group) for group in apart(cases)]
    unlike = [case.name for group in carried_by_group for case, met in group if not as_meant(description, case, met)]
    assert not unlike
    return sum(map(len, carried_by_group))


@pytest.mark.parametrize("name", NAMES)
async def test_our_cases_through_the_bus(name: str) -> None:
    """People on consent, companies on a legal basis: each case of ours reaches the collectivity as what it means."""
    description = descriptions()[name]
    cases = [case for operation in description.operations for case in load_cases(FAMILIES / operation.id)]
    assert await count(description, [case for case in cases if not case.before]) >= 2


@pytest.mark.skipif(not STATE.is_dir(), reason="the State's sandbox cases are not here (../shared)")
@pytest.mark.parametrize("name", STATED)
async def test_the_states_cases_through_the_bus(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the State's own cases reaches the collectivity as what it means."""
    description = descriptions()[name]
    cases = [case for operation in description.operations for case in state_cases(operation.id)]
    done = await count(description, cases)
    with capsys.disabled():
        print(f"\n{name}: {done}/{len(cases)} cas de l'État par le bus / State cases through the bus", end="")
    assert done == len(cases)

"""Existing software changes one base URL: the façade answers as the State's API does, and only under an agreement."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from connectors.core.cases import Case
from connectors.rest.descriptions import descriptions
from connectors.sandbox import Sandbox
from exchange.core.errors import Code
from exchange.core.shape import preview_of
from exchange.testing import CasesApi, MemoryBus
from portal.core.facade import BASE, Offers, refused
from portal.facade.app import Facade
from tests.portal.facade.stand import PATH, Nobody, Told, cases, get, identity, query, settled

CASES = cases()
SETTLED = list(settled(CASES))
FAMILY = next(case for case in SETTLED if case.name == "01-couple-deux-enfants")
TOKEN = "jeton"
NOBODY = next(case for case in SETTLED if case.status == 404)


@pytest.fixture(scope="module")
def state() -> Iterator[str]:
    """The sandbox, asked directly."""
    with Sandbox(CASES) as sandbox:
        yield sandbox.url


@pytest.fixture
async def bus() -> AsyncIterator[MemoryBus]:
    async with MemoryBus(CasesApi(CASES)) as bus:
        yield bus


@pytest.fixture
async def facade(bus: MemoryBus) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(Facade(bus.sdk, TOKEN, Nobody()).app())
    async with httpx.AsyncClient(transport=transport, base_url="http://facade") as client:
        yield client


async def asked(facade: httpx.AsyncClient, case: Case, **headers: str) -> Told:
    return await get(facade, BASE, query(case), token=TOKEN, **headers)


def accord(told: Told) -> str:
    """Our own code in an error of the State's shape."""
    (error,) = told.body["errors"]  # type: ignore[index]  # the State's shape
    assert error.keys() == {"code", "title", "detail", "source", "meta"} and error["detail"]
    code: str = error["meta"]["accord"]["code"]
    return code


@pytest.mark.parametrize("case", SETTLED, ids=lambda case: case.name)
async def test_each_case_as_the_state_tells_it(
    state: str, bus: MemoryBus, facade: httpx.AsyncClient, case: Case
) -> None:
    """Found, absent or refused by the State: same status, same body, same media type as without the bus."""
    await bus.give(identity(case))
    async with httpx.AsyncClient() as client:
        direct = await get(client, state, query(case))
    assert await asked(facade, case) == direct


async def test_only_what_was_agreed(bus: MemoryBus, facade: httpx.AsyncClient) -> None:
    """`data` holds the scopes of the agreement, as with a token of the State's that has no others."""
    await bus.give(identity(FAMILY), scopes=("cnaf_quotient_familial",))
    told = await asked(facade, FAMILY)
    assert list(told.body["data"]) == ["quotient_familial"]  # type: ignore[index]  # the State's envelope


async def test_without_an_agreement_nothing_is_asked(bus: MemoryBus, facade: httpx.AsyncClient) -> None:
    """Nobody's agreement, or one that was withdrawn: a refusal in the State's form with our code, and no State call."""
    told = await asked(facade, FAMILY)
    assert (told.status, accord(told)) == (403, Code.AUTHORISATION_UNKNOWN)
    await bus.withdraw(await bus.give(identity(FAMILY)))
    told = await asked(facade, FAMILY)
    assert (told.status, accord(told)) == (403, Code.WITHDRAWN)
    assert bus.broker.records("answers.cnaf.v1") == []


async def test_an_agreement_by_its_id(bus: MemoryBus, facade: httpx.AsyncClient) -> None:
    """The header names which; it must be about the person designated."""
    agreement = await bus.give(identity(FAMILY))
    told = await asked(facade, FAMILY, **{"X-Accord-Consent": agreement.hex()})
    assert told.status == 200
    told = await asked(facade, NOBODY, **{"X-Accord-Consent": agreement.hex()})
    assert (told.status, accord(told)) == (403, Code.SUBJECT_MISMATCH)
    for unknown in ("00" * 16, "Jeanne"):
        told = await asked(facade, FAMILY, **{"X-Accord-Consent": unknown})
        assert (told.status, accord(told)) == (403, Code.AUTHORISATION_UNKNOWN)


async def test_an_agreement_renewed_or_given_later_is_found(bus: MemoryBus, facade: httpx.AsyncClient) -> None:
    """The wallet is looked at again: after a narrowing the narrower one counts."""
    assert (await asked(facade, FAMILY)).status == 403
    agreement = await bus.give(identity(FAMILY))
    assert len((await asked(facade, FAMILY)).body["data"]) > 1  # type: ignore[index]  # the State's envelope
    grant = await bus.ledger.narrow(agreement, ("cnaf_adresse",), bus.operator)
    bus.wallet.keep(agreement, grant.capsule)
    assert list((await asked(facade, FAMILY)).body["data"]) == ["adresse"]  # type: ignore[index]  # as above


async def test_of_several_agreements_one_that_serves(bus: MemoryBus, facade: httpx.AsyncClient) -> None:
    """The one that ends last was withdrawn: another to the same person's data serves in its place."""
    later = bus.clock.now_ms() + 10**9
    withdrawn, _ = [await bus.give(identity(FAMILY), not_after_ms=later - ended) for ended in (0, 1)]
    await bus.withdraw(withdrawn)
    assert (await asked(facade, FAMILY)).status == 200
    told = await asked(facade, FAMILY, **{"X-Accord-Consent": withdrawn.hex()})
    assert (told.status, accord(told)) == (403, Code.WITHDRAWN)


async def test_an_answer_that_waits_is_opened(bus: MemoryBus, facade: httpx.AsyncClient) -> None:
    """Under an operator that opens its answers itself the caller sees no difference."""
    await bus.hand_over("pull")
    await bus.give(identity(FAMILY))
    assert (await asked(facade, FAMILY)).status == 200


async def test_a_state_that_does_not_answer_in_time(bus: MemoryBus, facade: httpx.AsyncClient) -> None:
    """The request expires before its caller is told so: nothing is released for who has hung up."""
    await bus.give(identity(FAMILY))
    await bus.pause("connector.cnaf")
    told = await asked(facade, FAMILY)
    assert (told.status, accord(told)) == (504, Code.DEADLINE_PASSED)


async def test_a_failure_keeps_the_states_code(bus: MemoryBus, facade: httpx.AsyncClient) -> None:
    """A technical failure has the State's status and words."""
    broken = next(case for case in CASES if case.name == "19-reponse-inconnue-37999")
    await bus.give(identity(broken))
    told = await asked(facade, broken)
    assert told.status == 502 and accord(told) == Code.PROVIDER_UNAVAILABLE
    assert told.body["errors"][0]["code"] == "37999"  # type: ignore[index]  # the State's shape


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"recipient": ""}, 422, "00203"),
        ({"recipient": "12345678901234"}, 422, "00210"),
        ({"recipient": "21690123100011"}, 403, "00100"),
        ({"nomNaissance": ""}, 422, "00361"),
        ({"sexeEtatCivil": "X"}, 422, "00427"),
        ({"annee": "66"}, 422, "00353"),
        ({"mois": "13"}, 422, "00354"),
    ],
)
async def test_faults_of_the_query(
    bus: MemoryBus, facade: httpx.AsyncClient, change: dict[str, str], status: int, code: str
) -> None:
    """What the State says of a query without looking anybody up, its codes kept; nothing passes the bus."""
    await bus.give(identity(FAMILY))
    pairs = [(name, text) for name, text in query(FAMILY) if name not in change] + list(change.items())
    told = await get(facade, BASE, pairs, token=TOKEN)
    assert (told.status, told.body["errors"][0]["code"]) == (status, code)  # type: ignore[index]  # the State's shape
    assert bus.broker.records(f"requests.{bus.operator}.v1") == []


async def test_who_may_call(bus: MemoryBus, facade: httpx.AsyncClient) -> None:
    """The façade's own token, a path of the State's, and GET: nothing else."""
    told = await get(facade, BASE, query(FAMILY), token="autre")
    assert (told.status, told.body["errors"][0]["code"]) == (401, "00101")  # type: ignore[index]  # the State's shape
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert (await facade.get(f"{BASE}/v3/inconnu", headers=bearer)).status_code == 404
    assert (await facade.post(BASE + PATH, headers=bearer)).status_code == 405


def test_a_preview_in_the_states_words() -> None:
    """A person who has not said yet is no answer in time (try again); one who said no is a refusal. Data sets that ask are not offered."""
    pending, rejected = refused(Code.PREVIEW_PENDING), refused(Code.PREVIEW_REJECTED)
    told = [
        (said.status, said.body["errors"][0]["code"], said.body["errors"][0]["meta"]["accord"]["code"])
        for said in (pending, rejected)
    ]
    assert told == [(504, "00501", "preview_pending"), (403, "00100", "preview_rejected")]
    described = list(descriptions().values())
    (shown,) = [one for one in described if preview_of(one.schema)]
    offered = [one.description for one in Offers(described)]
    assert offered and shown not in offered

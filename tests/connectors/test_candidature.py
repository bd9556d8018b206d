"""`marche-public.candidature.v1`: five of the State's answers about a company, gathered from its SIRET; their sum and each alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise, zip_longest
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Failure, Found, NotFound, Reading, Retry, StateRefusal
from connectors.core.call import call
from connectors.core.cases import Case, best, normalise
from connectors.core.composition import gathered
from connectors.core.description import BadDescription, Description
from connectors.rest.descriptions import compositions, load_composition
from connectors.sandbox import FAMILIES, load_cases
from connectors.sdk.kit.examine import examine
from connectors.sdk.kit.promises import PROMISES
from connectors.sdk.lanes import Lanes, Limits
from connectors.sdk.providers import LIMITS
from consent.core import note
from exchange.core.errors import Code
from exchange.core.identity import Identity
from exchange.core.referentials import purposes_of
from exchange.data_sets import DATA_SETS
from exchange.outcomes import Answer, ExchangeError
from exchange.testing import CasesApi, MemoryBus, VirtualClock
from tests.connectors.state_cases import ASKED, RECIPIENT, STATE, apart, asked_by, state_cases
from tests.connectors.test_data_sets import expected, filled
from tests.connectors.test_end_to_end import FAILED, LEGAL

NAME = "marche-public.candidature.v1"
CANDIDATURE = compositions()[NAME]
PARTS = {root: part.data_set for root, part in CANDIDATURE.parts.items()}
OWN = [case for case in load_cases(FAMILIES) if case.operation.startswith("api_entreprise_")]
PONANT, CLOSED, REDIRECTED, WITHHELD = (
    Identity(siret=siret) for siret in ("90000001900019", "90000003500015", "90000004300019", "90000005000014")
)
WAITING = Identity(siret="90000002700012")
"""Urssaf says of this one: come back in two days."""
NOBODY = NotFound("35003", "Allocataire non référencé")


class Recorded(CasesApi):
    """Our cases, but for what is scripted first for a data set; keeps when each was asked for."""

    def __init__(self, clock: VirtualClock, **first: Sequence[Reading]) -> None:
        super().__init__(OWN)
        self.clock, self.asked = clock, list[tuple[int, str]]()
        self.first = {PARTS[root]: list(readings) for root, readings in first.items()}

    async def fetch(self, data_set: str, identity: Any, recipient: str, parameters: Mapping[str, str]) -> Reading:
        self.asked.append((self.clock.now_ms(), data_set))
        self.clock.activity += 1
        if waiting := self.first.get(data_set):
            return waiting.pop(0)
        return await super().fetch(data_set, identity, recipient, parameters)

    @property
    def counts(self) -> Counter[str]:
        return Counter(data_set for _, data_set in self.asked)


async def candidature(bus: MemoryBus, company: Identity, ttl_s: int = 60, scopes: list[str] | None = None) -> Answer:
    """What the collectivity opens. Raises ExchangeError."""
    granted = await bus.give(company, data_set=NAME, **LEGAL)
    request = await bus.sdk.request(
        NAME, consent=granted, purpose=purposes_of(NAME)[0], parameters=ASKED, ttl_s=ttl_s, scopes=scopes
    )
    return await request.answer(ttl_s + 600)


def bus_of(api: CasesApi, clock: VirtualClock, **more: Any) -> MemoryBus:
    return MemoryBus(api, provider="marche-public", clock=clock, **more)


async def log_size(bus: MemoryBus) -> int:
    return note.parse_checkpoint(note.verify(await bus.ledger.checkpoint(), bus.trust.log)).size


def said(answer: Answer) -> dict[str, tuple[str, str]]:
    return {root: (part["status"], part["code"]) for root, part in (answer.data or {}).items()}


def readings(cases: Sequence[Case], company: Identity) -> dict[str, Reading]:
    """What each part should be, by the cases alone."""
    found: dict[str, Reading] = {}
    for root, part in CANDIDATURE.parts.items():
        asked = call(part, company, RECIPIENT, ASKED)
        case = best(cases, asked.operation.id, normalise(asked.designation))
        found[root] = expected(part, case) if case else NOBODY
    return found


def as_read(description: Description, reading: Reading) -> dict[str, Any]:
    """A part as the collectivity reads it."""
    if isinstance(reading, Found):
        return {"status": "found", "code": "", "title": "", "data": filled(description.schema, reading.data)}
    assert isinstance(reading, NotFound | StateRefusal)
    status = "not_found" if isinstance(reading, NotFound) else "refused"
    return {"status": status, "code": reading.code, "title": reading.title, "data": None}


class TestDescription:
    """The YAML that names the parts, and the schema that repeats them."""

    @pytest.mark.parametrize("root", list(PARTS))
    def test_a_part_is_its_data_set(self, root: str) -> None:
        """Each part's data has the fields of the data set it is, in order, with their types and defaults, under the same scope."""
        field = next(field for field in CANDIDATURE.schema["fields"] if field["name"] == root)
        record = field["type"][1]
        assert [part["name"] for part in record["fields"]] == ["status", "code", "title", "data"]
        own = CANDIDATURE.parts[root].schema["fields"]
        assert [(f["name"], f["type"], f["default"]) for f in record["fields"][3]["type"][1]["fields"]] == [
            (f["name"], f["type"], f["default"]) for f in own
        ]
        assert {f["scope"] for f in own} == {field["scope"]}
        assert field["doc"].endswith(f"({PARTS[root]}). Scope {field['scope']}.")

    @pytest.mark.parametrize(
        "change",
        [
            {"parts": {}}, {"parts": []}, {"parts": PARTS | {"autre": "insee.unite-legale.v1"}}, {"family": "apistration"},
            {"parts": PARTS | {"unite_legale": "insee.inconnu.v1"}}, {"parts": PARTS | {"unite_legale": ["x"]}}, {"data_set": "x.inconnu.v1"},
            {"parts": PARTS | {"unite_legale": "cnaf.quotient-familial.v1"}}, {"parts": PARTS | {"unite_legale": "dgfip.chiffres-affaires.v1"}},
        ],
    )  # fmt: skip
    def test_a_bad_composition_is_refused(self, change: dict[str, Any]) -> None:
        """A part too many, too few, unknown, or under another scope: the composition does not load."""
        good = {"data_set": NAME, "provider": "marche-public", "parts": PARTS}
        assert load_composition(yaml.safe_dump(good)) == CANDIDATURE
        with pytest.raises(BadDescription):
            load_composition(yaml.safe_dump(good | change))


READINGS = st.sampled_from([
    Found({"siren": "900000019"}), NotFound("03003", "absent"), StateRefusal("01005", "hors champ"), Retry("04501", 60.0),
    Retry("00429", 7.0), Failure("", "schema"), Failure("", "wrong_person"),
])  # fmt: skip


@given(st.dictionaries(st.sampled_from(list(PARTS)), READINGS, min_size=1))
def test_a_composition_is_whole_or_none(parts: dict[str, Reading]) -> None:
    """Found only if all parts answered, each told with its code; else the failure, or the longest wait: never a part left out."""
    whole, kinds = gathered(parts), {type(part) for part in parts.values()}
    if Failure in kinds:
        wrong = Failure("", "wrong_person")
        assert whole == (wrong if wrong in parts.values() else Failure("", "schema"))
    elif Retry in kinds:
        assert whole == max((p for p in parts.values() if isinstance(p, Retry)), key=lambda retry: retry.after_s)
    else:
        assert isinstance(whole, Found) and whole.data.keys() == parts.keys()
        for root, part in parts.items():
            told = whole.data[root]
            assert told["data"] == (part.data if isinstance(part, Found) else None)
            assert (told["code"], told["title"]) == (("", "") if isinstance(part, Found) else (part.code, part.title))  # type: ignore[union-attr]  # an answer


async def test_one_siret_gathers_the_five() -> None:
    """One request under one authorisation on a legal basis, one attempt, five calls at one instant, one answer: each part what it
    is alone."""
    clock = VirtualClock()
    api = Recorded(clock)
    async with bus_of(api, clock) as bus:
        granted = await bus.give(PONANT, data_set=NAME, **LEGAL)
        size = await log_size(bus)
        request = await bus.sdk.request(NAME, consent=granted, purpose="marche-public", parameters=ASKED, ttl_s=60)
        answer = await request.answer(600)
        assert await log_size(bus) - size == 2  # attempt, released
    assert answer.status == "found" and api.counts == Counter(PARTS.values())
    assert len({at_ms for at_ms, _ in api.asked}) == 1
    assert answer.data == _whole(readings(OWN, PONANT))
    assert set(said(answer).values()) == {("found", "")}


@pytest.mark.parametrize(
    ("company", "parts"),
    [
        (CLOSED, ["found", "found", "not_found 03003", "found", "not_found 03003"]),
        (REDIRECTED, ["found", "found", "not_found 35003", "not_found 35003", "not_found 35003"]),
        (WITHHELD, ["refused 01005", "refused 01005", "not_found 35003", "not_found 04003", "not_found 35003"]),
    ],
)
async def test_a_partial_answer_says_which_part(company: Identity, parts: list[str]) -> None:
    """Found, not found and the State's refusals stand side by side, each with the State's code."""
    clock = VirtualClock()
    async with bus_of(Recorded(clock), clock) as bus:
        answer = await candidature(bus, company)
    assert [" ".join(filter(None, part)) for part in said(answer).values()] == parts


async def test_only_what_is_missing_is_asked_again() -> None:
    """A part that asks to come back holds the whole; those that have answered are not asked twice; two rounds, two attempts."""
    clock = VirtualClock()
    api = Recorded(clock, attestation_vigilance=[Retry("00015", 1.0)])
    async with bus_of(api, clock) as bus:
        size = await log_size(bus)
        answer = await candidature(bus, PONANT)
        assert await log_size(bus) - size == 4  # given, two attempts, released
    assert set(said(answer).values()) == {("found", "")}
    assert api.counts == Counter(PARTS.values()) + Counter([PARTS["attestation_vigilance"]])


async def test_a_part_that_never_answers_fails_the_whole() -> None:
    """Three rounds, then `failed` with that part's code: no part is left out in silence."""
    clock, never = VirtualClock(), [Retry("37002", 0.0)] * 9
    api = Recorded(clock, chiffres_affaires=never)
    async with bus_of(api, clock) as bus:
        with pytest.raises(ExchangeError) as error:
            await candidature(bus, PONANT)
    assert (error.value.code, error.value.provider_code) == (Code.PROVIDER_UNAVAILABLE, "37002")
    assert api.counts.pop(PARTS["chiffres_affaires"]) == 3


async def test_a_long_wait_is_waited_for() -> None:
    """Urssaf examines the file: the whole request waits on the retry topic, within its time, and every part is asked anew; past
    that it fails."""
    clock = VirtualClock()
    api = Recorded(clock, attestation_vigilance=[Retry("04501", 120.0)])
    async with bus_of(api, clock) as bus:
        answer = await candidature(bus, PONANT, ttl_s=600)
    assert set(said(answer).values()) == {("found", "")}
    assert api.counts == Counter(dict.fromkeys(PARTS.values(), 2))
    async with bus_of(Recorded(clock := VirtualClock()), clock) as bus:
        with pytest.raises(ExchangeError) as error:
            await candidature(bus, WAITING)
    assert (error.value.code, error.value.provider_code) == (Code.PROVIDER_UNAVAILABLE, "04501")


async def test_another_company_in_one_part_fails_the_whole() -> None:
    """A part whose answer is about another company is not passed on, nor are the others without it."""
    clock = VirtualClock()
    async with bus_of(Recorded(clock, unite_legale=[Failure("", "wrong_person")]), clock) as bus:
        with pytest.raises(ExchangeError) as error:
            await candidature(bus, PONANT)
    assert error.value.code == Code.WRONG_PERSON


@pytest.mark.parametrize("scope", sorted(DATA_SETS[NAME].scopes))
async def test_only_the_parts_of_the_scopes_are_asked(scope: str) -> None:
    """Under one scope the State is asked for its parts alone, and they alone are in the answer."""
    clock = VirtualClock()
    api, opened = Recorded(clock), CANDIDATURE.opened([scope])
    async with bus_of(api, clock) as bus:
        answer = await candidature(bus, PONANT, scopes=[scope])
    assert tuple(answer.data or {}) == opened
    assert api.counts == Counter(PARTS[root] for root in opened)


async def test_each_part_keeps_its_own_rate() -> None:
    """Candidatures asked together go as fast as the slowest of their parts allows (five tax certificates a minute), never faster."""
    clock = VirtualClock()
    api, limits = Recorded(clock), {part: LIMITS[part] for part in PARTS.values()}
    async with bus_of(api, clock, limits=limits) as bus:
        requests = []
        for _ in range(4):
            granted = await bus.give(PONANT, data_set=NAME, **LEGAL)
            more: dict[str, Any] = {"purpose": "marche-public", "parameters": ASKED, "ttl_s": 300}
            requests.append(await bus.sdk.request(NAME, consent=granted, **more))
        for request in requests:
            assert (await request.answer(900)).status == "found"
    for part in PARTS.values():
        times = [at_ms for at_ms, data_set in api.asked if data_set == part]
        assert len(times) == 4 and all(later - sooner >= 12_000 for sooner, later in pairwise(times))


def test_what_the_state_counts_together_waits_together() -> None:
    """250 calls a minute of the JSON group in all, not for each data set; a candidature makes three of them at once."""
    scopes = ("unites_legales_etablissements_insee", "chiffre_affaires_dgfip")
    for names, calls in ((("insee.unite-legale.v1", "insee.etablissement.v1"), 1), ((NAME,), 3)):
        clock, turns = VirtualClock(), list[int]()
        lanes = Lanes(names[0].partition(".")[0], Recorded(clock), clock, LIMITS | {NAME: Limits()})
        for number in range(300):
            way = lanes.of(names[number % len(names)])
            assert way is not None
            turns.append(way.asked(PONANT, RECIPIENT, ASKED, scopes).turn_ms(clock.now_ms(), 1 << 60))
        busiest = max(sum(at <= other < at + 60_000 for other in turns) for at in turns)
        assert 240 <= busiest * calls <= 250


def test_limits_of_the_whole_hold_for_each_part() -> None:
    """What a connector declares for the composed data set holds for its parts, where nothing is said of them."""
    clock, chosen = VirtualClock(), {NAME: Limits(rate="5/min"), PARTS["unite_legale"]: Limits(rate="1/s")}
    way = Lanes("marche-public", Recorded(clock), clock, chosen).of(NAME)
    assert way is not None
    rates = {root: lane.limits.rate for root, lane in way.lanes.items()}
    assert rates == dict.fromkeys(PARTS, "5/min") | {"unite_legale": "1/s"}


@pytest.mark.skipif(not STATE.is_dir(), reason="the State's sandbox cases are not here (../shared)")
async def test_the_states_cases(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the State's own cases of the five operations, asked for as a candidature, is the part it means; the others are told too."""
    groups: dict[str, list[Sequence[Case]]] = {
        root: apart([case for operation in part.operations for case in state_cases(operation.id)])
        for root, part in CANDIDATURE.parts.items()
    }
    done = 0
    for together in zip_longest(*groups.values(), fillvalue=()):
        cases, clock = [case for group in together for case in group], VirtualClock()
        async with bus_of(CasesApi(cases), clock) as bus:
            for case, part in _each(cases):
                company, _ = asked_by(case, part)
                meant = readings(cases, company)
                try:
                    answer = await candidature(bus, company)
                except ExchangeError as error:
                    told: object = error.code in FAILED
                else:
                    told = answer.data
                whole = isinstance(gathered(meant), Found)
                assert told == (_whole(meant) if whole else True), case.name
                assert expected(part, case) in meant.values()
                done += 1
    count = sum(len(group) for every in groups.values() for group in every)
    with capsys.disabled():
        print(f"\n{NAME}: {done}/{count} cas de l'État par le bus / State cases through the bus", end="")
    assert done == count > 0


def _whole(meant: Mapping[str, Reading]) -> dict[str, Any]:
    return {root: as_read(part, meant[root]) for root, part in CANDIDATURE.parts.items()}


def _each(cases: Sequence[Case]) -> list[tuple[Case, Description]]:
    """Each case with the part it is of."""
    parts = {operation.id: part for part in CANDIDATURE.parts.values() for operation in part.operations}
    return [(case, parts[case.operation]) for case in cases]


async def test_the_promises_are_kept() -> None:
    """`accord connector test marche-public`: every promise kept, none skipped."""
    results = await examine("marche-public", OWN)
    assert [(r.promise.name, r.verdict, r.seen) for r in results if r.verdict != "passed"] == []
    assert [r.promise.name for r in results] == list(PROMISES)

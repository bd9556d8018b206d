"""What the bus promises, told once and held by both: the bus in memory and the bus of processes on a real broker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio

from connectors.sandbox import FAMILIES, load_cases
from consent.core.facts import Evidence, Outcome, Representation, Terms, Waiting
from consent.issuers import DECLARED
from exchange import outcomes, rules, wire
from exchange.cli.story import read_case
from exchange.core import topics
from exchange.core.errors import Code
from exchange.core.identity import Identity, canonical
from exchange.core.referentials import purposes_of
from exchange.introduction import LEGAL_REFERENCE, ONLINE
from exchange.introduction import terms as terms_of
from exchange.outcomes import Answer, ExchangeError
from exchange.ports import Message, Refused
from exchange.sdk import Request
from exchange.wallet import Capsule
from tests.contracts.stands import Stand, http_stand, kafka_stand, memory_stand
from tests.vouching import Login, issuers
from tests.world import JEANNE

DATA_SET, PURPOSE = "cnaf.quotient-familial.v1", "tarification-cantine"
CASES = {case.name: case for case in load_cases(FAMILIES)}
FAMILY = read_case(CASES["01-couple-deux-enfants"])[0]
SHOWN, SHOWN_SCOPES = "cnous.etudiant-boursier.v2", ("cnous_statut_boursier",)
STUDENT = read_case(CASES["boursiere-echelon-4"])[0]

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["memory", "http", "kafka"])
async def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    """The same scenarios on all."""
    folder = tmp_path_factory.mktemp("bus")
    opened = {"memory": memory_stand, "http": lambda: http_stand(folder), "kafka": lambda: kafka_stand(folder)}
    async with opened[request.param]() as bus:
        yield bus


async def ask(stand: Stand, agreement: bytes, **more: object) -> Request:
    return await stand.sdk.request(DATA_SET, consent=agreement, purpose=PURPOSE, **more)  # type: ignore[arg-type]


async def give_shown(stand: Stand) -> bytes:
    return await stand.give(STUDENT, data_set=SHOWN, scopes=SHOWN_SCOPES)


async def ask_shown(stand: Stand, agreement: bytes, **more: object) -> Request:
    purpose = purposes_of(SHOWN)[0]
    return await stand.sdk.request(SHOWN, consent=agreement, purpose=purpose, scopes=SHOWN_SCOPES, **more)  # type: ignore[arg-type]


async def refused(request: Request) -> ExchangeError:
    with pytest.raises(ExchangeError) as caught:
        await request.answer(60)
    return caught.value


LAW: dict[str, object] = {
    "basis": "legal", "legal_reference": LEGAL_REFERENCE, "notice_hash": b"n" * 32, "notice_version": "2026-1",
}  # fmt: skip


def agreed(stand: Stand, **changes: object) -> Terms:
    return terms_of(stand.sdk.wallet.recipient, stand.sdk.clock.now_ms(), **changes)


async def unrecorded(
    stand: Stand, terms: Terms, evidence: Evidence = ONLINE, authorisation: bytes = b"", who: Identity = FAMILY
) -> Code:
    """Why the ledger does not record this."""
    with pytest.raises(ExchangeError) as caught:
        await stand.sdk.record(terms, who, evidence, authorisation)
    return caught.value.code


async def until(stand: Stand, topic: str, request: Request, count: int = 1) -> None:
    """Until so many messages about this request lie on the topic."""
    for _ in range(300):
        seen = [
            r for r in await stand.records(topic) if dict(r.headers).get("ce_id") == request.key.request.hex().encode()
        ]
        if len(seen) >= count:
            return
        await stand.moment()
    raise AssertionError(f"{topic} has no such message")


async def uses(stand: Stand, agreement: bytes) -> int:
    (held,) = await stand.ledger.lookup([agreement])
    assert held is not None
    return held.uses


async def outcomes_of(stand: Stand, request: Request) -> list[Outcome | Waiting]:
    told = [wire.read_told(record) for record in await stand.records(topics.outcomes(request.key.operator))]
    return [one for one in told if one.key == request.key]


class TestAnswers:
    """An agreement opens an answer, and only what was agreed."""

    async def test_answered(self, stand: Stand) -> None:
        """Under an agreement the collectivity reads what the State said, and its receipt verifies."""
        answer = await (await ask(stand, await stand.give(FAMILY))).answer()
        assert answer.status == "found"
        assert answer.data is not None
        assert answer.data["quotient_familial"]["valeur"] == 742

    async def test_many(self, stand: Stand) -> None:
        """The answers of many requests come as they are told, each once, and beside them the error of whoever has none."""
        found, withdrawn = await stand.give(FAMILY, max_uses=100), await stand.give(FAMILY)
        unknown = await stand.give(read_case(CASES["13-non-reference-35003"])[0])
        await stand.withdraw(withdrawn)
        requests = [await ask(stand, agreement) for agreement in (withdrawn, unknown, *[found] * 78)]
        ended = [one async for one in stand.sdk.answers(requests)]
        assert {one.request.key for one in ended} == {request.key for request in requests} and len(ended) == 80
        by = {one.request.key: one.answer for one in ended}
        errors = [one for one in by.values() if isinstance(one, Exception)]
        assert [(type(one), one.code) for one in errors if isinstance(one, ExchangeError)] == [
            (outcomes.ConsentWithdrawn, Code.WITHDRAWN)
        ]
        assert len(errors) == 1 and by[requests[0].key] in errors
        statuses = [one.status for request in requests[1:] if isinstance(one := by[request.key], Answer)]
        assert statuses == ["not_found", *["found"] * 78]
        assert [one async for one in stand.sdk.answers([])] == []
        last = [one async for one in stand.sdk.answers([ended[-1].request], ended[-2].cursor)]
        assert [one.request.key for one in last] == [ended[-1].request.key]

    async def test_minimised(self, stand: Stand) -> None:
        """Only the scopes asked leave the connector, though the agreement has more."""
        answer = await (await ask(stand, await stand.give(FAMILY), scopes=["cnaf_quotient_familial"])).answer()
        assert answer.data is not None
        assert list(answer.data) == ["quotient_familial"]

    async def test_a_rule_is_answered(self, stand: Stand) -> None:
        """Under an agreement to a rule the collectivity reads its answer, never the datum; the receipt binds the rule."""
        rule = await stand.ledger.sign_rule(rules.shipped()["tranche-quotient-familial"])
        scopes = ("cnaf_quotient_familial",)
        agreement = await stand.give(FAMILY, rule=rule, scopes=scopes)
        answer = await (await ask(stand, agreement, rule=rule)).answer()
        assert answer.rule is not None and (answer.rule.result, answer.data) == ("C", None)
        assert answer.outcome.rule_hash == rules.unverified(rule).hash
        assert (await refused(await ask(stand, agreement, scopes=scopes))).code == Code.RULE_MISMATCH

    async def test_not_found_is_sealed(self, stand: Stand) -> None:
        """On the wire `not found` looks like any answer; the collectivity reads the State's own code."""
        request = await ask(stand, await stand.give(read_case(CASES["13-non-reference-35003"])[0]))
        outcome = await request.outcome()
        answer = stand.sdk.open(request, outcome)
        assert (outcome.code, outcome.reason, outcome.provider_code) == ("released", "", "")
        assert (answer.status, answer.code, answer.data) == ("not_found", "35003", None)

    async def test_state_refusal_is_sealed(self, stand: Stand) -> None:
        """The State's refusal about a person travels sealed too."""
        answer = await (await ask(stand, await stand.give(read_case(CASES["16-non-identifiable-00355"])[0]))).answer()
        assert (answer.status, answer.code) == ("refused", "00355")

    async def test_failure_keeps_the_state_code(self, stand: Stand) -> None:
        """A technical failure of the State ends in `failed`, with the State's code."""
        error = await refused(await ask(stand, await stand.give(read_case(CASES["19-reponse-inconnue-37999"])[0])))
        assert isinstance(error, outcomes.ProviderUnavailable)
        assert error.provider_code == "37999"


class TestRefusals:
    """Each no is one outcome with its reason."""

    async def test_without_agreement(self, stand: Stand) -> None:
        """Without an agreement the bus refuses, and says what to do."""
        nobody = Capsule(canonical(FAMILY), os.urandom(32), b"")
        error = await refused(await ask(stand, os.urandom(16), capsule=nobody))
        assert isinstance(error, outcomes.ConsentRequired)
        assert error.code == Code.AUTHORISATION_UNKNOWN

    async def test_wrong_person(self, stand: Stand) -> None:
        """The identity of one person under the agreement of another is refused, without any State call."""
        agreement = await stand.give(FAMILY)
        capsule = stand.sdk.wallet.capsule(agreement)
        assert capsule is not None
        other = Identity("OSTREVANT", prenoms=("GWENDAL",))
        request = await ask(stand, agreement, capsule=capsule._replace(identity=canonical(other)))
        error = await refused(request)
        assert isinstance(error, outcomes.InvalidSubject)
        entries = await stand.ledger.entries(agreement)
        assert [e.kind for e in entries] == ["given", "refused"]

    async def test_more_than_agreed(self, stand: Stand) -> None:
        """A scope outside the agreement is refused."""
        agreement = await stand.give(FAMILY, scopes=("cnaf_quotient_familial",))
        error = await refused(await ask(stand, agreement, scopes=["cnaf_adresse"]))
        assert error.code == Code.SCOPE_EXCEEDED

    async def test_another_purpose(self, stand: Stand) -> None:
        """An agreement for one purpose does not serve another."""
        agreement = await stand.give(FAMILY)
        request = await stand.sdk.request(DATA_SET, consent=agreement, purpose="tarification-periscolaire")
        assert (await refused(request)).code == Code.PURPOSE_MISMATCH

    async def test_used_up(self, stand: Stand) -> None:
        """An agreement for one use serves once."""
        agreement = await stand.give(FAMILY, max_uses=1)
        assert (await (await ask(stand, agreement)).answer()).status == "found"
        assert (await refused(await ask(stand, agreement))).code == Code.USED_UP


class TestRecords:
    """What an application has recorded: agreements it wanted, given to it, and what the law allows."""

    @pytest_asyncio.fixture(loop_scope="module")
    async def strict(self, stand: Stand) -> AsyncIterator[Stand]:
        """The ledger takes nobody's declaration."""
        await stand.believe(issuers(stand.sdk.wallet.recipient))
        yield stand
        await stand.believe(DECLARED)

    async def test_what_the_law_allows(self, strict: Stand) -> None:
        """With its text and its notice it is recorded without a login, and answered; objected to, it ends, and is not begun again."""
        terms = agreed(strict, **LAW)
        agreement = await strict.sdk.record(terms, FAMILY)
        assert (await strict.ledger.terms(agreement)) == terms
        assert (await (await ask(strict, agreement)).answer(60)).status == "found"
        await strict.withdraw(agreement, "opposed")
        assert (await refused(await ask(strict, agreement))).code == Code.OPPOSED
        assert await unrecorded(strict, agreed(strict, **LAW)) is Code.OPPOSED

    @pytest.mark.parametrize("missing", ["legal_reference", "notice_hash", "notice_version"])
    async def test_the_law_has_a_text_and_a_notice(self, strict: Stand, missing: str) -> None:
        """Without one of them nothing is recorded; another text than the habilitation's is none."""
        empty = type(LAW[missing])()
        assert await unrecorded(strict, agreed(strict, **LAW | {missing: empty})) is Code.NOTICE_MISSING
        other = agreed(strict, **LAW | {"legal_reference": "CGCT L1"})
        assert await unrecorded(strict, other) is Code.HABILITATION_ABSENT

    async def test_a_login_is_brought(self, strict: Stand) -> None:
        """The tokens of a login for these terms are the evidence; without them, or for other terms, nothing is recorded."""
        terms, agreement = agreed(strict), os.urandom(16)
        login = Login(strict.sdk.clock.now_ms(), terms, agreement, who=FAMILY)
        assert await unrecorded(strict, terms) is Code.EVIDENCE_MISSING
        assert await unrecorded(strict, terms, login.evidence()) is Code.EVIDENCE_INVALID
        narrower = agreed(strict, max_uses=1)
        assert await unrecorded(strict, narrower, login.evidence(), agreement) is Code.EVIDENCE_INVALID
        assert await strict.sdk.record(terms, FAMILY, login.evidence(), agreement) == agreement
        assert (await (await ask(strict, agreement)).answer(60)).status == "found"
        assert await unrecorded(strict, agreed(strict), login.evidence()) is Code.EVIDENCE_INVALID

    async def test_wanted_then_given(self, strict: Stand) -> None:
        """What was wanted has no key until it is given, in part if the person says so; more than that is refused."""
        terms = agreed(strict)
        agreement = await strict.sdk.want(terms)
        assert await strict.sdk.want(terms, agreement) == agreement
        assert not await strict.ledger.has_key(agreement)
        part = agreed(
            strict,
            not_before_ms=terms.not_before_ms,
            not_after_ms=terms.not_after_ms,
            scopes=("cnaf_quotient_familial",),
        )
        login = Login(strict.sdk.clock.now_ms(), part, agreement, who=FAMILY)
        assert await unrecorded(strict, agreed(strict, max_uses=101), login.evidence(), agreement) is Code.CONFLICT
        await strict.sdk.record(part, FAMILY, login.evidence(), agreement)
        assert (await strict.ledger.terms(agreement)).scopes == ("cnaf_quotient_familial",)
        answer = await (await ask(strict, agreement, scopes=["cnaf_quotient_familial"])).answer(60)
        assert answer.data is not None and list(answer.data) == ["quotient_familial"]

    async def test_a_parent_spoke_for_a_child(self, strict: Stand) -> None:
        """Who spoke goes sealed too, and is kept as a reference; for an adult nobody's parent speaks."""
        parent = Representation("parent", canonical(FAMILY), b"t" * 32)
        child = Identity("TREVARIN", prenoms=("Léo",), date_naissance="2018-05-01", sexe_etat_civil="M")
        terms, agreement = agreed(strict), os.urandom(16)
        login = Login(strict.sdk.clock.now_ms(), terms, agreement, who=FAMILY)
        said = login.evidence(representation=parent)
        await strict.sdk.record(terms, child, said, agreement)
        assert [one.by_another for one in await strict.ledger.agreements(canonical(FAMILY)) if one.id == agreement] == [
            "parent"
        ]
        assert await unrecorded(strict, terms, said, who=JEANNE) is Code.REPRESENTATION_INVALID

    async def test_refused(self, strict: Stand) -> None:
        """A no is recorded without a name: what was wanted is never given afterwards, what was given is closed."""
        terms, agreement = agreed(strict), await strict.sdk.want(agreed(strict))
        await strict.sdk.refuse(await strict.ledger.terms(agreement), agreement)
        assert (
            await refused(await ask(strict, agreement, capsule=Capsule(canonical(FAMILY), os.urandom(32), b"")))
        ).code == Code.CONSENT_REFUSED
        login = Login(strict.sdk.clock.now_ms(), terms, agreement, who=FAMILY)
        assert await unrecorded(strict, terms, login.evidence(), agreement) is Code.CONFLICT
        live = await strict.sdk.record(agreed(strict, **LAW), JEANNE)
        await strict.sdk.refuse(await strict.ledger.terms(live), live)
        assert not await strict.ledger.has_key(live)
        assert await unrecorded(strict, agreed(strict, **LAW), who=JEANNE) is Code.OPPOSED

    async def test_closed_by_the_application(self, stand: Stand) -> None:
        """What the person told the collectivity closes the agreement, acknowledged by the ledger's own signed word, the same however often."""
        agreement = await stand.give(FAMILY)
        request = await ask(stand, agreement)
        assert (await request.answer(60)).status == "found"
        ack = await stand.sdk.withdraw(agreement)
        assert ack == await stand.withdraw(agreement) == await stand.sdk.withdraw(agreement)
        assert (ack.state, await stand.ledger.has_key(agreement)) == ("withdrawn", False)
        ended = await stand.give(FAMILY)
        assert (await stand.sdk.withdraw(ended, "ended")).state == "ended"
        with pytest.raises(outcomes.ConsentRequired):
            await stand.sdk.withdraw(os.urandom(16))

    async def test_recorded_again(self, stand: Stand) -> None:
        """The same act under the same id is the same agreement; about another person, or after a withdrawal, a conflict."""
        terms, agreement = agreed(stand), os.urandom(16)
        for _ in range(2):
            await stand.sdk.record(terms, FAMILY, authorisation=agreement)
        assert [e.kind for e in await stand.ledger.entries(agreement)] == ["given"]
        assert await unrecorded(stand, terms, authorisation=agreement, who=JEANNE) is Code.CONFLICT
        await stand.withdraw(agreement)
        assert await unrecorded(stand, terms, authorisation=agreement) is Code.CONFLICT


class TestWithdrawal:
    """A consent is a key."""

    async def test_in_flight(self, stand: Stand) -> None:
        """An answer sealed and queued when the citizen withdraws is never opened: it is refused, and no key is left."""
        agreement = await stand.give(FAMILY)
        await stand.pause("release")
        request = await ask(stand, agreement)
        await until(stand, topics.answers("cnaf"), request)
        ack = await stand.withdraw(agreement)
        await stand.resume("release")
        assert ack.named == ()
        assert isinstance(await refused(request), outcomes.ConsentWithdrawn)
        assert not await stand.ledger.has_key(agreement)

    async def test_narrowed_in_flight(self, stand: Stand) -> None:
        """Taking back one scope closes the answers in flight that hold it: asked anew they exceed it, and the narrower agreement goes on."""
        agreement = await stand.give(FAMILY)
        await stand.pause("release")
        request = await ask(stand, agreement)
        await until(stand, topics.answers("cnaf"), request)
        grant = await stand.ledger.narrow(agreement, ("cnaf_quotient_familial",), stand.sdk.wallet.operator)
        stand.sdk.wallet.keep(agreement, grant.capsule)
        await stand.resume("release")
        assert (await request.outcome()).reason == Code.CERTIFICATE_OUTDATED
        assert request.again is not None
        assert (await refused(await request.again())).code == Code.SCOPE_EXCEEDED
        again = await (await ask(stand, agreement, scopes=["cnaf_quotient_familial"])).answer(60)
        assert again.status == "found"

    async def test_acknowledged_once(self, stand: Stand) -> None:
        """Withdrawing twice gets the same acknowledgement; erasing after it gets its own."""
        agreement = await stand.give(FAMILY)
        first = await stand.withdraw(agreement)
        assert await stand.withdraw(agreement) == first
        assert (await stand.withdraw(agreement, "erased")).state == "erased"
        assert (await refused(await ask(stand, agreement))).code in (Code.ERASED, Code.WITHDRAWN)


class TestPull:
    """Where the operator opens its answers itself, opening one is its release."""

    @pytest_asyncio.fixture(loop_scope="module", autouse=True)
    async def pulling(self, stand: Stand) -> AsyncIterator[None]:
        await stand.hand_over("pull")
        yield
        await stand.hand_over("push")

    async def test_opened(self, stand: Stand) -> None:
        """An answer that waits is no use; opened it is one, and the outcome all others are told carries no key."""
        agreement = await stand.give(FAMILY)
        request = await ask(stand, agreement)
        assert await request.waiting(60)
        assert await uses(stand, agreement) == 0
        answer = await request.answer(60)
        assert answer.data is not None and answer.data["quotient_familial"]["valeur"] == 742
        assert await uses(stand, agreement) == 1
        await until(stand, topics.outcomes(stand.sdk.wallet.operator), request, count=2)
        (told,) = [o for o in await outcomes_of(stand, request) if isinstance(o, Outcome)]
        assert (told.code, told.delivery, told.inner) == ("released", "none", b"")
        assert (await stand.withdraw(agreement)).named == ()

    async def test_many_opened(self, stand: Stand) -> None:
        """Asked for together, each answer that waits is opened when it is told: a use each, and none is named by a withdrawal after."""
        agreement = await stand.give(FAMILY)
        requests = [await ask(stand, agreement) for _ in range(3)]
        ended = [one async for one in stand.sdk.answers(requests)]
        assert [one.answer.status for one in ended if isinstance(one.answer, Answer)] == ["found"] * 3
        assert await uses(stand, agreement) == 3
        assert (await stand.withdraw(agreement)).named == ()

    async def test_unread_dies(self, stand: Stand) -> None:
        """An answer nobody opened dies with the agreement: the acknowledgement names nothing, and opening it is refused."""
        agreement = await stand.give(FAMILY)
        request = await ask(stand, agreement)
        assert await request.waiting(60)
        assert (await stand.withdraw(agreement)).named == ()
        assert not await stand.ledger.has_key(agreement)
        assert isinstance(await refused(request), outcomes.ConsentWithdrawn)
        assert [e.kind for e in await stand.ledger.entries(agreement)].count("released") == 0

    async def test_told_without_being_asked(self, stand: Stand) -> None:
        """Nobody asking, the bus tells the end of what was withdrawn unread, and that once."""
        agreement = await stand.give(FAMILY)
        request = await ask(stand, agreement)
        assert await request.waiting(60)
        await stand.withdraw(agreement)
        await until(stand, topics.outcomes(stand.sdk.wallet.operator), request, count=2)
        waiting, told = await outcomes_of(stand, request)
        assert isinstance(waiting, Waiting) and isinstance(told, Outcome)
        assert (told.code, told.reason) == ("refused", Code.WITHDRAWN)

    async def test_lost_on_the_way(self, stand: Stand) -> None:
        """Opened and lost it is opened again, one use in all; after a withdrawal, which names it, it is cut."""
        agreement = await stand.give(FAMILY)
        request = await ask(stand, agreement)
        first = await request.outcome(60)
        again = await stand.sdk.outcome(Waiting(request.key, request.digest, 0))
        assert (first.delivery, again.inner, again.leaf_index) == ("key", first.inner, first.leaf_index)
        assert await uses(stand, agreement) == 1
        assert (await stand.withdraw(agreement)).named == (request.key.request,)
        cut = await stand.sdk.outcome(Waiting(request.key, request.digest, 0))
        assert (cut.code, cut.delivery, cut.inner) == ("released", "cut", b"")

    async def test_never_opened(self, stand: Stand) -> None:
        """Nobody opens it: its time over, it is expired, and no longer opens."""
        request = await ask(stand, await stand.give(FAMILY), ttl_s=5)
        assert await request.waiting(60)
        await until(stand, topics.outcomes(stand.sdk.wallet.operator), request, count=2)
        assert isinstance(await refused(request), outcomes.Expired)

    async def test_withdrawn_while_opening(self, stand: Stand) -> None:
        """Withdrawals race openings: each answer is opened before and named, or never."""
        agreements = [await stand.give(FAMILY) for _ in range(8)]
        requests = [await ask(stand, agreement) for agreement in agreements]
        for request in requests:
            assert await request.waiting(60)
        opened, acks = await asyncio.gather(
            asyncio.gather(*(request.outcome(60) for request in requests)),
            asyncio.gather(*(stand.withdraw(agreement) for agreement in agreements)),
        )
        for request, agreement, outcome, ack in zip(requests, agreements, opened, acks, strict=True):
            kinds = [e.kind for e in await stand.ledger.entries(agreement)]
            assert (outcome.delivery == "key") <= (request.key.request in ack.named)
            assert "released" not in kinds[kinds.index("withdrawn") :]
            assert (outcome.code, "released" in kinds) in (("released", True), ("refused", False))


class TestPreview:
    """Where a data set asks for it, its person lets each answer through before it is handed over, or not: pushed or pulled."""

    @pytest_asyncio.fixture(loop_scope="module", autouse=True, params=["push", "pull"])
    async def handover(self, stand: Stand, request: pytest.FixtureRequest) -> AsyncIterator[None]:
        await stand.hand_over(request.param)
        yield
        await stand.hand_over("push")

    async def test_let_through(self, stand: Stand) -> None:
        """Nothing leaves until the person has said yes, and the application goes on waiting; then it is an answer like another, one use."""
        agreement = await give_shown(stand)
        request = await ask_shown(stand, agreement)
        assert await request.awaits_person(60)
        with pytest.raises(outcomes.AwaitsPerson) as waiting:
            await request.answer(1)
        assert (waiting.value.code, await uses(stand, agreement)) == (Code.PREVIEW_PENDING, 0)
        (shown,) = await stand.ledger.previews([agreement])
        assert shown.submission == request.submission
        answer = asyncio.ensure_future(request.answer(60))
        await stand.ledger.previewed(shown.submission, True, ONLINE)
        assert (await answer).data == {
            "statut_boursier": {"est_boursier": True, "est_radie": False, "date_radiation": None}
        }
        assert await uses(stand, agreement) == 1
        assert [e.kind for e in await stand.ledger.entries(agreement)] == ["given", "preview_accepted", "released"]

    async def test_refused(self, stand: Stand) -> None:
        """The person's no is the one outcome: no use, nothing to open, the agreement stands and may be asked under again."""
        agreement = await give_shown(stand)
        request = await ask_shown(stand, agreement)
        assert await request.awaits_person(60)
        await stand.ledger.previewed(request.submission, False, ONLINE)
        assert isinstance(await refused(request), outcomes.PreviewRejected)
        with suppress(outcomes.NothingWaits):
            assert (await stand.sdk.pull(request.submission)).inner == b""
        (told,) = [o for o in await outcomes_of(stand, request) if isinstance(o, Outcome)]
        assert (told.code, told.reason, told.inner) == ("refused", Code.PREVIEW_REJECTED, b"")
        assert (await uses(stand, agreement), await stand.ledger.has_key(agreement)) == (0, True)
        assert await (await ask_shown(stand, agreement)).awaits_person(60)

    async def test_not_said_in_time(self, stand: Stand) -> None:
        """Without a word of the person's it expires."""
        request = await ask_shown(stand, await give_shown(stand), ttl_s=5)
        assert await request.awaits_person(60)
        assert isinstance(await refused(request), outcomes.Expired)

    async def test_withdrawn_while_it_waits(self, stand: Stand) -> None:
        """It dies with the agreement, and the acknowledgement names nothing."""
        agreement = await give_shown(stand)
        request = await ask_shown(stand, agreement)
        assert await request.awaits_person(60)
        assert (await stand.withdraw(agreement)).named == ()
        assert isinstance(await refused(request), outcomes.ConsentWithdrawn)
        with pytest.raises(Refused, match=Code.NOTHING_WAITS):
            await stand.ledger.previewed(request.submission, True, ONLINE)

    async def test_release_is_away_meanwhile(self, stand: Stand) -> None:
        """Release dies once what waits was announced; let through meanwhile, it is released when another is there, once."""
        agreement = await give_shown(stand)
        request = await ask_shown(stand, agreement)
        assert await request.awaits_person(60)
        await stand.pause("release")
        await stand.ledger.previewed(request.submission, True, ONLINE)
        await stand.resume("release")
        assert (await request.answer(60)).status == "found"
        assert await uses(stand, agreement) == 1

    async def test_said_while_withdrawing(self, stand: Stand) -> None:
        """The person's yes races their withdrawal: each answer is released before and named, or never."""
        agreements = [await give_shown(stand) for _ in range(6)]
        requests = [await ask_shown(stand, agreement) for agreement in agreements]
        for request in requests:
            assert await request.awaits_person(60)
        said = [stand.ledger.previewed(request.submission, True, ONLINE) for request in requests]
        acks = [stand.withdraw(agreement) for agreement in agreements]
        results = await asyncio.gather(*said, *acks, return_exceptions=True)
        for request, agreement, ack in zip(requests, agreements, results[len(said) :], strict=True):
            assert not isinstance(ack, BaseException)
            outcome = await request.outcome(60)
            kinds = [e.kind for e in await stand.ledger.entries(agreement)]
            assert "released" not in kinds[kinds.index("withdrawn") :]
            assert (outcome.code, "released" in kinds) in (("released", True), ("refused", False))


class TestOneOutcome:
    """Every accepted request gets exactly one terminal outcome."""

    async def test_same_bytes(self, stand: Stand) -> None:
        """The same id and the same ask, sent twice, are one request and one use."""
        agreement = await stand.give(FAMILY)
        first = await ask(stand, agreement)
        answer = await first.answer()
        await ask(stand, agreement, request_id=first.key.request)
        assert (await (await ask(stand, agreement)).answer()).status == answer.status
        held = (await stand.ledger.lookup([agreement]))[0]
        assert held is not None
        assert held.uses == 2

    async def test_conflict(self, stand: Stand) -> None:
        """The same id with another ask is a conflict for that submission only."""
        agreement = await stand.give(FAMILY)
        first = await ask(stand, agreement)
        assert isinstance(await first.answer(), Answer)
        second = await ask(stand, agreement, request_id=first.key.request, scopes=["cnaf_enfants"])
        assert isinstance(await refused(second), outcomes.Conflict)

    async def test_expired(self, stand: Stand) -> None:
        """With its connector dead, a request expires by the bus's own word."""
        agreement = await stand.give(FAMILY)
        await stand.pause("connector.cnaf")
        error = await refused(await ask(stand, agreement, ttl_s=3))
        await stand.resume("connector.cnaf")
        assert isinstance(error, outcomes.Expired)

    async def test_crash_of_release(self, stand: Stand) -> None:
        """Release killed with requests at work loses none and doubles none."""
        agreement = await stand.give(FAMILY)
        asked = [await ask(stand, agreement) for _ in range(20)]
        await stand.pause("release")
        asked += [await ask(stand, agreement) for _ in range(20)]
        await stand.resume("release")
        answers = [await request.answer(60) for request in asked]
        held = (await stand.ledger.lookup([agreement]))[0]
        assert held is not None
        assert (len(answers), held.uses) == (40, 40)


class TestBadBytes:
    """Bad bytes never stop the bus."""

    async def test_poison(self, stand: Stand) -> None:
        """Undecodable bytes on a request topic become a dead letter with reason and position; the next request is answered."""
        topic = topics.requests(stand.sdk.wallet.operator)
        poison = [b"", b"\0", b"\0\0\0\0\x63" + bytes(80), os.urandom(300), b"{}"]
        before = len(await stand.records(topics.DEAD_LETTERS))
        await stand.outbox.send({(topic, 0): [Message(os.urandom(16), value, []) for value in poison]})
        assert (await (await ask(stand, await stand.give(FAMILY))).answer()).status == "found"
        for _ in range(100):
            letters = [wire.read("dead-letter", r.value) for r in await stand.records(topics.DEAD_LETTERS)][before:]
            if len(letters) >= len(poison):
                break
            await stand.moment()
        assert {(letter["topic"], letter["reason"]) for letter in letters} == {(topic, "bad_avro")}
        assert sorted(letter["value"] for letter in letters) == sorted(poison)

    async def test_poison_answers(self, stand: Stand) -> None:
        """A forged answer is never terminal: the request it names is still answered."""
        agreement = await stand.give(FAMILY)
        await stand.pause("connector.cnaf")
        request = await ask(stand, agreement)
        await until(stand, topics.tasks("cnaf"), request)
        forged = wire.write_answer(request.key, request.digest, bytes(32), b"x" * 80, b"y" * 100)
        message = wire.message("exchange-answer", agreement, forged, request.key.request.hex())
        await stand.outbox.send({(topics.answers("cnaf"), 0): [message]})
        await stand.resume("connector.cnaf")
        assert (await request.answer(60)).status == "found"


class TestEvents:
    """An application that was away reads what it missed."""

    async def test_resume(self, stand: Stand) -> None:
        """Events after a cursor are those that followed, in order, and none twice."""
        agreement = await stand.give(FAMILY)
        asked = []
        for _ in range(3):
            request = await ask(stand, agreement)
            await request.answer()
            asked.append(request.key.request)
        seen, cursor = [], ""
        events = stand.sdk.events()
        async for event in events:
            if event.request in asked:
                seen.append(event.request)
                cursor = cursor or event.cursor
            if len(seen) == 3:
                break
        await events.aclose()  # type: ignore[attr-defined]  # an async generator
        assert seen == asked
        later = stand.sdk.events(cursor)
        async for event in later:
            if event.request in asked:
                assert event.request == asked[1]
                break
        with suppress(RuntimeError):
            await later.aclose()  # type: ignore[attr-defined]  # as above


class TestProof:
    """The data protection officer can prove it."""

    async def test_ledger_is_sound(self, stand: Stand) -> None:
        """After all this the log still recomputes to its signed root."""
        assert await stand.ledger.verify() == []

    async def test_journal(self, stand: Stand) -> None:
        """The journal says who asked what, when, and what became of it, and holds no agreement id."""
        agreement = await stand.give(FAMILY)
        request = await ask(stand, agreement)
        await request.answer()
        await until(stand, topics.JOURNAL, request, count=2)
        lines = [wire.read("journal-entry", r.value) for r in await stand.records(topics.JOURNAL)]
        mine = [line for line in lines if line["request_id"] == request.key.request]
        assert {line["step"] for line in mine} == {"requested", "ended"}
        assert {line["recipient"] for line in mine} == {stand.sdk.wallet.recipient, ""}
        assert all(agreement not in (r.value or b"") for r in await stand.records(topics.JOURNAL))

"""The whole bus in memory: answers, refusals, wrong people, poison, crashes; one outcome for each request."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from connectors.contract import Failure, Found, NotFound, Retry, StateRefusal
from consent.core.facts import Outcome, Position, RequestKey, Verdict
from consent.rotation import KEY_LIFE_MS
from exchange import wire
from exchange.core import topics
from exchange.core.encoding import split
from exchange.core.errors import Code
from exchange.core.heads import HEAD
from exchange.core.sealing import inner_info, transcript
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.outcomes import Conflict, ConsentRequired, ConsentWithdrawn, Expired, ProviderUnavailable
from exchange.ports import Message
from exchange.receipt import context
from exchange.schemas import catalogue
from exchange.sdk import Request
from exchange.sealing import unseal
from exchange.testing import MemoryBus
from tests.world import JEANNE, OPERATOR, PAUL, QUOTIENT, ScriptedApi, outcome_of, publish, told, until


@pytest.fixture
def api() -> ScriptedApi:
    return ScriptedApi()


@pytest.fixture
async def bus(api: ScriptedApi) -> AsyncIterator[MemoryBus]:
    async with MemoryBus(api) as bus:
        yield bus


async def ask(bus: MemoryBus, consent: bytes, **changes: Any) -> Request:
    return await bus.sdk.request(QUOTIENT_FAMILIAL.name, consent=consent, purpose="tarification-cantine", **changes)


async def test_an_answer_comes_back_opened_and_proved(bus: MemoryBus, api: ScriptedApi) -> None:
    """Asked about the agreement's person, once; only what was there comes back; one use."""
    consent = await bus.give(JEANNE)
    answer = await (await ask(bus, consent)).answer()
    assert answer.status == "found" and answer.data is not None
    assert answer.data["quotient_familial"]["valeur"] == QUOTIENT["quotient_familial"]["valeur"]
    assert set(answer.data) == {"quotient_familial"}
    assert api.asked == [JEANNE]
    (held,) = await bus.ledger.lookup([consent])
    assert held is not None and held.uses == 1


async def test_only_agreed_scopes_come_back() -> None:
    """The State says more than was agreed: the rest never leaves the connector."""
    api = ScriptedApi(Found({**QUOTIENT, "enfants": [], "adresse": {"pays": "FRANCE"}}))
    async with MemoryBus(api) as bus:
        consent = await bus.give(JEANNE, scopes=("cnaf_quotient_familial",))
        answer = await (await ask(bus, consent, scopes=("cnaf_quotient_familial",))).answer()
        assert answer.data is not None and set(answer.data) == {"quotient_familial"}


@pytest.mark.parametrize(
    "reading", [NotFound("35003", "Allocataire non référencé"), StateRefusal("00355", "Non identifiable")]
)
async def test_not_found_and_refused_are_sealed_answers_that_look_like_any_other(reading: Any) -> None:
    """Nothing on a topic tells them from an answer found: same code, same size."""
    async with MemoryBus(ScriptedApi(reading, Found(QUOTIENT))) as bus:
        consent = await bus.give(JEANNE)
        request, found = await ask(bus, consent), await ask(bus, consent)
        answer, other = await request.answer(), await found.answer()
        assert {answer.status, other.status} == {"found", "not_found" if isinstance(reading, NotFound) else "refused"}
        said = answer if answer.status != "found" else other
        assert (said.code, said.title, said.data) == (reading.code, reading.title, None)
        assert answer.outcome.code == other.outcome.code == "released"
        assert len(answer.outcome.inner) == len(other.outcome.inner)
        sizes = {len(record.value or b"") for record in bus.broker.records("answers.cnaf.v1")}
        assert len(sizes) == 1


async def test_the_wrong_person_is_refused_without_a_state_call(bus: MemoryBus, api: ScriptedApi) -> None:
    """Somebody else sealed under an agreement: subject_mismatch, and the State hears nothing."""
    outcome = await outcome_of(bus, await publish(bus, await bus.give(JEANNE), PAUL))
    assert (outcome.code, outcome.reason, outcome.inner) == ("refused", Code.SUBJECT_MISMATCH, b"")
    assert api.asked == []
    assert len([e for e in await bus.ledger.entries(outcome.key.authorisation) if e.kind == "attempted"]) == 0


async def test_the_sdk_names_what_happened() -> None:
    """Each end has its class, its code and what to do."""
    async with MemoryBus(ScriptedApi(Failure("", "wrong_person"))) as bus:
        with pytest.raises(ProviderUnavailable) as failed:
            await (await ask(bus, await bus.give(JEANNE))).answer()
        assert failed.value.code is Code.WRONG_PERSON and failed.value.todo


async def test_a_lock_of_the_state_is_waited_for() -> None:
    """409, then an answer: two calls, two attempts, one answer."""
    api = ScriptedApi(Retry("00015", 0.0), Found(QUOTIENT))
    async with MemoryBus(api) as bus:
        answer = await (await ask(bus, await bus.give(JEANNE))).answer()
        assert (answer.status, len(api.asked)) == ("found", 2)


async def test_a_state_that_stays_silent_is_called_three_times() -> None:
    """504 three times: failed, with the State's own code; never a fourth call."""
    api = ScriptedApi(Retry("37002", 0.0))
    async with MemoryBus(api) as bus:
        with pytest.raises(ProviderUnavailable) as failed:
            await (await ask(bus, await bus.give(JEANNE))).answer()
        assert (failed.value.code, failed.value.provider_code) == (Code.PROVIDER_UNAVAILABLE, "37002")
        assert len(api.asked) == 3


async def test_a_wait_beyond_the_deadline_is_a_failure_at_once() -> None:
    """The State asks for two days: nobody waits for them."""
    api = ScriptedApi(Retry("00429", 172_800.0))
    async with MemoryBus(api) as bus:
        outcome = await (await ask(bus, await bus.give(JEANNE))).outcome()
        assert (outcome.code, outcome.reason, len(api.asked)) == ("failed", Code.PROVIDER_UNAVAILABLE, 1)


async def test_a_state_that_says_too_much_is_a_failure_and_not_the_end() -> None:
    """An answer too large for a message, or not of the schema: failed; the next one is answered."""
    large = {"adresse": {"destinataire": "x" * 1_000_000}}
    twice_as_large = {"adresse": {"destinataire": "x" * 2_000_000}}
    alien = {"quotient_familial": {"fournisseur": "CNAF", "valeur": 1 << 40, "annee": 2026, "mois": 3}}
    api = ScriptedApi(Found(large), Found(twice_as_large), Found(alien), Found(QUOTIENT))
    async with MemoryBus(api) as bus:
        consent = await bus.give(JEANNE)
        for _ in range(3):
            outcome = await (await ask(bus, consent)).outcome()
            assert (outcome.code, outcome.reason) == ("failed", Code.PROVIDER_ERROR)
        assert (await (await ask(bus, consent)).answer()).status == "found"


async def test_what_a_chunk_says_is_signed_at_once() -> None:
    """Five tasks in one chunk: one is too much for a message, the others are answered under one signature, each opened by itself."""
    api = ScriptedApi(Found({"adresse": {"destinataire": "x" * 1_000_000}}), *[Found(QUOTIENT)] * 4)
    async with MemoryBus(api) as bus:
        consent = await bus.give(JEANNE)
        await bus.pause("connector.cnaf")
        requests = [await ask(bus, consent) for _ in range(5)]
        await until(bus, lambda: len(bus.broker.records(topics.tasks("cnaf"))) == 5 or None)
        await bus.resume("connector.cnaf")
        told = [(request, await request.outcome()) for request in requests]
        answered = [one for one in told if one[1].code == "released"]
        assert [outcome.reason for _, outcome in told if outcome.code == "failed"] == [Code.PROVIDER_ERROR]
        assert [bus.sdk.open(*one).status for one in answered] == ["found"] * 4
        assert len({signature_of(bus, *one) for one in answered}) == 1


def signature_of(bus: MemoryBus, request: Request, outcome: Outcome) -> bytes:
    """The connector's, inside the inner seal."""
    info = inner_info(transcript(context(outcome, request.digest)))
    return split(unseal(bus.sdk.wallet.private, outcome.inner, info, "inner"), 2, 3)[0]


async def test_a_request_nobody_answers_expires(bus: MemoryBus) -> None:
    """The connector is down: expired, by the ledger's clock, once; its answer comes too late."""
    consent = await bus.give(JEANNE)
    await bus.pause("connector.cnaf")
    request = await ask(bus, consent, ttl_s=5)
    with pytest.raises(Expired):
        await request.answer()
    await bus.resume("connector.cnaf")
    await (await ask(bus, consent)).answer()
    assert {o.code for o in told(bus, request.key.request)} == {"expired"}


async def test_an_answer_met_after_a_withdrawal_is_refused(bus: MemoryBus) -> None:
    """Withdrawn while the answer lies on its topic: nothing is opened, nothing named."""
    consent = await bus.give(JEANNE)
    await bus.pause("release")
    request = await ask(bus, consent)
    await until(bus, lambda: bus.broker.records("answers.cnaf.v1") or None)
    ack = await bus.withdraw(consent)
    await bus.resume("release")
    with pytest.raises(ConsentWithdrawn) as refused:
        await request.answer()
    assert (refused.value.code, ack.named) == (Code.WITHDRAWN, ())


async def test_an_answer_released_and_lost_is_cut_after_a_withdrawal() -> None:
    """Committed, never sent, withdrawn, met again: released, cut, named; the SDK says withdrawn."""
    async with MemoryBus(ScriptedApi()) as bus:
        consent = await bus.give(JEANNE)
        await bus.pause("release")
        request = await ask(bus, consent)
        (record,) = await until(bus, lambda: bus.broker.records("answers.cnaf.v1") or None)
        await bus.ledger.release([wire.read_answer(record)], [])
        ack = await bus.withdraw(consent)
        assert ack.named == (request.key.request,)
        await bus.resume("release")
        with pytest.raises(ConsentWithdrawn) as cut:
            await request.answer()
        outcome = cut.value.outcome
        assert outcome is not None
        assert (outcome.code, outcome.delivery, outcome.inner) == ("released", "cut", b"")


async def test_one_id_for_two_asks_is_a_conflict_of_the_second(bus: MemoryBus) -> None:
    """The first is answered; the second submission is told conflict; an honest retry of the first is not one."""
    consent, request_id = await bus.give(JEANNE), os.urandom(16)
    first = await ask(bus, consent, request_id=request_id, parameters={"mois": "3"})
    assert (await first.answer()).status == "found"
    second = await ask(bus, consent, request_id=request_id, parameters={"mois": "4"})
    with pytest.raises(Conflict):
        await second.answer()
    codes = {(o.digest, o.code) for o in told(bus, request_id)}
    assert codes == {(first.digest, "released"), (second.digest, "conflict")}


async def test_whatever_is_delivered_again_changes_nothing(bus: MemoryBus) -> None:
    """Every topic replayed from its first record, three times: same outcomes, same uses, same log."""
    consent = await bus.give(JEANNE)
    requests = [await ask(bus, consent) for _ in range(3)]
    refused = await ask(bus, consent, ttl_s=0.5)
    for request in requests:
        await request.answer()
    await refused.outcome()
    before = [told(bus, r.key.request) for r in [*requests, refused]]
    for _ in range(3):
        for runner in bus.runners.values():
            await runner.stop()
            runner.rewind()
            runner.start()
        await bus.clock.sleep(10)
    await (await ask(bus, consent)).answer()
    assert [told(bus, r.key.request) for r in [*requests, refused]] == before
    (held,) = await bus.ledger.lookup([consent])
    assert held is not None and held.uses == 4
    assert await bus.ledger.verify() == []


@pytest.mark.parametrize("after_writing", [False, True])
async def test_a_broker_that_fails_delays_and_loses_nothing(bus: MemoryBus, after_writing: bool) -> None:
    """Sends that fail before or after writing: one outcome told, perhaps twice, always the same."""
    consent = await bus.give(JEANNE)
    request = await ask(bus, consent)
    bus.broker.fail_after_writing = after_writing
    bus.broker.fail_next = 12
    assert (await request.answer(timeout_s=250)).status == "found"
    await until(bus, lambda: True if not bus.broker.fail_next else None)
    codes = {(o.code, o.leaf_index) for o in told(bus, request.key.request)}
    assert len(codes) == 1
    (held,) = await bus.ledger.lookup([consent])
    assert held is not None and held.uses == 1


async def test_the_sdk_reads_on_once_the_broker_is_back(bus: MemoryBus) -> None:
    """Reads that fail, with outcomes told meanwhile: each is heard, from where the reading had stopped."""
    consent = await bus.give(JEANNE)
    assert (await (await ask(bus, consent)).answer()).status == "found"
    bus.broker.fail_reads[topics.outcomes(OPERATOR)] = 3
    requests = [await ask(bus, consent) for _ in range(3)]
    assert [(await request.answer()).status for request in requests] == ["found"] * 3
    assert not bus.broker.fail_reads[topics.outcomes(OPERATOR)]


@pytest.mark.parametrize("agent", ["gate", "connector.cnaf", "release", "deadline", "journal"])
async def test_any_agent_may_die_and_come_back(bus: MemoryBus, agent: str) -> None:
    """Stopped with requests on their way: they wait, and are answered once it is back."""
    consent = await bus.give(JEANNE)
    await bus.pause(agent)
    requests = [await ask(bus, consent) for _ in range(3)]
    await bus.clock.sleep(20)
    await bus.resume(agent)
    assert [(await r.answer()).status for r in requests] == ["found"] * 3


async def test_the_journal_says_who_asked_what_and_what_became_of_it(bus: MemoryBus) -> None:
    """Requested, judged where refused, ended; with code and reason, without any person."""
    consent = await bus.give(JEANNE)
    good, bad = await ask(bus, consent), await ask(bus, consent, ttl_s=0.5)
    await good.answer(), await bad.outcome()

    def lines() -> list[dict[str, Any]] | None:
        read = [wire.read("journal-entry", record.value) for record in bus.broker.records(topics.JOURNAL)]
        return read if sum(line["step"] == "ended" for line in read) == 2 else None

    found = await until(bus, lines)
    by_request = {
        request: [(line["step"], line["code"], line["reason"]) for line in found if line["request_id"] == request]
        for request in (good.key.request, bad.key.request)
    }
    assert by_request[good.key.request] == [("requested", "", ""), ("ended", "released", "")]
    assert set(by_request[bad.key.request]) == {
        ("requested", "", ""),
        ("judged", "refused", Code.TTL_OUT_OF_BOUNDS),
        ("ended", "refused", Code.TTL_OUT_OF_BOUNDS),
    }
    first = next(line for line in found if line["step"] == "requested")
    assert (first["recipient"], first["purpose"]) == (bus.recipient, "tarification-cantine")
    assert all(line["at_ms"] > 0 and line["topic"] for line in found)


# Poison


KEY = RequestKey(OPERATOR, b"a" * 16, b"r" * 16)
VERDICT = Verdict(KEY, b"d" * 32, 1, "failed", Code.PROVIDER_ERROR)
TASK = {
    "request_id": KEY.request, "authorisation_id": KEY.authorisation, "operator": OPERATOR.encode(), "deadline_ms": bytes(8),
    "certificate_hash": bytes(32), "certificate": b"", "ask": b"", "identity": b"",
}  # fmt: skip


def verdict(**changes: Any) -> bytes:
    return wire.write_verdict(msgspec.structs.replace(VERDICT, **changes), "connector")


def answer(operator: str = OPERATOR, outer_bytes: int = 10) -> bytes:
    return wire.write_answer(
        msgspec.structs.replace(KEY, operator=operator), bytes(32), bytes(32), b"", bytes(outer_bytes)
    )


REQUEST = HEAD.pack(catalogue().prefix("exchange-request"), KEY.request, KEY.authorisation, bytes(32), 1_000)
OWN: dict[str, tuple[str, list[bytes]]] = {
    topics.requests(OPERATOR): ("exchange-request", [REQUEST, REQUEST + b"\x04no\x00", REQUEST + b"\x03x\x00"]),
    topics.tasks("cnaf"): ("exchange-task", [
        wire.write("exchange-task", {**TASK, "operator": b"x" * 9}),
        wire.write("exchange-task", {**TASK, "operator": b"\xff" * 9}),
        wire.write("exchange-task", {**TASK, "deadline_ms": b"\xff" * 8}),
    ]),
    topics.answers("cnaf"): ("exchange-answer", [answer("x" * 9), answer(outer_bytes=1_000_000), answer()]),
    topics.VERDICTS: ("verdict", [
        verdict(key=msgspec.structs.replace(KEY, operator="x" * 9)),
        verdict(deadline_ms=(1 << 64) - 1),
        verdict(reason="MARTIN Jeanne"),
        verdict(reason=""),
        verdict(provider_code="MARTIN Jeanne"),
    ]),
}  # fmt: skip


def poison(topic: str) -> list[Message]:
    """Values, keys and headers no honest writer would send."""
    subject, own = OWN[topic]
    prefix = catalogue().prefix(subject)
    values: list[Any] = [None, b"", b"\0", b"garbage", prefix, prefix + b"\xff" * 200, b"x" * 70_000, *own]
    values += [b"\x01" + prefix[1:], catalogue().prefix("outcome") + bytes(300)]
    messages = [Message(KEY.authorisation, value, []) for value in values]
    for key in (None, b"", b"b" * 16, b"\xff" * 40):
        whole = REQUEST + b"\x00\x00" if subject == "exchange-request" else own[-1]
        messages.append(Message(key, whole, []))
    headers: list[list[tuple[str, Any]]] = [
        [("traceparent", None), ("tracestate", None)],
        [("traceparent", b"\xff\xfe01")],
        [("traceparent", b"00-0-0-01")] * 3,
        [("x" * 3_000, b"y" * 3_000)] * 100,
        [("tracestate", b"a" * 600_000), ("traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")],
    ]
    return messages + [Message(KEY.authorisation, b"garbage", h) for h in headers]


@pytest.mark.parametrize("topic", list(OWN))
async def test_poison_becomes_dead_letters_and_the_bus_goes_on(bus: MemoryBus, topic: str) -> None:
    """Each bad message is one dead letter with reason, position and size; nothing stops, and the next request is answered."""
    messages = poison(topic)
    await bus.broker.send({(topic, 1): messages})

    def buried() -> list[dict[str, Any]] | None:
        letters = [wire.read("dead-letter", record.value) for record in bus.broker.records(topics.DEAD_LETTERS)]
        mine = [letter for letter in letters if letter["topic"] == topic]
        return mine if len(mine) >= len(messages) else None

    letters = await until(bus, buried)
    assert sorted(letter["offset"] for letter in letters) == list(range(len(messages)))
    for letter in letters:
        assert letter["partition"] == 1 and Code(letter["reason"])
        value = messages[letter["offset"]].value
        assert letter["size_bytes"] == (-1 if value is None else len(value))
        assert letter["value"] == (value or b"")[: 64 * 1024]
        if value in OWN[topic][1] and letter["reason"] != Code.BAD_KEY:
            assert letter["reason"] == (
                Code.NO_ATTEMPT if value == OWN[topic][1][-1] and topic == topics.answers("cnaf") else Code.BAD_AVRO
            )
    assert (await (await ask(bus, await bus.give(JEANNE))).answer()).status == "found"


async def test_poison_on_the_other_topics_stops_nobody(bus: MemoryBus) -> None:
    """Outcomes, events, journal and dead letters: whoever reads them passes over what is not theirs."""
    for topic in (topics.outcomes(OPERATOR), topics.CONSENT_EVENTS, topics.JOURNAL, topics.DEAD_LETTERS):
        garbage = [Message(k, v, []) for k in (None, b"k") for v in (None, b"", b"garbage", bytes(400))]  # type: ignore[arg-type]
        await bus.broker.send({(topic, 0): garbage})
    assert (await (await ask(bus, await bus.give(JEANNE))).answer()).status == "found"


async def test_a_verdict_for_an_operator_without_topic_stops_nobody(bus: MemoryBus) -> None:
    """Nobody can be told: the row stands, the bus goes on."""
    value = verdict(key=msgspec.structs.replace(KEY, operator="999999999"))
    await bus.broker.send({(topics.VERDICTS, 0): [Message(KEY.authorisation, value, [])]})
    assert (await (await ask(bus, await bus.give(JEANNE))).answer()).status == "found"


async def test_an_answer_of_another_request_is_buried_and_the_right_one_released(bus: MemoryBus) -> None:
    """Swapped on their topic by whoever writes there: two dead letters, then two answers."""
    consent = await bus.give(JEANNE)
    await bus.pause("release")
    requests = [await ask(bus, consent) for _ in range(2)]
    records = await until(bus, lambda: r if len(r := bus.broker.records("answers.cnaf.v1")) == 2 else None)
    read: list[Any] = [wire.read_answer(record) for record in records]
    swapped = [msgspec.structs.replace(read[i], key=read[1 - i].key, digest=read[1 - i].digest) for i in (0, 1)]
    values = [wire.write_answer(a.key, a.digest, a.tag, a.sealed_key, a.outer) for a in swapped]
    results = await bus.ledger.release([msgspec.structs.replace(a, position=Position("", 0, 0)) for a in swapped], [])
    assert [getattr(r, "reason", "") for r in results] == [Code.BAD_SEAL] * 2
    place = (records[0].topic, records[0].partition)
    bus.broker.logs[place][:0] = [records[0]._replace(value=v, offset=-1) for v in values]
    await bus.resume("release")
    assert [(await r.answer()).status for r in requests] == ["found"] * 2
    letters = [wire.read("dead-letter", r.value)["reason"] for r in bus.broker.records(topics.DEAD_LETTERS)]
    assert letters == [Code.BAD_SEAL] * 2


async def test_a_request_under_a_replaced_key_is_asked_again(bus: MemoryBus) -> None:
    """The collectivity's capsule is a month old, the agreement's key is not: `answer` fetches the new one and asks once more."""
    consent = await bus.give(JEANNE)
    await (await ask(bus, consent)).answer()
    bus.clock.advance(KEY_LIFE_MS)
    await bus.ledger.rotate()
    late = await ask(bus, consent)
    answer = await late.answer()
    assert answer.data and answer.request != late.key.request
    entries = await bus.ledger.entries(consent)
    assert [entry.kind for entry in entries if entry.kind in ("released", "rekeyed")] == [
        "released",
        "rekeyed",
        "released",
    ]


async def test_an_agreement_that_is_gone_is_not_asked_under_again(bus: MemoryBus) -> None:
    """Its key was replaced, then it was erased: one clear error, and no second request."""
    consent = await bus.give(JEANNE)
    await (await ask(bus, consent)).answer()
    bus.clock.advance(KEY_LIFE_MS)
    await bus.ledger.rotate()
    late = await ask(bus, consent)
    assert (await late.outcome()).reason == Code.CERTIFICATE_OUTDATED
    await bus.ledger.withdraw(consent, "erased")
    with pytest.raises(ConsentRequired):
        await bus.sdk.recall(consent)

"""A rule through the whole bus: its answer arrives, the value does not leave the connector, and an agreement serves what it says."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from connectors.contract import Found, NotFound, Reading, StateRefusal
from connectors.sdk.task import bearing
from consent import certificates
from consent.core.facts import Attempt, Evidence, Outcome, RequestKey
from consent.core.record import Document
from consent.core.release import Held, Seen, refusal
from consent.paper.page import page
from exchange import receipt, wire
from exchange.core import sealing, topics
from exchange.core.decision import Ask
from exchange.core.errors import Code
from exchange.core.heads import varint
from exchange.core.rule import rule_hash
from exchange.introduction import PURPOSES, record, terms
from exchange.outcomes import ExchangeError, NotEntitled
from exchange.ports import Refused
from exchange.sdk import Request
from exchange.sealing import open_inner, seal_identity
from exchange.testing import MemoryBus
from exchange.tracing import Tracing
from tests.receipts import holds, proven, resigned
from tests.rules.rules import QF, TABLE, UNDER_650, document, signed
from tests.world import JEANNE, RECIPIENT, ScriptedApi, World, outcome_of

SCOPE = ("cnaf_quotient_familial",)
CANARY = 98_765_431
BOURSIER = {"field": "statut_boursier.est_boursier", "is": "=", "value": True}
NOT_FOUND, STATE_REFUSAL = NotFound("35003", "Dossier inexistant"), StateRefusal("00355", "Refusé")


def found(valeur: Any = CANARY) -> Reading:
    return Found({"quotient_familial": {"fournisseur": "CNAF", "valeur": valeur, "annee": 2026, "mois": 3}})


async def given(bus: MemoryBus, ask: Any = None, **changes: object) -> tuple[bytes, bytes]:
    """An agreement to one rule's answer: the signed rule, and the agreement's id."""
    rule = signed(ask or UNDER_650, bus.keys)
    return rule, await bus.give(JEANNE, **{"rule": rule, "scopes": SCOPE} | changes)


async def asked(bus: MemoryBus, consent: bytes, **more: Any) -> Request:
    return await bus.sdk.request(QF, consent=consent, purpose=PURPOSES[0], **more)


def opened(bus: MemoryBus, request: Request, outcome: Outcome) -> bytes:
    """All that was sealed for the collectivity."""
    context = receipt.context(outcome, request.digest)
    connector = bus.sdk.keys.known("connector", "cnaf").public_key
    return open_inner(context, outcome.inner, bus.wallet.private, connector)


@pytest.mark.parametrize(
    ("ask", "reading", "result", "status", "code"),
    [
        (UNDER_650, found(650), True, "found", ""),
        (UNDER_650, found(651), False, "found", ""),
        (TABLE, found(500), "B", "found", ""),
        (UNDER_650, Found({}), None, "found", ""),
        (UNDER_650, NOT_FOUND, None, "not_found", "35003"),
        (TABLE, STATE_REFUSAL, None, "refused", "00355"),
    ],
)
async def test_the_answer_arrives_in_place_of_the_data(
    ask: Any, reading: Reading, result: object, status: str, code: str
) -> None:
    """Yes, no, a bracket, or unknown with the State's code; the rule's hash is in the outcome, in T, in the ledger's leaf and inside."""
    async with MemoryBus(ScriptedApi(reading)) as bus:
        rule, consent = await given(bus, ask)
        request = await asked(bus, consent, rule=rule)
        answer = await request.answer()
        assert answer.rule is not None and answer.rule.result == result and type(answer.rule.result) is type(result)
        assert (answer.status, answer.code, answer.title, answer.data) == (status, code, "", None)
        assert answer.rule.hash == answer.outcome.rule_hash == rule_hash(rule)
        assert answer.outcome.scopes == SCOPE and abs(answer.rule.at_ms - bus.clock.now_ms()) < 60_000
        receipt.verify_release(answer.outcome, request.digest, bus.trust.log)
        for other in (sealing.NO_RULE, bytes(31) + b"\1"):
            changed = msgspec.structs.replace(answer.outcome, rule_hash=other)
            with pytest.raises(receipt.BadReceipt):
                receipt.verify_release(changed, request.digest, bus.trust.log)


async def test_the_value_never_leaves_the_connector(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither on any topic, nor sealed in the answer, nor in a log, a trace or the ledger; an agreement to the data shows that we look."""
    caplog.set_level(logging.DEBUG)
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    shown = (str(CANARY).encode(), varint(CANARY))
    async with MemoryBus(ScriptedApi(found()), tracing=Tracing(provider)) as bus:
        rule, consent = await given(bus)
        request = await asked(bus, consent, rule=rule)
        answer = await request.answer()
        inside = opened(bus, request, answer.outcome)
        plain_request = await asked(bus, await bus.give(JEANNE))
        plain = opened(bus, plain_request, (await plain_request.answer()).outcome)
        everywhere = [
            part
            for log in bus.broker.logs.values()
            for r in log
            for part in (r.key, r.value, *(v for _, v in r.headers))
        ]
        entries = repr(await bus.ledger.entries(consent)) + await bus.ledger.receipt(consent)
    assert varint(CANARY) in plain
    said = [
        *everywhere,
        inside,
        repr(answer).encode(),
        caplog.text.encode(),
        "".join(capfd.readouterr()).encode(),
        entries.encode(),
    ]
    said += [span.to_json().encode() for span in spans.get_finished_spans()]
    assert len(spans.get_finished_spans()) > 3 and len(everywhere) > 10
    assert not any(word in part for part in said if part for word in shown)


async def test_the_size_of_an_answer_says_nothing() -> None:
    """Yes, no, a label, unknown, not found and the State's refusal are sealed in as many bytes."""
    sizes = set()
    for ask, reading in [
        (UNDER_650, found(1)), (UNDER_650, found()), (TABLE, found(500)), (TABLE | {"above": "x" * 60}, found()), (UNDER_650, Found({})),
        (UNDER_650, NOT_FOUND), (UNDER_650, NotFound("35003", "x" * 3_000)), (UNDER_650, STATE_REFUSAL),
    ]:  # fmt: skip
        async with MemoryBus(ScriptedApi(reading)) as bus:
            rule, consent = await given(bus, ask)
            await (await asked(bus, consent, rule=rule)).answer()
            (answered,) = [wire.read_answer(record) for record in bus.broker.records(topics.answers("cnaf"))]
            sizes.add(len(answered.outer))
    assert len(sizes) == 1


async def test_an_agreement_serves_what_it_says_and_nothing_else() -> None:
    """The data under an agreement to a rule, a rule under an agreement to the data, another rule: refused at the gate,
    which gives no task for it, whatever it allowed before under terms that differ in the rule only."""
    api = ScriptedApi(found(1))
    async with MemoryBus(api) as bus:
        rule, ruled = await given(bus)
        plain, other = await bus.give(JEANNE, scopes=SCOPE), signed(TABLE, bus.keys)
        await (await asked(bus, ruled, rule=rule)).answer()
        await (await asked(bus, plain, scopes=SCOPE)).answer()
        for consent, more in (
            (ruled, {"scopes": SCOPE}), (ruled, {"rule": other}), (ruled, {"rule": b"x", "scopes": SCOPE}), (plain, {"rule": rule}),
        ):  # fmt: skip
            outcome = await (await asked(bus, consent, **more)).outcome()
            assert (outcome.code, outcome.reason) == ("refused", Code.RULE_MISMATCH)
        with pytest.raises(ExchangeError) as error:
            await (await asked(bus, ruled, scopes=SCOPE)).answer()
        assert isinstance(error.value, NotEntitled) and len(api.asked) == 2
        assert len(list(bus.broker.records(topics.tasks("cnaf")))) == 2
        with pytest.raises(NotEntitled):
            await asked(bus, ruled, rule=document(UNDER_650).encode())


async def test_one_rule_signed_twice_is_one_rule() -> None:
    """What is agreed to is the document: a later signature of the same one serves the agreement."""
    async with MemoryBus(ScriptedApi(found(1))) as bus:
        rule, consent = await given(bus)
        again = rule + rule.split(b"\n\n")[1]
        answer = await (await asked(bus, consent, rule=again)).answer()
        assert answer.rule is not None and answer.rule.result is True


@pytest.mark.parametrize("case", ["the data", "another rule", "not signed", "another scope", "another data set"])
async def test_the_connector_does_not_take_the_gates_word(case: str) -> None:
    """A task that no gate would have let through is refused by the connector itself, without a State call."""
    api = ScriptedApi(found(1))
    async with MemoryBus(api) as bus:
        rule, consent = await given(bus, scopes=(*SCOPE, "cnaf_enfants"))
        scopes, reason = SCOPE, Code.RULE_MISMATCH
        asked_rule = {"the data": b"", "another rule": signed(TABLE, bus.keys)}.get(case, rule)
        if case == "not signed":
            asked_rule, reason = rule.rpartition(b" ")[0] + b" AAAAAAAA\n", Code.RULE_INVALID
        if case == "another scope":
            scopes, reason = ("cnaf_enfants",), Code.SCOPE_EXCEEDED
        certificate = b""
        if case == "another data set":
            asked_rule, reason = signed(BOURSIER, bus.keys, "cnous.etudiant-boursier.v1"), Code.RULE_INVALID
            certificate = await _certified(bus, consent, asked_rule)
        request = await _task(bus, consent, Ask(RECIPIENT, QF, PURPOSES[0], scopes, (), asked_rule), certificate)
        assert (await outcome_of(bus, request)).reason == reason
        assert api.asked == []


async def _certified(bus: MemoryBus, consent: bytes, rule: bytes) -> bytes:
    """A certificate that this ledger would not have given: for a rule on other data."""
    capsule = bus.wallet.capsule(consent)
    assert capsule is not None
    held = certificates.read(capsule.certificate, bus.trust.certificate)
    agreed = msgspec.structs.replace(await bus.ledger.terms(consent), rule=rule)
    key = bus.keys.certificate
    return certificates.issue(held.origin, consent, 1, held.public_key, agreed, held.commitment, held.grant_leaf, key)


async def _task(bus: MemoryBus, consent: bytes, ask: Ask, certificate: bytes = b"") -> bytes:
    capsule = bus.wallet.capsule(consent)
    assert capsule is not None
    key, data = RequestKey(bus.operator, consent, bytes(range(16))), wire.write_ask(ask)
    digest = sealing.request_digest(key.operator, consent, key.request, sealing.ask_hash(data))
    provider = next(entry for entry in await bus.ledger.directory() if entry.kind == "provider")
    body = {
        "request_id": key.request, "authorisation_id": consent, "operator": key.operator.encode(), "ask": data,
        "deadline_ms": (bus.clock.now_ms() + 300_000).to_bytes(8, "big"), **bearing(certificate or capsule.certificate),
        "identity": seal_identity(provider.public_key, digest, capsule.salt, capsule.identity),
    }  # fmt: skip
    message = wire.message("exchange-task", consent, wire.write("exchange-task", body), key.request.hex())
    await bus.broker.send({(topics.tasks("cnaf"), 0): [message]})
    return key.request


async def test_the_ledger_is_the_authority() -> None:
    """No call is allowed, and no answer opened, whose T says another rule than the authorisation: nor none where it says one."""
    world = await World.open()
    rule = signed(UNDER_650, world.keys)
    for consent, own in (
        (await world.give(), sealing.NO_RULE),
        (await world.give(rule=rule, scopes=SCOPE), rule_hash(rule)),
    ):
        one = world.ask(consent)
        for told in (sealing.NO_RULE, rule_hash(rule), b"r" * 32):
            attempt: Attempt = msgspec.structs.replace(one.attempt, rule_hash=told)
            (said,) = await world.ledger.attempt([attempt])
            assert said.reason == ("" if told == own else Code.RULE_MISMATCH)
        (held,) = await world.ledger.lookup([consent])
        assert held is not None
        context = msgspec.structs.replace(world.context(one), rule_hash=b"r" * 32)
        standing = Held(held, {held.operators[0]: context.recipient_key}, frozenset({held.certificate_hash}))
        item = world.answer(one)
        assert refusal(Seen(item, context, b""), standing, 0, world.clock.now_ms()) is Code.RULE_MISMATCH
        right = msgspec.structs.replace(context, rule_hash=own)
        assert refusal(Seen(item, right, b""), standing, 0, world.clock.now_ms()) is None


async def test_only_a_signed_rule_of_the_data_set_is_agreed_to() -> None:
    """Unsigned, signed by another bus, about other data, or reading more than is agreed to: not recorded, not even as a refusal."""
    world, other = await World.open(), await World.open()
    for rule, scopes, code in (
        (document(UNDER_650).encode(), SCOPE, Code.RULE_INVALID),
        (signed(UNDER_650, other.keys), SCOPE, Code.RULE_INVALID),
        (signed(BOURSIER, world.keys, "cnous.etudiant-boursier.v1"), SCOPE, Code.RULE_INVALID),
        (signed(UNDER_650, world.keys), ("cnaf_enfants",), Code.SCOPE_EXCEEDED),
    ):
        agreed = terms(RECIPIENT, world.clock.now_ms(), rule=rule, scopes=scopes)
        for act in (
            world.give(rule=rule, scopes=scopes), world.ledger.request(bytes(16), agreed, Evidence("online"), "211300553"),
            world.ledger.refuse(bytes(16), agreed, Evidence("online")),
        ):  # fmt: skip
            with pytest.raises(Refused) as refused:
                await act
            assert refused.value.code is code
    with pytest.raises(Refused) as refused:
        await world.ledger.sign_rule("{}")
    assert refused.value.code is Code.RULE_INVALID


async def test_a_rule_lasts_as_long_as_its_agreement() -> None:
    """What was asked for with a rule is given with that rule; renewed, it is the same; neither gains nor loses it."""
    world = await World.open()
    rule, table = signed(UNDER_650, world.keys), signed(TABLE, world.keys)
    a, now_ms = bytes(16), world.clock.now_ms()
    agreed = terms(RECIPIENT, now_ms, rule=rule, scopes=SCOPE)
    await world.ledger.request(a, agreed, Evidence("online"), "211300553")
    for other in (b"", table):
        changed = msgspec.structs.replace(agreed, rule=other)
        with pytest.raises(Refused) as refused:
            await record(world.ledger, world.wallet, a, changed, JEANNE, Evidence("online"))
        assert refused.value.code is Code.CONFLICT
    await record(world.ledger, world.wallet, a, agreed, JEANNE, Evidence("online"))
    assert (await world.ledger.terms(a)).rule == rule and world.certificate(a).rule_hash == rule_hash(rule)
    for other in (b"", table):
        changed = msgspec.structs.replace(agreed, rule=other, not_after_ms=now_ms + 10**11)
        with pytest.raises(Refused) as refused:
            await world.ledger.renew(a, changed, Evidence("online"), "211300553")
        assert refused.value.code is Code.SCOPE_EXCEEDED
    longer = msgspec.structs.replace(agreed, not_after_ms=now_ms + 10**11)
    world.wallet.keep(a, (await world.ledger.renew(a, longer, Evidence("online"), "211300553")).capsule)
    assert world.certificate(a).rule_hash == rule_hash(rule)


async def test_the_receipt_says_what_the_answer_is_to() -> None:
    """Name, hash and words of the rule, in both languages; "only the answer to" on the page; and they are the signed rule's, or it is no
    receipt."""
    world = await World.open()
    rule = signed(UNDER_650, world.keys, doc={"fr": "QF de 650 € ou moins ?", "en": "Quotient of 650 € or less?"})
    text = await world.ledger.receipt(await world.give(rule=rule, scopes=SCOPE, watch_every_ms=86_400_000))
    document_ = proven(world, text.encode()).document
    assert document_ is not None
    process = document_["dpv:hasRecordOfActivity"]["dpv:hasProcess"]
    told = process["accord:rule"]
    assert (told["dct:identifier"], told["accord:hash"]) == ("essai", rule_hash(rule).hex())
    assert process["accord:watchEveryMs"] == 86_400_000
    for language, words in (
        ("fr", "Seulement la réponse à : QF de 650 € ou moins ?"),
        ("en", "Only the answer to: Quotient of 650 € or less?"),
    ):
        assert words in str(page(document_, language))
    for name, value in (("dct:identifier", "autre"), ("accord:hash", "00" * 32), ("accord:signed", "x")):

        def altered(document: Document, name: str = name, value: str = value) -> None:
            document["dpv:hasRecordOfActivity"]["dpv:hasProcess"]["accord:rule"][name] = value

        assert not holds(world, resigned(world, text, altered))
    plain = await world.ledger.receipt(await world.give())
    assert "accord:rule" not in plain and "accord:watch" not in plain

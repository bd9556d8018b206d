"""Each promise, tried on a stage of its own. A check raises `Broken` with what it saw, or `Skipped` with why it cannot be tried."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace

from connectors.contract import Failure
from connectors.core.description import Same
from connectors.rest.descriptions import compositions
from connectors.sdk.kit.question import question
from connectors.sdk.kit.stage import SILENCE, Said, Stage, parts_told, refusal
from consent import certificates
from consent.core.facts import CALLS_MAX, Outcome, RequestKey
from exchange import wire
from exchange.core import sealing, topics
from exchange.core.decision import Ask
from exchange.core.errors import Code
from exchange.core.identity import Identity, canonical
from exchange.core.referentials import purposes_of
from exchange.outcomes import Answer
from exchange.schemas import catalogue
from exchange.sealing import public_bytes, seal_identity

Check = Callable[[Stage], Awaitable[None]]
RETRY_S = 60
GARBAGE = (
    Said(200, b""),
    Said(200, b"\xff\xfe\x00"),
    Said(200, b"[]"),
    Said(200, b'{"data": 1}'),
    Said(200, b'{"data": {"conformance": true}}'),
    Said(200, b"<html></html>", {"content-type": "text/html"}),
    Said(200, b'{"data": ' + b"[" * 20_000),
)


class Broken(Exception):
    """The promise does not hold; says what was seen, nothing personal."""


class Skipped(Exception):
    """Cannot be tried with these cases; says why."""


def _calls(stage: Stage, least: int, most: int) -> None:
    """Of each operation; a composed data set has several."""
    made = [len(times) for times in stage.state.times.values()]
    if not all(least <= count <= most for count in made) or (least and len(made) != len(stage.play.cases)):
        raise Broken(f"{len(stage.state.calls)} calls")


def _all(stage: Stage, answer: Answer, status: str, code: str = "", data: bool = True) -> None:
    """The answer says this, in all its parts."""
    for part in parts_told(answer, stage.play.data_set):
        if (part.status, part.code, part.data is not None) != (status, code, data):
            raise Broken(f"{part.status} {part.code}")


def _ended(outcome: Outcome, *allowed: str) -> None:
    if f"{outcome.code}/{outcome.reason}" not in allowed:
        raise Broken(f"{outcome.code}/{outcome.reason}")


async def answered(stage: Stage) -> None:
    answer = await stage.answer(await stage.ask(await stage.agreement()))
    _all(stage, answer, "found")
    _calls(stage, 1, 1)


async def minimised(stage: Stage) -> None:
    schema = catalogue().codec_of_data_set(stage.play.data_set).schema
    roots: dict[str, set[str]] = {}
    for field in schema["fields"]:
        roots.setdefault(field["scope"], set()).add(field["name"])
    if len(roots) < 2:
        raise Skipped("one scope")
    consent = await stage.agreement()
    for scope, opened in roots.items():
        answer = await stage.answer(await stage.ask(consent, scopes=[scope]))
        if answer.status != "found" or not (answer.data or {}).keys() <= opened:
            raise Broken(f"{scope}: {answer.status}")


async def ruled(stage: Stage) -> None:
    plain = await stage.answer(await stage.ask(await stage.agreement()))
    document = question(stage.play.data_set, _found_in(plain, stage.play.data_set))
    if document is None:
        raise Skipped("no field with one value")
    rule = await stage.bus.ledger.sign_rule(document)
    consent = await stage.agreement(rule=rule)
    stage.state.says(stage.play.found, refusal(404, "35003"))
    for result in (True, None):
        answer = await stage.answer(await stage.ask(consent, rule=rule))
        if answer.rule is None or answer.rule.result is not result or answer.data is not None:
            raise Broken(f"{answer.status}: {answer.rule}")
    told = [record for record in stage.records(topics.answers(stage.bus.provider)) if record.key == consent]
    if len({len(wire.read_answer(record).outer) for record in told}) != 1:
        raise Broken("sizes that tell")
    _ended(await stage.outcome(await stage.ask(consent)), "refused/rule_mismatch")
    if {len(times) for times in stage.state.times.values()} != {2}:  # of the parts it reads, where there are several
        raise Broken(f"{len(stage.state.calls)} calls")


def _found_in(answer: Answer, data_set: str) -> dict[str, object]:
    """What the State said, without the bus's own words on each part of a composed data set."""
    data = answer.data or {}
    return {name: {"data": part["data"]} for name, part in data.items()} if data_set in compositions() else data


def _somebody_else(identity: Identity) -> Identity:
    """Another person or company, of the same shape: no name, date or number in common."""
    other = {
        "nom_naissance": "CONFORMITE", "nom_usage": "", "prenoms": ("Wilhelmine",), "date_naissance": "1901-02-03",
        "numero_fiscal": "9999999999999", "ine": "9999999999Z", "identifiant_france_travail": "9999999Z", "siret": "99999999900018",
    }  # fmt: skip
    return replace(identity, **{name: value for name, value in other.items() if getattr(identity, name)})  # type: ignore[arg-type]  # the fields' own types


def _designation(identity: Identity) -> str:
    """What must be in every call about this person or company."""
    numbers = (identity.numero_fiscal, identity.ine, identity.identifiant_france_travail, identity.siret[:9])
    return next((text for text in (identity.nom_naissance, *numbers) if text), "")


async def own_person(stage: Stage) -> None:
    first, second = stage.play.identity, _somebody_else(stage.play.identity)
    for asked, other in ((first, second), (second, first)):
        stage.state.says(refusal(404, "35003"))
        await stage.outcome(await stage.ask(await stage.agreement(asked)))
        _calls(stage, 1, 1)
        for _, call in stage.state.calls:
            if _designation(asked) not in call or _designation(other) in call:
                raise Broken("the call designates somebody else")


async def _sealed(stage: Stage, said: Said, code: str, status: str) -> None:
    consent = await stage.agreement()
    await stage.outcome(await stage.ask(consent))
    stage.state.says(said)
    request = await stage.ask(consent)
    outcome = await stage.outcome(request)
    if (outcome.code, outcome.reason, outcome.provider_code) != ("released", "", ""):
        raise Broken(f"{outcome.code}/{outcome.reason}")
    _all(stage, stage.bus.sdk.open(request, outcome), status, code, data=False)
    found, other = stage.outers()
    if (found - other) % sealing.PADDING_BYTES:
        raise Broken(f"{found} and {other} bytes")


async def not_found(stage: Stage) -> None:
    await _sealed(stage, refusal(404, "35003"), "35003", "not_found")


async def refused(stage: Stage) -> None:
    gateway = stage.play.cases[0][0].family == "dgfip"
    await _sealed(stage, refusal(400 if gateway else 422, "00355"), "00355", "refused")


async def duplicate(stage: Stage) -> None:
    consent, request_id = await stage.agreement(), os.urandom(16)
    await stage.bus.pause(f"connector.{stage.bus.provider}")
    first = await stage.ask(consent, request_id=request_id)
    await stage.ask(consent, request_id=request_id)
    topic = topics.tasks(stage.bus.provider)
    await stage.until(lambda: len(stage.records(topic)) >= 2)
    await stage.bus.resume(f"connector.{stage.bus.provider}")
    await stage.outcome(first)
    for record in stage.records(topic):
        message = wire.message("exchange-task", record.key, record.value, request_id.hex())
        await stage.bus.broker.send({(topic, record.partition): [message]})
    await stage.bus.clock.sleep(10)
    _calls(stage, 1, 1)
    told = [wire.read_outcome(record) for record in stage.records(topics.outcomes(stage.bus.operator))]
    if len({(outcome.code, outcome.inner) for outcome in told}) != 1:
        raise Broken("several outcomes")


async def timeout(stage: Stage) -> None:
    stage.state.says(SILENCE)
    outcome = await stage.fresh()
    _ended(outcome, "failed/provider_unavailable", "failed/provider_error", "expired/deadline_passed")
    _calls(stage, 1, CALLS_MAX)
    stage.state.says(stage.play.found)
    _ended(await stage.fresh(), "released/")


async def withdrawn(stage: Stage) -> None:
    consent = await stage.agreement()

    async def leave() -> None:
        await stage.bus.withdraw(consent)

    busy = refusal(409, "00015")._replace(meanwhile=leave)
    stage.state.says(busy, stage.play.found)
    _ended(await stage.outcome(await stage.ask(consent)), "refused/withdrawn")
    _calls(stage, 1, 1)


async def bad_payload(stage: Stage) -> None:
    for said in GARBAGE:
        stage.state.says(said)
        outcome = await stage.fresh()
        if outcome.code != "failed":
            raise Broken(f"{outcome.code} for {str(said.body)[:18]}")
    stage.state.says(stage.play.found)
    _ended(await stage.fresh(), "released/")


async def conflict_409(stage: Stage) -> None:
    stage.state.says(refusal(409, "00015"), stage.play.found)
    _ended(await stage.fresh(), "released/")
    _calls(stage, 2, 2)


async def too_many_429(stage: Stage) -> None:
    stage.state.says(refusal(429, "00429", retry_after="7"), stage.play.found)
    _ended(await stage.fresh(), "released/")
    _calls(stage, 2, 2)
    _not_before(stage, 7)


def _not_before(stage: Stage, seconds: int) -> None:
    for first_ms, second_ms in stage.state.times.values():
        if second_ms - first_ms < 1000 * seconds:
            raise Broken(f"called again after {(second_ms - first_ms) / 1000:.1f} s")


async def gateway_502(stage: Stage) -> None:
    stage.state.says(refusal(502, "37999"))
    outcome = await stage.fresh()
    _ended(outcome, "failed/provider_unavailable", "failed/provider_error")
    if outcome.provider_code != "37999":
        raise Broken("without the State's code")
    _calls(stage, 1, CALLS_MAX)


async def gateway_504(stage: Stage) -> None:
    stage.state.says(refusal(504, "37002"), stage.play.found)
    _ended(await stage.fresh(), "released/")
    _calls(stage, 2, 2)


async def wrong_person(stage: Stage) -> None:
    consent = await stage.agreement()
    capsule = stage.bus.wallet.capsule(consent)
    if capsule is None:
        raise Broken("no capsule")
    other = capsule._replace(identity=canonical(_somebody_else(stage.play.identity)))
    _ended(await stage.outcome(await stage.ask(consent, capsule=other)), "refused/subject_mismatch")
    _calls(stage, 0, 0)


async def somebody_else(stage: Stage) -> None:
    if not any(_names(description.about, case.payload, stage.play.identity) for description, case in stage.play.cases):
        raise Skipped("the State's answer names nobody")
    outcome = await stage.outcome(await stage.ask(await stage.agreement(_somebody_else(stage.play.identity))))
    _ended(outcome, "failed/wrong_person")


def _names(about: object, payload: bytes, identity: Identity) -> bool:
    text, name = payload.decode("utf-8", "replace").casefold(), identity.nom_naissance.casefold()
    return isinstance(about, Same) or (about is not None and bool(name) and name in text)


async def extra_parameter(stage: Stage) -> None:
    play = stage.play
    for extra in ({"nomNaissance": "CONFORMITE"}, {"conformance": "1"}):
        api = stage.service.apis[play.data_set]
        for description, _ in play.cases:
            asked = play.parameters | extra
            reading = await api.fetch(description.data_set, play.identity, stage.bus.recipient, asked)
            if not isinstance(reading, Failure):
                raise Broken(type(reading).__name__)
    _calls(stage, 0, 0)


async def deadline(stage: Stage) -> None:
    connector = f"connector.{stage.bus.provider}"
    await stage.bus.pause(connector)
    request = await stage.ask(await stage.agreement(), ttl_s=2)
    await stage.bus.clock.sleep(4)
    await stage.bus.resume(connector)
    _ended(await stage.outcome(request), "expired/deadline_passed")
    await stage.bus.clock.sleep(5)
    _calls(stage, 0, 0)
    stage.state.says(SILENCE)
    outcome = await stage.outcome(await stage.ask(await stage.agreement(), ttl_s=5))
    _ended(outcome, "expired/deadline_passed", "failed/provider_unavailable")
    made = len(stage.state.calls)
    await stage.bus.clock.sleep(60)
    if len(stage.state.calls) != made:
        raise Broken("called after the deadline")


async def restart(stage: Stage) -> None:
    stage.state.says(refusal(502, "04501", retry_in_s=RETRY_S), stage.play.found)
    request = await stage.ask(await stage.agreement(), ttl_s=10 * RETRY_S)
    await stage.until(lambda: stage.records(topics.retries(stage.bus.provider)), RETRY_S // 2)
    await stage.bus.restart_connector()
    _ended(await stage.outcome(request), "released/")
    _calls(stage, 2, 2)
    _not_before(stage, RETRY_S)


async def unknown_data_set(stage: Stage) -> None:
    bus, play = stage.bus, stage.play
    name = f"{bus.provider}.conformance.v1"
    reading = await stage.service.apis[play.data_set].fetch(name, play.identity, bus.recipient, {})
    if not isinstance(reading, Failure):
        raise Broken(type(reading).__name__)
    until_ms = bus.clock.now_ms() + 86_400_000
    await bus.ledger.habilitate(bus.recipient, name, purposes_of(name)[0], ("conformance",), "conformance", until_ms)
    consent = await bus.give(play.identity, provider=bus.provider, data_set=name, scopes=("conformance",))
    key = RequestKey(bus.operator, consent, os.urandom(16))
    message = wire.message("exchange-task", consent, await _task(stage, key, name), key.request.hex())
    await bus.broker.send({(topics.tasks(bus.provider), 0): [message]})
    verdicts: list[str] = []

    def told() -> bool:
        read = [wire.read_verdict(record) for record in stage.records(topics.VERDICTS)]
        verdicts[:] = [verdict.reason for verdict in read if verdict.key == key]
        return bool(verdicts)

    await stage.until(told)
    if verdicts[:1] != [Code.DATA_SET_UNKNOWN]:
        raise Broken(", ".join(verdicts) or "no verdict")
    _calls(stage, 0, 0)


async def _task(stage: Stage, key: RequestKey, data_set: str) -> bytes:
    """A task that no gate would have let through."""
    bus = stage.bus
    capsule = bus.wallet.capsule(key.authorisation)
    if capsule is None:
        raise Broken("no capsule")
    ask = wire.write_ask(Ask(bus.recipient, data_set, purposes_of(data_set)[0], ("conformance",), ()))
    digest = sealing.request_digest(key.operator, key.authorisation, key.request, sealing.ask_hash(ask))
    provider = next(entry for entry in await bus.ledger.directory() if entry.kind == "provider")
    certificates.read(capsule.certificate, public_bytes(bus.keys.certificate))
    body = {
        "request_id": key.request, "authorisation_id": key.authorisation, "operator": key.operator.encode(),
        "deadline_ms": (bus.clock.now_ms() + 300_000).to_bytes(8, "big"), "ask": ask,
        "certificate_hash": certificates.certificate_hash(capsule.certificate), "certificate": b"",
        "identity": seal_identity(provider.public_key, digest, capsule.salt, capsule.identity),
    }  # fmt: skip
    return wire.write("exchange-task", body)


CHECKS: dict[str, Check] = {
    "answered": answered,
    "minimised": minimised,
    "rule": ruled,
    "own_person": own_person,
    "not_found": not_found,
    "refusal": refused,
    "duplicate": duplicate,
    "timeout": timeout,
    "withdrawn": withdrawn,
    "bad_payload": bad_payload,
    "conflict_409": conflict_409,
    "too_many_429": too_many_429,
    "gateway_502": gateway_502,
    "gateway_504": gateway_504,
    "wrong_person": wrong_person,
    "somebody_else": somebody_else,
    "extra_parameter": extra_parameter,
    "deadline": deadline,
    "restart": restart,
    "unknown_data_set": unknown_data_set,
}
"""By the promise's name."""

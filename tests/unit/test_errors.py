"""The closed catalogue: every code has its words, and every code is given by something."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import typer
from starlette.applications import Starlette
from typer.testing import CliRunner

from connectors.contract import Failure, Found, Reading, Retry
from consent import paper
from consent.core import record as receipt_text
from consent.core.facts import DeadLetter, Evidence, Outcome, Representation, State, Submission, Tokens
from consent.core.query import Officer, Query
from consent.core.rules import REFUSAL, usable
from consent.grants import ASSISTED_A_DAY_MAX
from consent.issuers import Issuer, Issuers
from consent.keys import BadKeyFile, ephemeral, open_keys
from consent.keys import files as keys_files
from consent.ledger import Ledger
from consent.stores.engine import open_sqlite
from exchange import npm, outcomes, rules, wire
from exchange.cli import app, show
from exchange.clock import SystemClock
from exchange.core import topics
from exchange.core.datapass.mapping import Rules
from exchange.core.decision import DataSet, instant, standing
from exchange.core.errors import CATALOGUE, Code
from exchange.core.identity import BadIdentity, canonical
from exchange.core.referentials import purposes_of
from exchange.datapass.desk import Desk
from exchange.datapass.memory import Memory
from exchange.datapass.server import Receiver
from exchange.franceconnect import FranceConnect, NotIdentified
from exchange.hpke import KeyPair
from exchange.introduction import record, terms
from exchange.locks import InUse
from exchange.outcomes import (
    AwaitsPerson,
    ConsentRequired,
    ConsentWithdrawn,
    ExchangeError,
    NothingWaits,
    PreviewRejected,
    UnknownDataSet,
)
from exchange.places import Places, RoleFailed
from exchange.ports import BadStore, Message, Recovering, Refused
from exchange.sealing import public_bytes
from exchange.settings import Settings
from exchange.testing import MemoryBus, VirtualClock
from exchange.trust import Trust
from portal import theme
from portal.api.errors import problem_of
from portal.console import dead_letters
from portal.core import cursors
from portal.core.idempotency import Met, judge
from portal.core.login import Going, NotLoggedIn, Provider, came_back
from portal.core.theme import DECLARATION
from portal.identity.accounts import Directory, admit
from portal.store import open_store
from portal.web.pages import Asked, Page, Pages
from portal.web.sessions import Sessions
from tests import franceconnect, receipts
from tests.portal.api.stand import open_stand
from tests.portal.stand import portal
from tests.world import BURSARY, JEANNE, PAUL, QUOTIENT, RECIPIENT, ScriptedApi, World, outcome_of, publish, until

DATA_SET = "cnaf.quotient-familial.v1"
Producer = Callable[[], Awaitable[str]]


# The catalogue


def test_every_code_has_an_entry_and_nothing_else_has() -> None:
    """Codes and catalogue are one list."""
    assert set(CATALOGUE) == set(Code)


@pytest.mark.parametrize("code", list(Code))
def test_every_entry_says_what_happened_and_what_to_do_in_both_languages(code: Code) -> None:
    """Neither empty nor equal, in lower case, without full stop, without a place for a value."""
    entry = CATALOGUE[code]
    assert entry.origin in ("caller", "citizen", "provider", "bus")
    texts = [entry.cause("fr"), entry.cause("en"), entry.todo("fr"), entry.todo("en")]
    assert entry.cause("fr") != entry.cause("en") and entry.todo("fr") != entry.todo("en")
    for text in texts:
        assert text.strip() == text != ""
        assert text[0].islower()
        assert not text.endswith(".") and not re.search(r"[{}%<>\n]|\$", text)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code.value)


def test_codes_are_told_apart_by_their_words() -> None:
    """Two codes never have the same cause."""
    for language in ("fr", "en"):
        assert len({entry.cause(language) for entry in CATALOGUE.values()}) == len(Code)


def test_every_code_is_an_error_of_the_sdk() -> None:
    """An outcome with any reason becomes an error with its code, cause and next step; cut is withdrawn."""
    outcome = Outcome(None, bytes(32), "refused", "none", "", "", 0, 0)  # type: ignore[arg-type]  # the key plays no part
    for code in Code:
        found = outcomes.error(Outcome(*[*_fields(outcome)[:4], code.value, *_fields(outcome)[5:]]))
        assert isinstance(found, ExchangeError) and found.code is code
        assert CATALOGUE[code].cause_en in str(found) and found.todo == CATALOGUE[code].todo_en
    cut = Outcome(*[*_fields(outcome)[:2], "released", "cut", *_fields(outcome)[4:]])
    assert isinstance(outcomes.error(cut), ConsentWithdrawn)


def _fields(outcome: Outcome) -> list[Any]:
    return [getattr(outcome, name) for name in outcome.__struct_fields__]


# Who gives each code


PRODUCERS: dict[Code, Producer] = {}


def gives(*codes: Code) -> Callable[[Callable[[Code], Awaitable[str]]], Callable[[Code], Awaitable[str]]]:
    """Marks how these codes come about."""

    def note(produce: Callable[[Code], Awaitable[str]]) -> Callable[[Code], Awaitable[str]]:
        PRODUCERS.update({code: lambda code=code: produce(code) for code in codes})  # type: ignore[misc]
        return produce

    return note


async def reason(api: ScriptedApi, terms: dict[str, Any] | None = None, **ask: Any) -> str:
    """Why one request on a whole bus ended without an answer."""
    async with MemoryBus(api) as bus:
        consent = await bus.give(JEANNE, **(terms or {}))
        request = await bus.sdk.request(
            DATA_SET, consent=consent, purpose=ask.pop("purpose", "tarification-cantine"), **ask
        )
        return (await request.outcome()).reason


@gives(*REFUSAL.values())
async def state(code: Code) -> str:
    """Each state but live, in the rule that gate, attempt and release share."""
    states = [s for s, c in REFUSAL.items() if c is code]
    assert len(states) == 1 and states[0] is not State.LIVE
    return usable(states[0], 0, 10, 0, 1, 5) or ""


ASKED: dict[Code, dict[str, Any]] = {
    Code.PARAMETER_UNKNOWN: {"parameters": {"nomNaissance": "X"}},
    Code.TTL_OUT_OF_BOUNDS: {"ttl_s": 0.5},
    Code.PURPOSE_MISMATCH: {"purpose": "tarification-periscolaire"},
    Code.SCOPE_EXCEEDED: {"terms": {"scopes": ("cnaf_enfants",)}},
    Code.WATCH_EXCEEDED: {"watch_every_ms": 3_600_000},
    Code.NOT_YET_VALID: {"terms": {"not_before_ms": 1_900_000_000_000, "not_after_ms": 1_900_000_000_001}},
}


@gives(*ASKED)
async def gate(code: Code) -> str:
    """The gate refuses on the ledger's word."""
    return await reason(ScriptedApi(), **ASKED[code])


@gives(Code.DATA_SET_UNKNOWN, Code.AUTHORISATION_UNKNOWN)
async def sdk(code: Code) -> str:
    """The SDK knows already."""
    async with MemoryBus(ScriptedApi()) as bus:
        name = "cnaf.autre.v1" if code is Code.DATA_SET_UNKNOWN else DATA_SET
        with pytest.raises((UnknownDataSet, ConsentRequired)) as error:
            await bus.sdk.request(name, consent=bytes(16), purpose="tarification-cantine")
        return error.value.code


@gives(Code.RECIPIENT_MISMATCH, Code.DATA_SET_MISMATCH)
async def decision(code: Code) -> str:
    """An agreement given to somebody else, or for something else: one data set is not enough to show it on a bus."""
    world = await World.open()
    (held,) = await world.ledger.lookup([await world.give()])
    assert held is not None
    data_sets = {
        name: DataSet(name, "cnaf", frozenset(held.scopes), frozenset()) for name in (held.data_set, "other.v1")
    }
    ask = wire.Ask(RECIPIENT, held.data_set, held.purpose, held.scopes, ())
    changed = ask._replace(recipient="x") if code is Code.RECIPIENT_MISMATCH else ask._replace(data_set="other.v1")
    return standing(changed, "211300553", held, data_sets).reason or ""


@gives(Code.RULE_MISMATCH)
async def ruled(_: Code) -> str:
    """The data, under an agreement to a rule's answer."""
    async with MemoryBus(ScriptedApi()) as bus:
        scopes = ("cnaf_quotient_familial",)
        rule = await bus.ledger.sign_rule(rules.shipped()["quotient-familial-650"])
        consent = await bus.give(JEANNE, rule=rule, scopes=scopes)
        request = await bus.sdk.request(DATA_SET, consent=consent, purpose="tarification-cantine", scopes=scopes)
        return (await request.outcome()).reason


@gives(Code.RULE_INVALID)
async def unsigned(_: Code) -> str:
    """An agreement to a rule that nobody signed."""
    world = await World.open()
    with pytest.raises(Refused) as refused:
        await world.give(rule=rules.shipped()["quotient-familial-650"].encode(), scopes=("cnaf_quotient_familial",))
    return refused.value.code


@gives(Code.DELEGATION_ABSENT, Code.HABILITATION_ABSENT)
async def register(code: Code) -> str:
    """Who may ask has changed since the agreement was given."""
    async with MemoryBus(ScriptedApi()) as bus:
        consent, now_ms = await bus.give(JEANNE), bus.clock.now_ms()
        if code is Code.DELEGATION_ABSENT:
            await bus.ledger.delegate(bus.recipient, bus.operator, now_ms)
        else:
            await bus.ledger.habilitate(bus.recipient, DATA_SET, "tarification-cantine", (), "", now_ms + 10**9)
        request = await bus.sdk.request(DATA_SET, consent=consent, purpose="tarification-cantine")
        return (await request.outcome()).reason


COLLECTED: dict[Code, tuple[dict[str, object], Evidence]] = {
    Code.NOTICE_MISSING: ({"basis": "legal"}, Evidence("online")),
    Code.ASSURANCE_TOO_LOW: ({"assurance": "eidas3"}, Evidence("online")),
    Code.EVIDENCE_MISSING: ({}, Evidence("phone")),
    Code.EVIDENCE_INVALID: ({}, Evidence("online", tokens=Tokens("a.b.c", "", b""))),
    Code.REPRESENTATION_INVALID: ({}, Evidence("online", representation=Representation("parent", canonical(PAUL)))),
    Code.AGENT_QUOTA: ({}, Evidence("paper", "agent-7", b"e" * 32)),
}


@gives(*COLLECTED)
async def collecting(code: Code) -> str:
    """An agreement without its notice, level or evidence, with a token nobody signed, by a wrong representative, or one too many."""
    world = await World.open()
    if code is Code.EVIDENCE_INVALID:
        known = Issuers(issuers=(Issuer("https://login.test", "citizen", {"keys": []}, {}),))
        world.ledger = Ledger(world.engine, world.keys, world.clock, lambda _: b"", lambda: known)
    changes, evidence = COLLECTED[code]
    agreed = terms(RECIPIENT, world.clock.now_ms(), **changes)
    for number in range(ASSISTED_A_DAY_MAX + 1):
        try:
            await record(world.ledger, world.wallet, number.to_bytes(16, "big"), agreed, JEANNE, evidence)
        except Refused as refused:
            return refused.code
    return ""


@gives(Code.DEADLINE_PASSED)
async def deadline(_: Code) -> str:
    """Nobody answers in time."""
    async with MemoryBus(ScriptedApi()) as bus:
        await bus.pause("connector.cnaf")
        request = await bus.sdk.request(
            DATA_SET, consent=await bus.give(JEANNE), purpose="tarification-cantine", ttl_s=2
        )
        return (await request.outcome()).reason


@gives(Code.UNAVAILABLE)
async def silence(_: Code) -> str:
    """No outcome within the time the application gives."""
    async with MemoryBus(ScriptedApi()) as bus:
        await bus.pause("release")
        request = await bus.sdk.request(DATA_SET, consent=await bus.give(JEANNE), purpose="tarification-cantine")
        with pytest.raises(ExchangeError) as error:
            await request.answer(timeout_s=1)
        return error.value.code


READINGS: dict[Code, Reading] = {
    Code.PROVIDER_UNAVAILABLE: Retry("37002", 0.0),
    Code.PROVIDER_ERROR: Failure("", "garbage"),
    Code.WRONG_PERSON: Failure("", "wrong_person"),
}


@gives(*READINGS)
async def provider(code: Code) -> str:
    """What the State says, or does not."""
    return await reason(ScriptedApi(READINGS[code]))


@gives(Code.SUBJECT_MISMATCH, Code.IDENTITY_UNOPENABLE)
async def identity(code: Code) -> str:
    """Somebody else's identity; an identity sealed to another provider."""
    async with MemoryBus(ScriptedApi(Found(QUOTIENT))) as bus:
        mismatch = code is Code.SUBJECT_MISMATCH
        request = await publish(
            bus, await bus.give(JEANNE), PAUL if mismatch else JEANNE, None if mismatch else KeyPair.generate()
        )
        return (await outcome_of(bus, request)).reason


@gives(Code.CERTIFICATE_INVALID)
async def certificate(_: Code) -> str:
    """A task whose certificate no ledger signed, and a directory entry no organisation signed."""
    async with MemoryBus(ScriptedApi()) as bus:
        body = {
            "request_id": b"r" * 16, "authorisation_id": b"a" * 16, "operator": bus.operator.encode(),
            "deadline_ms": (bus.clock.now_ms() + 60_000).to_bytes(8, "big"), "certificate_hash": bytes(32), "certificate": b"none",
            "ask": b"", "identity": b"",
        }  # fmt: skip
        await bus.broker.send({(topics.tasks("cnaf"), 0): [Message(b"a" * 16, wire.write("exchange-task", body), [])]})
        return (await outcome_of(bus, b"r" * 16)).reason


@gives(Code.CONFLICT, Code.CERTIFICATE_OUTDATED, Code.ATTEMPTS_EXHAUSTED)
async def ledger(code: Code) -> str:
    """Another ask under a known id; a narrowed agreement; a fourth attempt."""
    world = await World.open()
    asked, answer = await world.answered(await world.give())
    if code is Code.CONFLICT:
        await world.told(answer)
        _, other = await world.answered(asked.key.authorisation, request=asked.key.request, month="4")
        return (await world.told(other)).reason
    if code is Code.CERTIFICATE_OUTDATED:
        await world.ledger.narrow(asked.key.authorisation, ("cnaf_enfants",), asked.key.operator)
        (held,) = await world.ledger.lookup([asked.key.authorisation])
        assert held is not None and instant(held, asked.certificate.hash, 5_000, world.clock.now_ms()).reason is code
        return (await world.told(answer)).reason
    return [await world.attempt(asked) for _ in range(3)][-1].reason


@gives(Code.BAD_SEAL, Code.NO_ATTEMPT)
async def seal(code: Code) -> str:
    """An answer with a forged tag; an answer to a request nobody attempted."""
    world = await World.open()
    asked = world.ask(await world.give())
    if code is Code.BAD_SEAL:
        await world.attempt(asked)
    (dead,) = await world.release(world.answer(asked, mac=bytes(32)))
    assert isinstance(dead, DeadLetter)
    return dead.reason


@gives(Code.NOTHING_WAITS)
async def pushed(_: Code) -> str:
    """An answer that came with its outcome is opened as if it waited."""
    async with MemoryBus(ScriptedApi()) as bus:
        request = await bus.sdk.request(DATA_SET, consent=await bus.give(JEANNE), purpose="tarification-cantine")
        await request.answer()
        with pytest.raises(NothingWaits) as nothing:
            await bus.sdk.pull(Submission(request.key, request.digest))
        return nothing.value.code


@gives(Code.PREVIEW_PENDING, Code.PREVIEW_REJECTED)
async def preview(code: Code) -> str:
    """The person is shown what would be handed over, and has not said yet, or says no."""
    data_set = "cnous.etudiant-boursier.v2"
    async with MemoryBus(ScriptedApi(Found(BURSARY)), provider="cnous") as bus:
        consent = await bus.give(JEANNE, data_set=data_set)
        request = await bus.sdk.request(data_set, consent=consent, purpose=purposes_of(data_set)[0])
        if code is Code.PREVIEW_REJECTED:
            await bus.preview(request, accepted=False)
        with pytest.raises(AwaitsPerson if code is Code.PREVIEW_PENDING else PreviewRejected) as refused:
            await request.answer()
        return refused.value.code


@gives(Code.OFFICER_UNKNOWN, Code.REASON_MISSING, Code.OUTSIDE_PERIMETER, Code.NOTHING_FOUND)
async def officer(code: Code) -> str:
    """A query by nobody, without reason, about another collectivity; a request that does not exist."""
    ledger = (await World.open()).ledger
    await ledger.appoint(Officer("dpo", (RECIPIENT,), 2**52))
    who = {Code.REASON_MISSING: "", Code.OFFICER_UNKNOWN: "quidam"}.get(code, "dpo")
    basis, query = ledger.basis(who, "plainte", bytes(16)), ledger.query(who, "plainte", Query(recipient="9" * 14))
    asked, other = (basis, query) if code is Code.NOTHING_FOUND else (query, basis)
    other.close()
    with pytest.raises(Refused) as refused:
        await asked
    return refused.value.code


BYTES: dict[Code, tuple[str, Message]] = {
    Code.BAD_FRAME: (topics.VERDICTS, Message(b"", b"garbage", [])),
    Code.BAD_AVRO: (topics.requests("211300553"), Message(b"", b"garbage", [])),
    Code.BAD_KEY: (
        topics.answers("cnaf"),
        Message(
            b"",
            wire.write_answer(wire.RequestKey("211300553", bytes(16), bytes(16)), bytes(32), bytes(32), b"", b""),
            [],
        ),
    ),
}


@gives(*BYTES)
async def dead_letter(code: Code) -> str:
    """Bytes nobody can use, on a topic."""
    async with MemoryBus(ScriptedApi()) as bus:
        topic, message = BYTES[code]
        await bus.broker.send({(topic, 0): [message]})
        letters = await until(bus, lambda: bus.broker.records(topics.DEAD_LETTERS) or None)
        return str(wire.read("dead-letter", letters[0].value)["reason"])


# The command line


COMMANDS: dict[Code, list[str]] = {
    Code.NO_LEDGER: ["ledger", "verify", "--data", "{folder}"],
    Code.BAD_CHECKPOINT: ["ledger", "verify", "--data", "{folder}"],
    Code.NO_TOKEN: ["connector", "run", "cnaf", "--data", "{folder}", "--token-file", "{folder}/absent"],
    Code.BAD_CASES: ["sandbox", "--cases", "{folder}"],
    Code.BAD_REFERENTIAL: ["referentials", "build", "{folder}", "--data", "{folder}"],
    Code.NPM_ABSENT: ["referentials", "fetch", "--data", "{folder}"],
    Code.THEME_UNDECLARED: ["theme", "dsfr", "--declare", "--data", "{folder}"],
    Code.DATAPASS_UNAVAILABLE: [
        "habilitation",
        "reconcile",
        "--data",
        "{folder}",
        "--client-file",
        "{folder}/client",
        "--url",
        "http://127.0.0.1:1",
    ],
}


@gives(*COMMANDS)
async def command(code: Code) -> str:
    """A command in a folder that does not have what it needs, as a program runs it."""
    with TemporaryDirectory() as folder:
        places = Places(Path(folder))
        if code is Code.BAD_CHECKPOINT:
            keys = open_keys(places.ledger_keys, "accord.test/x")
            open_sqlite(places.store).dispose()
            other = ephemeral("accord.test/x")
            Trust(other.verifier, public_bytes(other.certificate), public_bytes(other.registrar)).save(places.trust)
            assert keys.origin == other.origin
        elif code is Code.DATAPASS_UNAVAILABLE:
            keys_files.write(places.root / "client", b"id secret")
        elif code is Code.BAD_CASES:
            (places.root / "case.yaml").write_text("params: none")
        argv = [argument.format(folder=folder) for argument in COMMANDS[code]]
        env = {"PATH": folder} if code is Code.NPM_ABSENT else {}
        done = await asyncio.to_thread(partial(CliRunner().invoke, app, [*argv, "--json"], env=env))
        assert done.exit_code in (2, 4, 5), done.output
        return str(json.loads(done.stdout.splitlines()[-1])["error"])


@gives(Code.THEME_ABSENT, Code.PACKAGE_UNAVAILABLE)
async def look(code: Code) -> str:
    """A theme that was declared and is not there; a package of which npm knows nothing."""
    with TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder), theme="dsfr")
        places = settings.places()
        places.dsfr.mkdir(parents=True)
        version = npm.read_lock(theme.LOCK).version
        said = {"entity": "Service", "siren": "130025265", "at": "2026-11-28T00:00:00Z", "version": version}
        (places.dsfr / DECLARATION).write_text(json.dumps(said))
        nothing = npm.Locked("./none", "0", "", "")
        with pytest.raises(Refused) as refused:
            theme.open_theme(places, settings) if code is Code.THEME_ABSENT else npm.fetch(nothing, places.dsfr)
    return refused.value.code


FRANCECONNECT: dict[Code, dict[str, Any]] = {
    Code.FRANCECONNECT_INVALID: {"aud": "teleservice-voisin"},
    Code.FRANCECONNECT_EXPIRED: {"active": False},
    Code.FRANCECONNECT_USED: {},
    Code.FRANCECONNECT_UNAVAILABLE: {},
}


@gives(*FRANCECONNECT)
async def france_connect(code: Code) -> str:
    """A token of another service, one that has ended, one read twice, and a FranceConnect that fails."""
    with franceconnect.serving(franceconnect.Provider(VirtualClock())) as provider:
        token = provider.login("jeton", **FRANCECONNECT[code])
        provider.status = 500 if code is Code.FRANCECONNECT_UNAVAILABLE else 200
        async with FranceConnect(provider.settings, provider.clock) as reader:
            if code is Code.FRANCECONNECT_USED:
                await reader.introspect(token)
            with pytest.raises(NotIdentified) as refused:
                await reader.introspect(token)
    return refused.value.code


LOGIN: dict[Code, dict[str, str]] = {
    Code.LOGIN_REFUSED: {"error": "access_denied"},
    Code.LOGIN_INVALID: {"state": "another"},
    Code.LOGIN_EXPIRED: {"began_ms": "1"},
    Code.IDENTITY_PROVIDER_UNAVAILABLE: {"error": "server_error"},
    Code.NOT_ADMITTED: {},
}


@gives(*LOGIN)
async def logging_in(code: Code) -> str:
    """Somebody who turns back, another browser's answer, one too late, a provider in trouble, and an agent nobody entered."""
    changes = LOGIN[code]
    going = Going(
        client="fc", state="s", nonce="n", verifier="v", began_ms=int(changes.get("began_ms", 10**12)), role="agent"
    )
    try:
        came_back(Provider("https://fc.test", "", "", "", ""), going, {"state": "s", "code": "c"} | changes, 10**12)
        admit(Directory(), going.role, "https://fc.test", "somebody")
    except NotLoggedIn as refused:
        return refused.code
    return ""


@gives(Code.BAD_WEBHOOK)
async def webhook(_: Code) -> str:
    """A call that nobody signed."""
    world = await World.open()
    receiver = Receiver(Desk(world.ledger, Memory(None), Rules(()), {}, world.clock), (bytes(16),))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(receiver.app()), base_url="http://receiver") as http:
        return str((await http.post("/", content=b"{}")).json()["error"])


@gives(Code.BAD_RECEIPT, Code.RECEIPT_PENDING, Code.PAGE_NOT_COMPARED)
async def receipt(code: Code) -> str:
    """A receipt of another log; one that too few witnesses have seen; a page drawn by another template."""
    world = await World.open()
    text = await world.ledger.receipt(await receipts.give(world))
    key = str((ephemeral("accord.test/x") if code is Code.BAD_RECEIPT else world.keys).verifier)
    argv = ["receipt", "verify", "--vkey", key, "--witness", str(receipts.WITNESS)]
    with TemporaryDirectory() as folder:
        file = Path(folder) / "receipt"
        file.write_text(text, "utf-8")
        if code is Code.PAGE_NOT_COMPARED:
            older = receipts.resigned(world, text, lambda document: document.update({"accord:edition": "0" * 16}))
            file.write_bytes(paper.draw(receipt_text.parse(older.decode()), "fr"))
        quorum = ["--quorum", "1"] if code is Code.RECEIPT_PENDING else []
        done = await asyncio.to_thread(CliRunner().invoke, app, [*argv, *quorum, str(file), "--json"])
    assert done.exit_code == show.REFUSED, done.output
    return str(json.loads(done.stdout.splitlines()[-1])["error"])


@gives(Code.LOG_UNUSABLE)
async def unusable(_: Code) -> str:
    """A copy of the public log whose head nobody signed."""
    world = await World.open()
    with TemporaryDirectory() as folder:
        (Path(folder) / "checkpoint").write_text("not a note")
        with pytest.raises(Refused) as refused:
            await world.ledger.recover(folder)
    return str(refused.value.code)


@gives(Code.BAD_FORM)
async def form(_: Code) -> str:
    """A form without the token of its page."""

    async def handler(_: Asked) -> Page:
        raise AssertionError("not without its token")

    pages = Pages(Sessions(open_store(None), SystemClock().now_ms), "http://portal")
    app = Starlette(routes=pages.action("/change", handler))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://portal") as http:
        found = re.search(r"<code>(\w+)</code>", (await http.post("/change", data={"csrf": "x"})).text)
    assert found is not None
    return found[1]


MET: dict[Code, Exception] = {
    Code.RECOVERING: Recovering(recorded=True),
    Code.DATA_IN_USE: InUse(Path("folder")),
    Code.ROLE_FAILED: RoleFailed("gate", Path("gate.log")),
    Code.BAD_KEY_FILE: BadKeyFile("log.key: 0 bytes instead of 32"),
    Code.BAD_STORE: BadStore("fsync=off"),
    Code.BAD_IDENTITY: BadIdentity("date_naissance"),
}


@gives(*MET)
async def met(code: Code) -> str:
    """What a command may meet while it works, said in one line."""
    said = io.StringIO()
    with redirect_stdout(said), pytest.raises(typer.Exit), show.explained(as_json=True):
        raise MET[code]
    return str(json.loads(said.getvalue())["error"])


ASKED_BY_HTTP: dict[Code, tuple[str, str, dict[str, Any]]] = {
    Code.BAD_JSON: ("POST", "/requests", {"content": b"{", "headers": {"content-type": "application/json"}}),
    Code.BAD_FIELD: ("POST", "/requests", {"json": {}}),
    Code.BAD_CURSOR: ("GET", "/events?after=AQ", {}),
    Code.PRECONDITION_FAILED: ("GET", "/me", {"headers": {"if-match": '"1"'}}),
    Code.TOO_LARGE: ("POST", "/requests", {"content": bytes((1 << 20) + 1)}),
    Code.MEDIA_TYPE: ("POST", "/requests", {"content": b"x"}),
    Code.NOT_ACCEPTABLE: ("GET", "/events", {"headers": {"accept": "image/png"}}),
    Code.TOKEN_INVALID: ("GET", "/me", {"token": "nobody's"}),
    Code.NOT_THERE: ("GET", "/nothing", {}),
    Code.METHOD_UNKNOWN: ("PUT", "/me", {}),
    Code.REQUEST_UNKNOWN: ("GET", f"/requests/{'0' * 32}", {}),
    Code.ADDRESS_REFUSED: ("POST", "/webhooks", {"json": {"url": "ftp://10.0.0.1/"}}),
}


@gives(*ASKED_BY_HTTP)
async def http_api(code: Code) -> str:
    """A call that is not as it should be."""
    method, path, more = ASKED_BY_HTTP[code]
    with TemporaryDirectory() as folder:
        async with open_stand(Path(folder)) as stand:
            return str((await stand.call(method, path, **more)).json()["code"])


@gives(Code.CLIENT_INVALID, Code.TOO_MANY)
async def http_client(code: Code) -> str:
    """An assertion that proves nobody; the next ones, too many."""
    with TemporaryDirectory() as folder:
        async with open_stand(Path(folder)) as stand:
            told = [
                (await stand.ask_token("a.b.c")).json()["code"]
                for _ in range(1 if code is Code.CLIENT_INVALID else 300)
            ]
            return str(told[-1] if code is Code.CLIENT_INVALID else next(one for one in told if one == code))


@gives(Code.CANCELLED)
async def cancelled(code: Code) -> str:
    """A request taken back by its operator, at the door, while its connector is away."""
    with TemporaryDirectory() as folder:
        async with open_stand(Path(folder)) as stand:
            await stand.bus.pause("connector.cnaf")
            consent = await stand.bus.give(JEANNE)
            request = await stand.bus.sdk.request(DATA_SET, consent=consent, purpose="tarification-cantine")
            await stand.call("POST", f"/requests/{request.key.request.hex()}/cancellation")
            return (await outcome_of(stand.bus, request.key.request)).reason


@gives(Code.KEY_REUSED, Code.IN_FLIGHT)
async def idempotency(code: Code) -> str:
    """A key met before, with another body, or before its first answer."""
    met = Met(b"one", 0, answered=False)
    return judge(met, b"other" if code is Code.KEY_REUSED else b"one", 1)


@gives(Code.INTERNAL)
async def http_bug(code: Code) -> str:
    """What nobody foresaw."""
    return problem_of(ZeroDivisionError()).code


@gives(Code.CURSOR_LAPSED)
async def lapsed(_: Code) -> str:
    """A cursor of what a topic no longer keeps."""
    with TemporaryDirectory() as folder:
        async with open_stand(Path(folder)) as stand:
            bus, topic = stand.bus, topics.outcomes(stand.bus.operator)
            for _ in range(2):
                bus.clock.advance(1)
                await bus.broker.send({(topic, 0): [Message(bytes(16), b"x", [])]})
            bus.broker.forget(topic, bus.clock.now_ms())
            cursor = cursors.write(stand.app.state.http.api.key("cursors"), bus.operator, {0: 0})
            return str((await stand.call("GET", "/events", params={"after": cursor})).json()["code"])


@gives(Code.HOST_UNKNOWN)
async def misdirected(_: Code) -> str:
    """A page asked for under another name than the portal's."""
    with TemporaryDirectory() as folder:
        async with portal(Path(folder)) as stand:
            return str((await stand.browser.get("/index.json", headers={"host": "elsewhere.test"})).json()["code"])


@gives(Code.RETRY_IMPOSSIBLE)
async def retry(_: Code) -> str:
    """An operator sends again what is no dead letter."""
    with TemporaryDirectory() as folder:
        async with portal(Path(folder)) as stand:
            with pytest.raises(Refused) as refused:
                await dead_letters.retry(stand.parts, dead_letters.Place("verdicts.v1", 0, 0), "operator")
    return refused.value.code


def test_every_code_has_a_producer() -> None:
    """100 % of the catalogue is reachable; a code nothing gives is removed."""
    assert set(PRODUCERS) == set(Code)


@pytest.mark.parametrize("code", list(Code))
async def test_every_code_is_given(code: Code) -> None:
    """Its producer gives it, here and now."""
    assert await PRODUCERS[code]() == code


async def test_a_refusal_of_the_ledger_carries_its_code() -> None:
    """`Refused` says the code and nothing else."""
    world = await World.open()
    with pytest.raises(Refused, match=f"^{Code.AUTHORISATION_UNKNOWN}$"):
        await world.ledger.withdraw(bytes(16), "withdrawn")

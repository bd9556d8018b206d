"""The data protection officer's queries: exact, proven, watched, and no further than the perimeter (I12)."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from sqlalchemy import delete, event, select, update

from consent.core import merkle, note, proof
from consent.core.facts import Channel, Evidence, State, Verdict
from consent.core.query import Activity, Fact, Found, Head, Officer, Query, Row
from consent.stores import tables as t
from consent.verify import policy, verify
from exchange.core.errors import Code
from exchange.core.identity import Identity, canonical
from exchange.core.rule import rule_hash
from exchange.data_sets import QUOTIENT_FAMILIAL
from exchange.introduction import PURPOSES, introduce_collectivity, terms
from exchange.ports import Refused
from exchange.rules import shipped
from exchange.wallet import Wallet
from tests.world import JEANNE, OPERATOR, PAUL, RECIPIENT, World, held, log_size

DPO, WHY = "dpo@ville.example", "plainte 2026-17"
FAR_MS = 2**52
OTHER = "21310555400017"


@pytest.fixture
async def watched(world: World) -> World:
    """A ledger with an officer for everything."""
    await world.ledger.appoint(Officer(DPO, (), FAR_MS))
    return world


async def subject(world: World, authorisation: bytes) -> bytes:
    with world.engine.begin() as connection:
        a = t.authorisation.c
        return bytes(connection.execute(select(a.subject_ref).where(a.id == authorisation)).scalar_one())


def proves(world: World, head: Head, fact: Fact) -> bool:
    """Whether the fact, as a tlog-proof, verifies offline under the log's verifier key."""
    receipt = proof.write(proof.Proof(fact.index, fact.path, head.checkpoint, fact.leaf))
    return verify(receipt.encode(), policy(str(world.keys.verifier)), 0).leaf == fact.leaf


async def questions(world: World) -> list[dict[str, Any]]:
    """What the ledger keeps of questions, opened with its own keys."""
    from consent.transaction import transaction

    with transaction(world.engine, world.keys, world.clock.now_ms()) as tx:
        rows = tx.connection.execute(select(t.leaf).where(t.leaf.c.kind == "queried").order_by(t.leaf.c.idx)).all()
        return [json.loads(tx.open_content(row)[1]) for row in rows]


async def population(world: World, count: int) -> None:
    """Authorisations that differ in all a query can ask about, at different times, some of them closed."""
    draw = random.Random(7)
    other = Wallet.new(OTHER, "213105554")
    await introduce_collectivity(world.ledger, other, world.clock.now_ms())
    for i in range(count):
        world.clock.advance(draw.randrange(1, 40_000_000))
        wallet = draw.choice((world.wallet, other))
        now_ms = world.clock.now_ms()
        channel: Channel = draw.choice(("online", "counter", "phone", "paper"))
        changes: dict[str, Any] = {"purpose": draw.choice(PURPOSES)}
        if draw.random() < 0.3:
            changes |= {
                "basis": "legal",
                "legal_reference": "CRPA L114-8",
                "notice_hash": bytes(32),
                "notice_version": "1",
            }
        evidence = Evidence(channel, f"agent-{draw.randrange(3)}", bytes(32))
        a = bytes([i // 256, i % 256]) * 8
        agreed = terms(wallet.recipient, now_ms, **changes)
        if draw.random() < 0.15:
            await world.ledger.refuse(a, agreed, evidence)
            continue
        person = Identity(f"NOM{draw.randrange(8)}", date_naissance="1980-01-02")
        await world.ledger.grant(a, agreed, canonical(person), evidence, wallet.operator)
        if draw.random() < 0.3:
            await world.ledger.withdraw(a, draw.choice(("withdrawn", "opposed", "erased")))


def everything(world: World) -> list[Any]:
    with world.engine.begin() as connection:
        return list(connection.execute(select(t.authorisation)))


FIELDS = {
    "subject": "subject_ref", "recipient": "recipient", "operator": "operator", "data_set": "data_set", "purpose": "purpose",
    "basis": "basis", "agent": "agent", "channel": "channel", "state": "state",
}  # fmt: skip


def naive(rows: list[Any], query: Query) -> list[bytes]:
    """The same question, asked of every row in plain Python."""
    found = [
        row
        for row in rows
        if all(getattr(row, column) == getattr(query, name) for name, column in FIELDS.items() if getattr(query, name))
        and query.from_ms <= row.at < (query.to_ms or FAR_MS)
    ]
    return [bytes(row.id) for row in sorted(found, key=lambda row: (row.at, row.id), reverse=True)]


async def pages(world: World, query: Query, *, proofs: bool = False) -> tuple[list[Row], list[Found]]:
    """All pages of an answer."""
    told: list[Found] = []
    while not told or told[-1].next:
        fields = {name: getattr(query, name) for name in query.__struct_fields__}
        found = await world.ledger.query(DPO, WHY, Query(**fields | {"after": told[-1].next if told else ""}), proofs)
        told.append(found)
        await world.ledger.published(note.parse_checkpoint(note.split(found.head.checkpoint)[0]).size)
    return [row for found in told for row in found.rows], told


@pytest.mark.parametrize(
    "asked", [{"agent": "agent-1"}, {"operator": OPERATOR}, {"subject": b"s" * 32}, {"recipient": RECIPIENT}]
)
async def test_a_question_that_names_somebody_reads_its_index(on_disk: World, asked: dict[str, Any]) -> None:
    """The log is held while an officer asks: nobody waits for all the authorisations to be read through."""
    await on_disk.ledger.appoint(Officer(DPO, (), FAR_MS))
    seen: list[tuple[str, Any]] = []
    event.listen(on_disk.engine, "before_cursor_execute", lambda *args: seen.append(args[2:4]))
    await on_disk.ledger.query(DPO, WHY, Query(**asked))
    asks = [(text, values) for text, values in seen if "FROM authorisation" in text and "WHERE" in text]
    with on_disk.engine.begin() as connection:
        plans = [str(connection.exec_driver_sql("EXPLAIN QUERY PLAN " + text, values).all()) for text, values in asks]
    assert plans and all("SEARCH authorisation USING" in plan for plan in plans), plans


async def test_every_filter_gives_exactly_what_matches(watched: World) -> None:
    """200 random combinations of filters, paged: the ids a naive scan gives, in order, each with a proof against the checkpoint named."""
    await population(watched, 50)
    rows, draw = everything(watched), random.Random(11)
    values = {name: sorted({getattr(row, column) for row in rows} - {"", b""}) for name, column in FIELDS.items()}
    times = sorted(row.at for row in rows)
    for _ in range(200):
        asked: dict[str, Any] = {
            name: draw.choice(values[name]) for name in draw.sample(sorted(FIELDS), draw.randrange(3))
        }
        if draw.random() < 0.5:
            start, end = sorted(draw.sample(range(len(times)), 2))
            asked |= {"from_ms": times[start], "to_ms": times[end]}
        query = Query(**asked, limit=draw.choice((20, 50)))
        found, told = await pages(watched, query)
        assert [row.authorisation for row in found] == naive(rows, query), asked
        assert {page.total for page in told} == {len(found)}
    for page in (await pages(watched, Query(limit=20), proofs=True))[1]:
        for row in page.rows:
            assert proves(watched, page.head, row.fact)


async def test_an_answer_shows_the_terms_and_the_proof(watched: World) -> None:
    """What the officer reads of an authorisation is what was agreed; its leaf leads to the checkpoint."""
    rule = await watched.ledger.sign_rule(shipped()["quotient-familial-650"])
    a = await watched.give(data_life_days=30, rule=rule, watch_every_ms=86_400_000, scopes=("cnaf_quotient_familial",))
    found = await watched.ledger.query(DPO, WHY, Query(subject=await subject(watched, a)))
    (row,) = found.rows
    assert (row.authorisation, row.state, row.recipient) == (a, State.LIVE, RECIPIENT)
    assert (row.data_life_days, row.operator, row.uses) == (30, OPERATOR, 0)
    assert (row.rule_hash, row.watch_every_s) == (rule_hash(rule), 86_400) and row.rule_hash
    assert row.fact.kind == "given" and proves(watched, found.head, row.fact)
    assert found.next == "" and found.total == 1
    bare = await watched.ledger.query(DPO, WHY, Query(), proofs=False)
    assert [r.fact.path for r in bare.rows] == [()]


async def test_a_query_is_a_leaf_that_its_own_checkpoint_covers(watched: World) -> None:
    """One leaf per query, the last of the head named; what was asked and why is committed, and not in clear."""
    a = await watched.give()
    reference, size = await subject(watched, a), await log_size(watched)
    found = await watched.ledger.query(DPO, WHY, Query(subject=reference))
    head = note.parse_checkpoint(note.verify(found.head.checkpoint, watched.keys.verifier))
    assert (found.head.leaf_index, head.size) == (size, size + 1)
    leaf, path, _ = await watched.ledger.proof(found.head.leaf_index)
    merkle.verify_inclusion(merkle.leaf_hash(leaf), size, head.size, path, head.root)
    assert (await questions(watched))[-1] == {
        "officer": DPO, "reason": WHY, "act": "query", "query": {"subject": reference.hex()},
    }  # fmt: skip
    with watched.engine.begin() as connection:
        stored = connection.execute(select(t.leaf.c.content).where(t.leaf.c.idx == size)).scalar_one()
    assert WHY.encode() not in stored


@pytest.mark.parametrize("reason", ["", "   ", "deux\nlignes", "x" * 501])
async def test_no_reason_no_answer(watched: World, reason: str) -> None:
    """Without a reason of one line nothing is asked, and nothing is recorded."""
    size = await log_size(watched)
    with pytest.raises(Refused, match=Code.REASON_MISSING):
        await watched.ledger.query(DPO, reason, Query())
    assert await log_size(watched) == size


async def test_outside_the_perimeter_there_is_no_answer_and_a_leaf(world: World) -> None:
    """50 questions about another collectivity: no row, 50 leaves. A question without recipient is held to the perimeter, and says so."""
    await world.give()
    await world.ledger.appoint(Officer(DPO, (OTHER,), FAR_MS))
    size = await log_size(world)
    for _ in range(50):
        with pytest.raises(Refused, match=Code.OUTSIDE_PERIMETER):
            await world.ledger.query(DPO, WHY, Query(recipient=RECIPIENT))
    assert await log_size(world) == size + 50
    found = await world.ledger.query(DPO, WHY, Query())
    assert (found.rows, found.total, found.head.recipients) == ((), 0, (OTHER,))
    assert [q.get("refused") for q in await questions(world)] == ["outside_perimeter"] * 50 + [None]


async def test_another_collectivitys_people_are_as_unknown_as_nobodys(world: World) -> None:
    """By reference, by request, by authorisation: what lies outside the perimeter gets the answer of what does not exist."""
    a = await world.give()
    asked, answer = await world.answered(a)
    await world.told(answer)
    reference = await subject(world, a)
    await world.ledger.appoint(Officer(DPO, (OTHER,), FAR_MS))
    assert (await world.ledger.query(DPO, WHY, Query(subject=reference))).rows == ()
    for call in (
        lambda: world.ledger.basis(DPO, WHY, asked.key.request),
        lambda: world.ledger.basis(DPO, WHY, bytes(16)),
        lambda: world.ledger.dossier(DPO, WHY, reference),
        lambda: world.ledger.dossier(DPO, WHY, b"", a),
        lambda: world.ledger.dossier(DPO, WHY, bytes(32)),
        lambda: world.ledger.erase(DPO, WHY, reference),
        lambda: world.ledger.erase(DPO, WHY, bytes(32)),
    ):
        with pytest.raises(Refused, match=Code.NOTHING_FOUND):
            await call()
    assert (await held(world, a)).state is State.LIVE
    assert (await world.ledger.processing(DPO, WHY)).activities == ()
    assert (await world.ledger.breach(DPO, WHY, "", 0, 0)).passed == ()


async def test_an_officer_asks_while_appointed(world: World) -> None:
    """Never appointed, or no longer: refused, and a leaf all the same. Appointed again: answered."""
    size = await log_size(world)
    with pytest.raises(Refused, match=Code.OFFICER_UNKNOWN):
        await world.ledger.query(DPO, WHY, Query())
    await world.ledger.appoint(Officer(DPO, (), world.clock.now_ms() + 1_000))
    await world.ledger.query(DPO, WHY, Query())
    world.clock.advance(1_000)
    with pytest.raises(Refused, match=Code.OFFICER_UNKNOWN):
        await world.ledger.query(DPO, WHY, Query())
    await world.ledger.appoint(Officer(DPO, (RECIPIENT,), FAR_MS))
    assert (await world.ledger.query(DPO, WHY, Query())).head.recipients == (RECIPIENT,)
    assert await log_size(world) == size + 6


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": b"short"}, {"limit": 0}, {"limit": 1_001}, {"limit": 10**9}, {"from_ms": -1}, {"from_ms": 2, "to_ms": 1},
        {"purpose": "\x00"}, {"to_ms": 2**63}, {"after": "x"}, {"after": "00' OR 1=1"}, {"after": "0" * 49},
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_is_none(fields: dict[str, Any]) -> None:
    """Bounds of every field hold when it is made."""
    with pytest.raises(ValueError):
        Query(**fields)


async def test_texts_are_values_not_statements(watched: World) -> None:
    """Hostile text in a filter matches nothing and harms nothing."""
    await watched.give()
    for text in ("' OR 1=1 --", "%", "_" * 14, "*", "(a+)+$" * 100):
        found = await watched.ledger.query(DPO, WHY, Query(purpose=text, agent=text))
        assert found.rows == ()
    assert await watched.ledger.verify() == []


async def test_the_basis_of_a_release(watched: World) -> None:
    """A release rests on the agreement, habilitation and delegation of its time, with its calls and worker, each fact proven and opened."""
    a = await watched.give()
    asked = watched.ask(a)
    await watched.ledger.attempt([asked.attempt], "connector-cnaf")
    answer = watched.answer(asked)
    await watched.ledger.release([answer], [], "release-1")
    later = watched.clock.now_ms() + 10**9
    await watched.ledger.delegate(RECIPIENT, OPERATOR, later)
    found = await watched.ledger.basis(DPO, WHY, asked.key.request)
    (ground,) = found.grounds
    assert (ground.code, ground.delivery, ground.worker, ground.operator) == (
        "released",
        "unconfirmed",
        "release-1",
        OPERATOR,
    )
    assert [call.worker for call in ground.calls] == ["connector-cnaf"]
    assert ground.authorisation.authorisation == a
    assert [fact.kind for fact in ground.facts] == ["delegation", "habilitation", "given", "released"]
    said = {fact.kind: fact.content for fact in ground.facts}
    assert json.loads(said["habilitation"])["legal_reference"] == "CRPA L114-8"
    assert json.loads(said["delegation"])["not_after"] != later
    assert json.loads(said["given"])["terms"][0] == RECIPIENT
    assert all(proves(watched, found.head, fact) for fact in [*ground.facts, ground.authorisation.fact])


async def test_the_basis_of_what_was_not_released(watched: World) -> None:
    """A refusal, a failure and an open request have their ground too; a cut release says so."""
    a = await watched.give()
    (failed, _), (cut, answer), (refused, late) = [await watched.answered(a) for _ in range(3)]
    open_ = watched.ask(a)
    await watched.attempt(open_)
    await watched.told(Verdict(failed.key, failed.digest, 0, "failed", Code.PROVIDER_ERROR))
    await watched.told(answer)
    await watched.ledger.withdraw(a, "withdrawn")
    await watched.confirm(await watched.told(answer))
    await watched.told(late)
    said = {}
    for name, request in (("failed", failed), ("cut", cut), ("refused", refused), ("open", open_)):
        ((ground,), head) = await _ground(watched, request.key.request)
        said[name] = (ground.code, ground.reason, ground.delivery)
        assert all(proves(watched, head, fact) for fact in ground.facts)
        assert ("withdrawn" in [fact.kind for fact in ground.facts]) == (name in ("refused", "open"))
    assert said == {
        "failed": ("failed", Code.PROVIDER_ERROR, "none"), "cut": ("released", "", "cut"),
        "refused": ("refused", Code.WITHDRAWN, "none"), "open": ("", "", "none"),
    }  # fmt: skip


async def _ground(world: World, request: bytes) -> tuple[Any, Head]:
    found = await world.ledger.basis(DPO, WHY, request)
    return found.grounds, found.head


async def test_a_breach_is_known_whole(watched: World) -> None:
    """Everything that passed through the worker in the period and nothing else: cut, unconfirmed, told again by another worker, called
    only; counted by recipient."""
    a, b = await watched.give(), await watched.give(PAUL)
    started = watched.clock.now_ms()
    (sent, s1), (cut, c1), (elsewhere, e1) = [await watched.answered(a) for _ in range(3)]
    await watched.ledger.release([s1, c1], [], "w1")
    await watched.ledger.release([e1], [], "w2")
    watched.clock.advance(1_000)
    await watched.ledger.release([e1], [], "w1")
    await watched.ledger.withdraw(a, "withdrawn")
    await watched.confirm(await watched.told(c1))
    called = watched.ask(b)
    await watched.ledger.attempt([called.attempt], "w1")
    ended = watched.clock.now_ms() + 1
    watched.clock.advance(10)
    _, late = await watched.answered(b)
    await watched.ledger.release([late], [], "w1")
    found = await watched.ledger.breach(DPO, WHY, "w1", started, ended)
    assert {(p.request, p.stage, p.delivery) for p in found.passed} == {
        (sent.key.request, "terminal", "unconfirmed"), (cut.key.request, "terminal", "cut"),
        (elsewhere.key.request, "terminal", "unconfirmed"), (called.key.request, "attempt", "none"),
    }  # fmt: skip
    (touched,) = found.touched
    assert (touched.recipient, touched.requests, touched.authorisations, touched.subjects) == (RECIPIENT, 4, 2, 2)
    assert {p.subject for p in found.passed} == {await subject(watched, a), await subject(watched, b)}
    again = await watched.ledger.breach(DPO, WHY, "w2", started, ended)
    assert [p.request for p in again.passed] == [elsewhere.key.request]
    assert (await watched.ledger.breach(DPO, WHY, "w", started, ended)).passed == ()
    with pytest.raises(ValueError):
        await watched.ledger.breach(DPO, WHY, "w1", ended, started)


async def test_a_person_is_referred_to_by_identity_at_one_recipient(watched: World) -> None:
    """The reference the ledger computes finds the person's authorisations; at another recipient it is another."""
    a = await watched.give(JEANNE)
    reference = await watched.ledger.refer(DPO, WHY, canonical(JEANNE), RECIPIENT)
    found = await watched.ledger.query(DPO, WHY, Query(subject=reference))
    assert [row.authorisation for row in found.rows] == [a]
    elsewhere = await watched.ledger.refer(DPO, WHY, canonical(JEANNE), OTHER)
    assert elsewhere != reference
    assert (await watched.ledger.query(DPO, WHY, Query(subject=elsewhere))).rows == ()


async def test_the_register_of_processing_follows_from_habilitations(watched: World) -> None:
    """Each habilitation is an activity with its processors, categories in the catalogue's words, legal reference, retention, counts."""
    await watched.ledger.withdraw(await watched.give(data_life_days=90), "withdrawn")
    await watched.give(data_life_days=30)
    first, second = await activities(watched)
    assert (first.controller, first.processors, first.purpose) == (RECIPIENT, (OPERATOR,), PURPOSES[0])
    assert (first.states, first.retention_days, first.bases) == ({"live": 1, "withdrawn": 1}, (30, 90), ("consent",))
    assert (first.source, first.legal_reference, first.in_force) == ("cnaf", "CRPA L114-8", True)
    assert dict(first.categories)["cnaf_quotient_familial"] == "Le quotient familial."
    assert second.states == {} and second.purpose == PURPOSES[1]
    await watched.ledger.habilitate(RECIPIENT, first.data_set, first.purpose, (), "", 0)
    assert [a.in_force for a in await activities(watched)] == [False, True]


async def activities(world: World) -> list[Activity]:
    """What the register tells of the quotient familial."""
    register = await world.ledger.processing(DPO, WHY)
    return [one for one in register.activities if one.data_set == QUOTIENT_FAMILIAL.name]


async def test_what_is_hidden_from_queries_is_found(watched: World) -> None:
    """An authorisation deleted, moved to another state, used less, a release deleted: the check says so, each time."""
    a = await watched.give()
    _, answer = await watched.answered(a)
    await watched.told(answer)
    assert await watched.ledger.verify() == []
    row, terminal = t.authorisation, t.terminal
    for tampering in (
        delete(row).where(row.c.id == a),
        update(row).where(row.c.id == a).values(state="withdrawn"),
        update(row).where(row.c.id == a).values(uses=0),
        update(row).where(row.c.id == a).values(id=bytes(16)),
        delete(terminal).where(terminal.c.authorisation == a),
        update(terminal).values(request=bytes(16)),
    ):
        with watched.engine.connect() as connection:
            connection.execute(tampering)
            from consent.reconcile import problems

            found = list(problems(connection))
            connection.rollback()
        assert found and all(
            a.hex() not in problem or "hidden" in problem or "state" in problem or "uses" in problem
            for problem in found
        )
    assert await watched.ledger.verify() == []

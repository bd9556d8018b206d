"""What an officer looks over, what an agent looks at: whole, proven, within the perimeter, and each a leaf."""

from __future__ import annotations

import json

import pytest

from consent.core.facts import Evidence, Verdict
from consent.core.query import Count, Officer, Query
from exchange.core.errors import Code
from exchange.core.identity import canonical
from exchange.introduction import terms
from exchange.ports import Refused
from tests.ledger.test_queries import DPO, FAR_MS, OTHER, WHY, proves, subject
from tests.world import JEANNE, OPERATOR, PAUL, RECIPIENT, World, log_size

AGENT = "agent-7"


@pytest.fixture
async def watched(world: World) -> World:
    await world.ledger.appoint(Officer(DPO, (), FAR_MS))
    return world


async def assisted(world: World, agent: str = AGENT, channel: str = "counter") -> bytes:
    authorisation = (await log_size(world)).to_bytes(16)
    agreed = terms(RECIPIENT, world.clock.now_ms())
    evidence = Evidence(channel, agent, bytes(32))  # type: ignore[arg-type]  # one of them
    await world.ledger.grant(authorisation, agreed, canonical(PAUL), evidence, OPERATOR)
    return authorisation


async def test_a_life_tells_every_fact_and_every_request(watched: World) -> None:
    """Given, used, asked in vain, withdrawn: each fact opened and proven; each request with its end and its calls; the question is a leaf."""
    a = await watched.give()
    (done, answer), (failed, _) = [await watched.answered(a) for _ in range(2)]
    await watched.told(answer)
    await watched.told(Verdict(failed.key, failed.digest, 0, "failed", Code.PROVIDER_ERROR))
    await watched.attempt(open_ := watched.ask(a))
    await watched.ledger.withdraw(a, "withdrawn")
    size = await log_size(watched)

    lived = await watched.ledger.life(DPO, WHY, a)

    assert [fact.kind for fact in lived.facts] == ["given", "released", "withdrawn"]
    assert all(proves(watched, lived.head, fact) for fact in lived.facts)
    assert json.loads(lived.facts[0].content)["terms"][0] == RECIPIENT
    assert [(use.request, use.code, use.calls) for use in lived.uses] == [
        (done.key.request, "released", 1), (failed.key.request, "failed", 1), (open_.key.request, "", 1),
    ]  # fmt: skip
    assert (lived.row.authorisation, lived.row.state) == (a, "withdrawn")
    assert (lived.head.leaf_index, await log_size(watched)) == (size, size + 1)


async def test_a_life_elsewhere_is_none(world: World) -> None:
    """Outside the perimeter, or of nobody: the same answer, and a leaf."""
    a = await world.give()
    await world.ledger.appoint(Officer(DPO, (OTHER,), FAR_MS))
    size = await log_size(world)
    for unknown in (a, bytes(16)):
        with pytest.raises(Refused, match=Code.NOTHING_FOUND):
            await world.ledger.life(DPO, WHY, unknown)
    assert await log_size(world) == size + 2


async def test_alerts_count_refusals_channels_and_agents(watched: World) -> None:
    """By reason, by channel, by agent, the most first; only of the period, only of the perimeter."""
    a = await watched.give()
    for code in (Code.WITHDRAWN, Code.WITHDRAWN, Code.PURPOSE_MISMATCH):
        asked = watched.ask(a)
        await watched.told(Verdict(asked.key, asked.digest, 0, "refused", code))
    for _ in range(2):
        await assisted(watched)
    await watched.ledger.refuse(b"r" * 16, terms(RECIPIENT, watched.clock.now_ms()), Evidence("phone", AGENT))

    told = await watched.ledger.alerts(DPO, WHY, 0, 0)

    assert told.refusals == (Count("withdrawn", 2), Count("purpose_mismatch", 1))
    assert told.channels == (Count("counter", 2), Count("online", 1))
    assert told.agents == (Count(AGENT, 3),) and told.quota == 200
    later = await watched.ledger.alerts(DPO, WHY, watched.clock.now_ms() + 1, 0)
    assert (later.refusals, later.channels) == ((), ())
    await watched.ledger.appoint(Officer(DPO, (OTHER,), FAR_MS))
    elsewhere = await watched.ledger.alerts(DPO, WHY, 0, 0)
    assert (elsewhere.refusals, elsewhere.channels, elsewhere.agents) == ((), (), ())


async def test_an_officer_reads_their_own_questions(watched: World) -> None:
    """Newest first, page by page, nobody else's; those about a person are gone once the person is."""
    a = await watched.give()
    reference = await subject(watched, a)
    await watched.ledger.query(DPO, "premier", Query())
    await watched.ledger.query(DPO, "deuxième", Query(subject=reference))
    await watched.ledger.appoint(Officer("autre", (OTHER,), FAR_MS))
    with pytest.raises(Refused, match=Code.OUTSIDE_PERIMETER):
        await watched.ledger.query("autre", WHY, Query(recipient=RECIPIENT))

    told = await watched.ledger.consultations(DPO, WHY)

    assert [(c.reason, c.act, c.refused) for c in told.told] == [("deuxième", "query", ""), ("premier", "query", "")]
    assert json.loads(told.told[0].about) == {"query": {"subject": reference.hex()}}
    (others,) = (await watched.ledger.consultations("autre", WHY)).told
    assert others.refused == Code.OUTSIDE_PERIMETER
    await watched.ledger.erase(DPO, "art. 17", reference)
    assert "deuxième" not in [c.reason for c in (await watched.ledger.consultations(DPO, WHY)).told]


async def test_questions_are_paged(watched: World) -> None:
    """However many there are, each is told once."""
    for number in range(120):
        await watched.ledger.query(DPO, f"n° {number}", Query(limit=1), proofs=False)
    seen, before = list[str](), 0
    while True:
        page = await watched.ledger.consultations(DPO, "relecture", before)
        seen += [c.reason for c in page.told if c.reason != "relecture"]
        before = page.next
        if not before:
            break
    assert seen == [f"n° {number}" for number in reversed(range(120))]


async def test_an_agent_looks_at_an_agreement_and_leaves_a_trace(watched: World) -> None:
    """The person's dossier tells who looked; another collectivity's agreement is as unknown as nobody's."""
    a = await watched.give(JEANNE)
    await watched.ledger.consult(a, AGENT, RECIPIENT)
    for id_, recipient in ((a, OTHER), (bytes(16), RECIPIENT)):
        with pytest.raises(Refused, match=Code.AUTHORISATION_UNKNOWN):
            await watched.ledger.consult(id_, AGENT, recipient)
    dossier = json.loads((await watched.ledger.dossier(DPO, WHY, await subject(watched, a))).body)
    said = [fact["says"] for fact in dossier["facts"] if fact["kind"] == "queried"]
    assert {"officer": AGENT, "reason": "guichet", "act": "consult", "authorisation": a.hex()} in said


async def test_an_agent_s_day_is_counted(world: World) -> None:
    """What was recorded for others in the last 24 h, of what may be."""
    for _ in range(3):
        await assisted(world)
    await assisted(world, "another")
    assert (await world.ledger.tally(AGENT)).recorded == 3
    world.clock.advance(86_400_000)
    tally = await world.ledger.tally(AGENT)
    assert (tally.recorded, tally.most) == (0, 200)


async def test_questions_about_a_person_who_was_erased_and_came_back(watched: World) -> None:
    """What was asked about them before the erasure is read no more; what is asked since is, and the officer still sees their own list."""
    a = await watched.give()
    who = await subject(watched, a)
    await watched.ledger.dossier(DPO, WHY, who)
    await watched.ledger.erase(DPO, WHY, who)
    await watched.ledger.dossier(DPO, WHY, await subject(watched, await watched.give()))

    told = (await watched.ledger.consultations(DPO, WHY, 0)).told

    assert [one.act for one in told].count("dossier") == 1
    assert (await watched.ledger.dossier(DPO, WHY, who)).note

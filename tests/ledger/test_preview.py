"""Answers that their person lets through, or not, before they are handed over (ADR 0031): who says what, once, and what becomes of it."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import select

from consent.core.facts import Answer, Confirmation, Dropped, Evidence, Outcome, Submission, Verdict, Waiting
from consent.stores import tables as t
from exchange.core.errors import Code
from exchange.core.shape import preview_of
from exchange.data_sets import DATA_SETS
from exchange.introduction import ONLINE
from exchange.ports import Refused
from tests.world import OPERATOR, RECIPIENT, Asked, World, held

SHOWN = "cnous.etudiant-boursier.v2"
PUSH, PULL = "push", "pull"


@pytest.fixture(params=[PUSH, PULL])
async def handover(request: pytest.FixtureRequest, world: World) -> str:
    """Whether answers are pushed to the operator, or it opens them itself: the person comes first either way."""
    await world.ledger.delegate(RECIPIENT, OPERATOR, world.clock.now_ms() + 10**9, request.param)
    chosen: str = request.param
    return chosen


def submission(asked: Asked) -> Submission:
    return Submission(asked.key, asked.digest)


async def give(world: World, **changes: object) -> bytes:
    return await world.give(data_set=SHOWN, **changes)


async def waits(world: World, authorisation: bytes) -> tuple[Asked, Answer]:
    """A request whose answer waits for its person."""
    asked, answer = await world.answered(authorisation)
    assert await world.release(answer) == [Waiting(asked.key, asked.digest, asked.attempt.deadline_ms, "person")]
    return asked, answer


async def say(world: World, asked: Asked, accepted: bool, evidence: Evidence = ONLINE) -> int:
    return await world.ledger.previewed(submission(asked), accepted, evidence)


async def says_no(world: World, asked: Asked, accepted: bool, evidence: Evidence = ONLINE) -> Code:
    with pytest.raises(Refused) as refused:
        await say(world, asked, accepted, evidence)
    return refused.value.code


async def opened(world: World, asked: Asked, handover: str) -> Outcome:
    """What the collectivity gets of what was let through."""
    if handover == PULL:
        return await world.ledger.open(submission(asked))
    (outcome,) = await world.ledger.over()
    assert isinstance(outcome, Outcome)
    return outcome


async def kinds(world: World, authorisation: bytes) -> list[str]:
    return [entry.kind for entry in await world.ledger.entries(authorisation)]


async def test_nothing_leaves_before_its_person_lets_it(world: World, handover: str) -> None:
    """Pushed or pulled: it waits, takes no use, is told to nobody, and does not open for whoever asks."""
    authorisation = await give(world)
    asked, answer = await waits(world, authorisation)
    with pytest.raises(Refused, match=Code.PREVIEW_PENDING):
        await world.ledger.open(submission(asked))
    assert await world.ledger.over() == []
    assert await world.release(answer) == [Waiting(asked.key, asked.digest, asked.attempt.deadline_ms, "person")]
    assert (await held(world, authorisation)).uses == 0
    assert await kinds(world, authorisation) == ["given"]


async def test_what_is_let_through_is_released_once(world: World, handover: str) -> None:
    """A leaf for the person's word, then the release as any other: one use, one leaf, told until it is confirmed."""
    authorisation = await give(world)
    asked, answer = await waits(world, authorisation)
    index = await say(world, asked, True)
    if handover == PULL:
        assert [one.awaits for one in await world.ledger.over() if isinstance(one, Waiting)] == ["collectivity"]
        await world.ledger.announced([submission(asked)])
        assert await world.ledger.over() == []
    outcome = await opened(world, asked, handover)
    assert (outcome.code, outcome.delivery, bool(outcome.inner)) == ("released", "key", True)
    again = await opened(world, asked, handover)
    assert (again.leaf_index, again.inner) == (outcome.leaf_index, outcome.inner)
    assert (await held(world, authorisation)).uses == 1
    assert await kinds(world, authorisation) == ["given", "preview_accepted", "released"]
    assert (await world.ledger.entries(authorisation))[1].index == index
    if handover == PUSH:
        await world.confirm(outcome)
        assert await world.ledger.over() == [] and await world.release(answer) == [Dropped()]


async def test_what_is_refused_is_one_outcome_and_no_use(world: World, handover: str) -> None:
    """Refused by its person, in the same transaction as their word; nothing of the answer is kept, and no asking opens it."""
    authorisation = await give(world)
    asked, answer = await waits(world, authorisation)
    await say(world, asked, False)
    (told,) = await world.ledger.over()
    assert isinstance(told, Outcome)
    assert (told.code, told.reason, told.delivery, told.inner) == ("refused", Code.PREVIEW_REJECTED, "none", b"")
    assert (await world.ledger.open(submission(asked))).reason == Code.PREVIEW_REJECTED
    (met,) = await world.release(answer)
    assert isinstance(met, Outcome) and (met.code, met.inner) == ("refused", b"")
    with world.engine.begin() as connection:
        (kept,) = connection.execute(select(t.waiting.c.tag, t.waiting.c.sealed_key, t.waiting.c.outer)).all()
    assert tuple(kept) == (b"", b"", b"")
    assert (await held(world, authorisation)).uses == 0
    assert await kinds(world, authorisation) == ["given", "preview_rejected", "refused"]
    await world.ledger.release([], [Confirmation(told.key, told.digest, None)])
    assert await world.ledger.over() == []
    assert await world.ledger.verify() == []


@pytest.mark.parametrize("accepted", [True, False])
async def test_the_person_s_word_is_said_once(world: World, accepted: bool) -> None:
    """Said again it is the same leaf, before and after it is told; the contrary is a conflict, which changes nothing."""
    authorisation = await give(world)
    asked, _ = await waits(world, authorisation)
    index = await say(world, asked, accepted)
    assert await say(world, asked, accepted) == index
    assert await says_no(world, asked, not accepted) == Code.CONFLICT
    told = await world.ledger.over()
    await world.confirm(*(one for one in told if isinstance(one, Outcome)))
    assert (await say(world, asked, accepted), await says_no(world, asked, not accepted)) == (index, Code.CONFLICT)
    assert len(await kinds(world, authorisation)) == 3


async def test_who_said_it_is_in_the_leaf(world: World) -> None:
    """An agent says it for the person, and is named by their reference; an agent who is nobody says nothing."""
    authorisation = await give(world)
    asked, _ = await waits(world, authorisation)
    assert await says_no(world, asked, True, Evidence("counter")) == Code.EVIDENCE_MISSING
    index = await say(world, asked, True, Evidence("phone", "agent-7"))
    with world.ledger._begin() as tx:
        row = tx.connection.execute(select(t.leaf).where(t.leaf.c.idx == index)).one()
        _, content = tx.open_content(row)
    said = msgspec.json.decode(content)
    assert (said["digest"], said["evidence"][:2]) == (asked.digest.hex(), ["phone", "agent-7"])
    assert b"agent-7" not in row.content


async def test_a_withdrawal_comes_first(world: World, handover: str) -> None:
    """Withdrawn while it waits: nobody lets it through any more; its one outcome says withdrawn."""
    authorisation = await give(world)
    asked, _ = await waits(world, authorisation)
    assert (await world.ledger.withdraw(authorisation, "withdrawn")).named == ()
    assert [await says_no(world, asked, said) for said in (True, False)] == [Code.WITHDRAWN] * 2
    (told,) = await world.ledger.over()
    assert isinstance(told, Outcome) and (told.code, told.reason) == ("refused", Code.WITHDRAWN)


async def test_a_withdrawal_after_the_person_s_yes(world: World, handover: str) -> None:
    """Let through and not yet released it dies with the agreement; released and not known to have arrived it is named, then cut."""
    authorisation, other = await give(world), await give(world)
    (early, _), (late, _) = await waits(world, authorisation), await waits(world, other)
    await say(world, early, True)
    await world.ledger.withdraw(authorisation, "withdrawn")
    (told,) = await world.ledger.over()
    assert isinstance(told, Outcome) and (told.reason, told.inner) == (Code.WITHDRAWN, b"")
    await world.ledger.release([], [Confirmation(told.key, told.digest, None)])
    await say(world, late, True)
    assert (await opened(world, late, handover)).delivery == "key"
    assert (await world.ledger.withdraw(other, "withdrawn")).named == (late.key.request,)
    cut = await opened(world, late, handover)
    assert (cut.code, cut.delivery, cut.inner) == ("released", "cut", b"")


async def test_too_late(world: World, handover: str) -> None:
    """Its deadline past, the person's word comes too late, and it has expired; so has what was let through and not opened by then."""
    first, second = await give(world), await give(world)
    (unsaid, _), (said, _) = await waits(world, first), await waits(world, second)
    await say(world, said, True)
    if handover == PULL:
        await world.ledger.announced([submission(said)])
    world.clock.advance(300_000)
    assert await says_no(world, unsaid, True) == Code.DEADLINE_PASSED
    told = {one.key: one.code for one in await world.ledger.over() if isinstance(one, Outcome)}
    assert told == {unsaid.key: "expired", said.key: "expired"}


async def test_narrowed_while_it_waited(world: World, handover: str) -> None:
    """It holds a scope that was taken back: it is shown no more, and let through all the same it does not open."""
    authorisation = await give(world)
    asked, _ = await waits(world, authorisation)
    await world.ledger.narrow(authorisation, ("cnous_statut_boursier",), OPERATOR)
    assert await world.ledger.previews([authorisation]) == []
    await say(world, asked, True)
    assert (await opened(world, asked, handover)).reason == Code.CERTIFICATE_OUTDATED


async def test_what_closes_it_meanwhile(world: World, handover: str) -> None:
    """A failure met later closes nothing, a cancellation does; then the person has nothing to say."""
    authorisation = await give(world)
    asked, _ = await waits(world, authorisation)
    failed, cancelled = [
        Verdict(asked.key, asked.digest, asked.attempt.deadline_ms, code, Code.CANCELLED)  # type: ignore[arg-type]
        for code in ("failed", "cancelled")
    ]
    assert await world.release(failed) == [Dropped()]
    assert (await world.told(cancelled)).code == "cancelled"
    assert await says_no(world, asked, True) == Code.NOTHING_WAITS
    assert await world.ledger.previews([authorisation]) == []


async def test_let_through_then_met_again(world: World) -> None:
    """Pushed, an answer that comes again after the person's yes is released there and then; release has nothing more to do with it."""
    authorisation = await give(world)
    asked, answer = await waits(world, authorisation)
    await say(world, asked, True)
    outcome = await world.told(answer)
    assert outcome.delivery == "key"
    await world.confirm(outcome)
    assert await world.ledger.over() == []
    assert (await held(world, authorisation)).uses == 1


async def test_no_more_wait_than_may_be_let_through(world: World, handover: str) -> None:
    """With one use left a second answer is refused at once."""
    authorisation = await give(world, max_uses=1)
    await waits(world, authorisation)
    _, second = await world.answered(authorisation)
    assert (await world.told(second)).reason == Code.USED_UP


async def test_the_person_is_shown_what_waits_for_them(world: World) -> None:
    """What was asked, when, until when, the first to end first; nothing of other agreements, nor what was said already."""
    authorisation, other = await give(world), await give(world)
    later, _ = await world.answered(authorisation, ttl_ms=600_000)
    sooner, _ = await waits(world, authorisation)
    await world.release(world.answer(later))
    await waits(world, other)
    shown = await world.ledger.previews([authorisation])
    assert [one.submission for one in shown] == [submission(sooner), submission(later)]
    assert shown[0].scopes == tuple(sorted(DATA_SETS[SHOWN].scopes))
    assert (shown[0].asked_at_ms, shown[0].deadline_ms) == (world.clock.now_ms(), sooner.attempt.deadline_ms)
    await say(world, sooner, False)
    assert [one.submission for one in await world.ledger.previews([authorisation])] == [submission(later)]


@pytest.mark.parametrize("said", [None, True, False])
async def test_a_watch_does_not_show_again_what_was_refused(world: World, said: bool | None) -> None:
    """The connector learns that the answer it sent last has been dealt with once it was released, or refused by its person; not before."""
    authorisation = await give(world)
    asked, _ = await waits(world, authorisation)
    if said is not None:
        await say(world, asked, said)
        await world.ledger.over()
    look = msgspec.structs.replace(world.ask(authorisation).attempt, last=submission(asked))
    assert (await world.ledger.attempt([look]))[0].told is (said is not None)


async def test_kept_no_longer_than_needed(world: World) -> None:
    """Released and delivered, what waited goes at the next sweep."""
    asked, _ = await waits(world, await give(world))
    await say(world, asked, True)
    await world.confirm(await opened(world, asked, PUSH))
    await world.ledger.sweep()
    with world.engine.begin() as connection:
        assert connection.execute(select(t.waiting.c.request)).all() == []


async def test_other_data_sets_are_not_concerned(world: World) -> None:
    """Where nothing asks for a preview there is nothing to say."""
    asked, answer = await world.answered(await world.give())
    assert (await world.told(answer)).delivery == "key"
    assert await says_no(world, asked, True) == Code.NOTHING_WAITS


def test_a_data_set_says_that_it_is_shown_first() -> None:
    """`preview` of its schema's record, and nothing that resembles it; one of today's asks for it."""
    assert preview_of({"fields": [], "preview": True}) and not preview_of({"fields": [], "preview": "true"})
    assert {name for name, data_set in DATA_SETS.items() if data_set.preview} == {SHOWN}

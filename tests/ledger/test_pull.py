"""Answers that wait to be opened: until when, how many, and what closes them (protocol §2, `handover: pull`)."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from consent.core.facts import Authorisation, Confirmation, Dropped, State, Submission, Verdict, Waiting
from consent.core.release import pulling as pulling_of
from consent.stores import tables as t
from exchange.core.errors import Code
from exchange.core.shape import handover_of
from exchange.data_sets import DATA_SETS
from exchange.ports import Refused
from tests.world import OPERATOR, RECIPIENT, Asked, World, held


@pytest.fixture
async def pulling(world: World) -> World:
    """A ledger whose collectivity opens its answers itself."""
    await world.ledger.delegate(RECIPIENT, OPERATOR, world.clock.now_ms() + 10**9, "pull")
    return world


def submission(asked: Asked) -> Submission:
    return Submission(asked.key, asked.digest)


def verdict(asked: Asked, code: str) -> Verdict:
    return Verdict(asked.key, asked.digest, asked.attempt.deadline_ms, code, Code.PROVIDER_ERROR)  # type: ignore[arg-type]


def kept(world: World) -> int:
    with world.engine.begin() as connection:
        return connection.execute(select(func.count()).select_from(t.waiting)).scalar() or 0


async def waits(world: World, authorisation: bytes) -> Asked:
    """A request whose answer waits."""
    asked, answer = await world.answered(authorisation)
    assert await world.release(answer) == [Waiting(asked.key, asked.digest, asked.attempt.deadline_ms)]
    return asked


async def test_what_waits_takes_no_use_until_it_is_opened(pulling: World) -> None:
    """Uses are counted where the collectivity asks; asked again it is the same release, with its key."""
    authorisation = await pulling.give()
    asked = await waits(pulling, authorisation)
    assert (await held(pulling, authorisation)).uses == 0
    first, again = [await pulling.ledger.open(submission(asked)) for _ in range(2)]
    assert (first.code, first.delivery, again) == ("released", "key", first)
    assert (await held(pulling, authorisation)).uses == 1


async def test_no_more_wait_than_may_be_opened(pulling: World) -> None:
    """With two uses left a third answer is refused at once: what is kept is bounded."""
    authorisation = await pulling.give(max_uses=2)
    await waits(pulling, authorisation)
    await waits(pulling, authorisation)
    _, third = await pulling.answered(authorisation)
    assert (await pulling.told(third)).reason == Code.USED_UP


async def test_met_again_it_waits_as_before(pulling: World) -> None:
    """A chunk that comes again announces it again; another answer of the same request does not take its place, nor its use."""
    authorisation = await pulling.give(max_uses=1)
    asked, answer = await pulling.answered(authorisation)
    first, again, other = await pulling.release(answer, answer, pulling.answer(asked))
    assert first == again == (await pulling.release(answer))[0] and isinstance(first, Waiting)
    assert other == Dropped()
    opened = await pulling.ledger.open(submission(asked))
    assert opened.delivery == "key"
    assert await pulling.release(answer) == [Dropped()]


async def test_a_failure_met_later_does_not_close_what_waits(pulling: World) -> None:
    """A connector that was asked again may fail: the answer is there all the same. A refusal closes it."""
    asked = await waits(pulling, await pulling.give())
    assert await pulling.release(verdict(asked, "failed"), verdict(asked, "expired")) == [Dropped()] * 2
    assert (await pulling.told(verdict(asked, "refused"))).code == "refused"
    assert (await pulling.ledger.open(submission(asked))).code == "refused"


async def test_another_ask_under_its_id_is_a_conflict(pulling: World) -> None:
    """What waits is untouched by it."""
    authorisation = await pulling.give()
    asked = await waits(pulling, authorisation)
    other, answer = await pulling.answered(authorisation, request=asked.key.request, month="4")
    assert (await pulling.told(answer)).code == "conflict"
    with pytest.raises(Refused, match=Code.NOTHING_WAITS):
        await pulling.ledger.open(submission(other))
    assert (await pulling.ledger.open(submission(asked))).delivery == "key"


async def test_the_deadline_is_that_of_the_opening(pulling: World) -> None:
    """Opened too late it is expired, though it came in time."""
    asked = await waits(pulling, await pulling.give())
    pulling.clock.advance(300_000)
    opened = await pulling.ledger.open(submission(asked))
    assert (opened.code, opened.reason, opened.inner) == ("expired", Code.DEADLINE_PASSED, b"")


async def test_narrowed_while_it_waited(pulling: World) -> None:
    """It holds a scope that was taken back: it opens no more."""
    authorisation = await pulling.give()
    asked = await waits(pulling, authorisation)
    await pulling.ledger.narrow(authorisation, ("cnaf_quotient_familial",), OPERATOR)
    assert (await pulling.ledger.open(submission(asked))).reason == Code.CERTIFICATE_OUTDATED


async def test_a_withdrawal_names_what_was_opened_and_not_received(pulling: World) -> None:
    """Opened and received, opened and lost, never opened: the second alone is named; neither opens again with its key."""
    authorisation = await pulling.give()
    received, lost, unread = [await waits(pulling, authorisation) for _ in range(3)]
    for asked in (received, lost):
        await pulling.ledger.open(submission(asked))
    await pulling.ledger.received([submission(received)])
    ack = await pulling.ledger.withdraw(authorisation, "withdrawn")
    assert ack.named == (lost.key.request,)
    assert [(await pulling.ledger.open(submission(a))).delivery for a in (received, lost, unread)] == [
        "cut",
        "cut",
        "none",
    ]


async def test_told_to_all_without_its_key_once(pulling: World) -> None:
    """What was opened, withdrawn unread or too late is told until that is confirmed; what still waits is not."""
    given, other = await pulling.give(), await pulling.give()
    opened, waiting, withdrawn = await waits(pulling, given), await waits(pulling, given), await waits(pulling, other)
    assert await pulling.ledger.over() == []
    await pulling.ledger.open(submission(opened))
    await pulling.ledger.withdraw(other, "withdrawn")
    told = await pulling.ledger.over()
    assert {(o.key, o.code, o.delivery, o.inner) for o in told} == {
        (opened.key, "released", "none", b""),
        (withdrawn.key, "refused", "none", b""),
    }
    assert {o.key for o in await pulling.ledger.over()} == {o.key for o in told}
    await pulling.ledger.release([], [Confirmation(o.key, o.digest, None) for o in told])
    assert await pulling.ledger.over() == []
    pulling.clock.advance(300_000)
    assert [(o.key, o.code) for o in await pulling.ledger.over()] == [(waiting.key, "expired")]


async def test_kept_no_longer_than_needed(pulling: World) -> None:
    """Received and told it goes at the next sweep; lost on the way it stays until its deadline, for it may be asked for again."""
    authorisation = await pulling.give()
    received, lost = await waits(pulling, authorisation), await waits(pulling, authorisation)
    for asked in (received, lost):
        await pulling.ledger.open(submission(asked))
    await pulling.ledger.received([submission(received)])
    await pulling.ledger.sweep()
    assert kept(pulling) == 2
    await pulling.ledger.release([], [Confirmation(o.key, o.digest, None) for o in await pulling.ledger.over()])
    await pulling.ledger.sweep()
    assert kept(pulling) == 1 and (await pulling.ledger.open(submission(lost))).delivery == "key"
    pulling.clock.advance(300_000)
    await pulling.ledger.sweep()
    assert kept(pulling) == 0
    with pytest.raises(Refused, match=Code.NOTHING_WAITS):
        await pulling.ledger.open(submission(lost))


async def test_an_operator_pushed_to_is_not_concerned(world: World) -> None:
    """By default the outcome carries the answer, and nothing waits."""
    asked, answer = await world.answered(await world.give())
    assert (await world.told(answer)).delivery == "key"
    with pytest.raises(Refused, match=Code.NOTHING_WAITS):
        await world.ledger.open(submission(asked))
    assert kept(world) == 0


def test_a_data_set_says_how_it_is_handed_over() -> None:
    """`handover` of its schema's record; none of today's asks to be pulled."""
    assert handover_of({"fields": [], "handover": "pull"}) == "pull"
    a = Authorisation(b"", 1, State.LIVE, "", "", "", "", (), 0, 0, 0, 0, b"", b"", ("1", "2"), pulling=("2",))
    assert (pulling_of(a, "pull"), pulling_of(a, "push")) == ({"1", "2"}, {"2"})
    assert {data_set.handover for data_set in DATA_SETS.values()} == {"push"}

"""Attempts and releases, on SQLite: protocol §4."""

from __future__ import annotations

import msgspec
import pytest

from consent.core.facts import (
    Attempt,
    Dropped,
    Outcome,
    State,
    Submission,
    Verdict,
)
from exchange.core.errors import Code
from exchange.receipt import BadReceipt, verify_proof, verify_release
from exchange.sealing import open_inner, public_bytes
from tests.world import OPERATOR, PAUL, RECIPIENT, World, codes, confirmation, held, log_size

QUOTIENT_ONLY = ("cnaf_quotient_familial",)


async def test_an_answer_is_released_with_a_receipt_and_opens_for_its_recipient(world: World) -> None:
    """Released: the inner seal, a leaf that commits to this answer, in a signed batch, later in the log."""
    asked, answer = await world.answered(await world.give())
    outcome = await world.told(answer)
    assert (outcome.code, outcome.delivery) == ("released", "key")
    plain = open_inner(world.context(asked), outcome.inner, world.wallet.private, public_bytes(world.connector.signing))
    assert plain == b"found"
    verify_release(outcome, asked.digest, world.keys.verifier)
    leaf, path, checkpoint = await world.ledger.proof(outcome.leaf_index)
    assert leaf == outcome.leaf
    verify_proof(leaf, outcome.leaf_index, path, checkpoint, world.keys.verifier)


async def test_a_receipt_proves_nothing_else(world: World) -> None:
    """A receipt with one field changed is no receipt."""
    asked, answer = await world.answered(await world.give())
    outcome = await world.told(answer)
    for change in (
        {"leaf": outcome.leaf[:-1] + bytes([outcome.leaf[-1] ^ 1])},
        {"leaf_salt": bytes(32)},
        {"certificate_hash": bytes(32)},
        {"deadline_ms": outcome.deadline_ms + 1},
        {"scopes": QUOTIENT_ONLY},
        {"batch_place": 1},
        {"batch_note": outcome.batch_note.replace("/batch", "/bitch")},
        {"batch_note": ""},
    ):
        with pytest.raises(BadReceipt):
            verify_release(msgspec.structs.replace(outcome, **change), asked.digest, world.keys.verifier)
    with pytest.raises(BadReceipt):
        verify_release(outcome, bytes(32), world.keys.verifier)


async def test_uses_are_exact_under_redelivery(world: World) -> None:
    """One use for each request released, however often and in whatever chunks its answer comes."""
    a = await world.give(max_uses=10)
    (_, one), (_, two) = await world.answered(a), await world.answered(a)
    await world.release(one, one, two)
    await world.release(two, one, one)
    assert (await held(world, a)).uses == 2


async def test_a_duplicate_in_one_chunk_is_told_with_the_same_receipt(world: World) -> None:
    """Both copies carry the leaf: whichever the collectivity reads first can be verified."""
    asked, answer = await world.answered(await world.give())
    first, second = await world.release(answer, answer)
    for outcome in (first, second):
        assert isinstance(outcome, Outcome) and outcome.delivery == "key"
        verify_release(outcome, asked.digest, world.keys.verifier)


async def test_a_redelivered_answer_is_told_again_until_it_is_confirmed(world: World) -> None:
    """Crash before the confirmation: same leaf, key again. After it: nothing."""
    asked, answer = await world.answered(await world.give())
    first, again = await world.told(answer), await world.told(answer)
    assert (again.code, again.delivery, again.leaf_index) == ("released", "key", first.leaf_index)
    verify_release(again, asked.digest, world.keys.verifier)
    await world.confirm(again)
    assert await world.release(answer) == [Dropped()]


async def test_an_answer_met_again_with_its_confirmation_is_dropped(world: World) -> None:
    """What the broker has is confirmed before the same transaction decides: the answer that came twice is told once."""
    _, answer = await world.answered(await world.give())
    told = await world.told(answer)
    assert await world.ledger.release([answer], [confirmation(told)]) == [Dropped()]


async def test_a_second_answer_to_a_released_request_is_dropped(world: World) -> None:
    """The first answer released is the answer; another sealed one is not told."""
    asked, answer = await world.answered(await world.give())
    await world.told(answer)
    assert await world.release(world.answer(asked)) == [Dropped()]


async def test_the_last_use_retires_the_key_and_its_answer_is_still_told_again(world: World) -> None:
    """used_up: no new release, but the key stays for the answer that is not confirmed yet."""
    a = await world.give(max_uses=1)
    (_, last), (_, late) = await world.answered(a), await world.answered(a)
    await world.told(last)
    assert (await held(world, a)).state is State.USED_UP
    assert (await world.told(last)).delivery == "key"
    refused = await world.told(late)
    assert (refused.code, refused.reason) == ("refused", Code.USED_UP)


async def test_the_last_use_counts_within_a_chunk(world: World) -> None:
    """Two answers for one use in one chunk: one is released, the other refused."""
    a = await world.give(max_uses=1)
    (_, one), (_, two) = await world.answered(a), await world.answered(a)
    assert codes(await world.release(one, two)) == ["released", "refused"]
    assert (await held(world, a)).uses == 1


async def test_a_request_decided_once_never_changes(world: World) -> None:
    """Whatever comes after a refusal, a failure or an expiry: the same outcome again, then nothing."""
    a = await world.give()
    for code in ("refused", "failed", "cancelled", "expired"):
        asked, answer = await world.answered(a, ttl_ms=1_000)
        world.clock.advance(2_000)
        verdict = Verdict(asked.key, asked.digest, asked.attempt.deadline_ms, code, Code.DEADLINE_PASSED)
        first = await world.told(verdict)
        assert first.code == code
        assert codes(await world.release(answer, verdict)) == [code, code]
        await world.confirm(first)
        assert codes(await world.release(answer, verdict)) == ["dropped", "dropped"]
    assert (await held(world, a)).uses == 0


async def test_the_ledgers_clock_decides_the_deadline(world: World) -> None:
    """At the deadline an answer expires; one millisecond before it is released; a proposal that is early is dropped."""
    a = await world.give()
    (_, one), (late, two) = await world.answered(a, ttl_ms=1_000), await world.answered(a, ttl_ms=1_000)
    expired = Verdict(late.key, late.digest, late.attempt.deadline_ms, "expired", Code.DEADLINE_PASSED)
    world.clock.advance(999)
    assert codes(await world.release(one, expired)) == ["released", "dropped"]
    world.clock.advance(1)
    assert codes(await world.release(two, expired)) == ["expired", "expired"]
    assert (await held(world, a)).uses == 1


@pytest.mark.parametrize(("offset_ms", "code"), [(-1, "released"), (0, "refused"), (1, "refused")])
async def test_not_after_is_excluded(world: World, offset_ms: int, code: str) -> None:
    """Valid until not_after - 1 ms, and not a millisecond more, whatever the state's record says."""
    a = await world.give(not_after_ms=world.clock.now_ms() + 10_000)
    _, answer = await world.answered(a, ttl_ms=60_000)
    world.clock.advance(10_000 + offset_ms)
    assert codes(await world.release(answer)) == [code]


async def test_one_id_with_other_bytes_is_a_conflict_of_that_submission_only(world: World) -> None:
    """The first submission keeps its fate; the other one is told conflict, as often as it comes."""
    a = await world.give()
    asked, answer = await world.answered(a)
    other, wrong = await world.answered(a, request=asked.key.request, month="4")
    first = await world.told(answer)
    assert codes(await world.release(wrong, wrong)) == ["conflict", "conflict"]
    assert (await world.told(answer)).code == "released"
    await world.confirm(first)
    assert await world.ledger.unconfirmed(
        [Submission(asked.key, asked.digest), Submission(other.key, other.digest)]
    ) == [
        False,
        True,
    ]
    await world.confirm(await world.told(wrong))
    assert await world.ledger.unconfirmed([Submission(other.key, other.digest)]) == [False]
    assert (await held(world, a)).uses == 1


async def test_dead_letters_are_never_terminal(world: World) -> None:
    """A forged tag, altered bytes, an answer never attempted: dead letters; then the good answer is released."""
    asked, answer = await world.answered(await world.give())
    replace = msgspec.structs.replace
    forged = [
        replace(answer, tag=bytes(32)),
        replace(answer, outer=answer.outer[:-1] + bytes([answer.outer[-1] ^ 1])),
        replace(answer, sealed_key=bytes(len(answer.sealed_key))),
        world.answer(asked, mac=bytes(32)),
    ]
    never = world.answer(world.ask(asked.key.authorisation))
    assert codes(await world.release(*forged, never)) == ["dead:bad_seal"] * 4 + ["dead:no_attempt"]
    assert codes(await world.release(answer)) == ["released"]


async def test_a_tagged_answer_that_does_not_open_is_a_dead_letter(world: World) -> None:
    """A connector that tags rubbish burns no use and ends nothing."""
    a = await world.give()
    asked = world.ask(a)
    await world.attempt(asked)
    rubbish = world.answer(asked._replace(certificate=world.certificate(await world.give(PAUL))))
    assert codes(await world.release(rubbish)) == ["dead:bad_seal"]
    assert (await held(world, a)).uses == 0


async def test_an_answer_of_a_delegation_that_ended_is_refused(world: World) -> None:
    """The operator lost its delegation between the attempt and the release."""
    _, answer = await world.answered(await world.give())
    await world.ledger.delegate(RECIPIENT, OPERATOR, world.clock.now_ms())
    outcome = await world.told(answer)
    assert (outcome.code, outcome.reason, outcome.inner) == ("refused", Code.DELEGATION_ABSENT, b"")


async def test_an_answer_of_a_habilitation_that_shrank_is_refused(world: World) -> None:
    """The collectivity lost a scope between the attempt and the release."""
    a = await world.give()
    _, answer = await world.answered(a)
    agreed = await held(world, a)
    await world.ledger.habilitate(
        RECIPIENT, agreed.data_set, agreed.purpose, QUOTIENT_ONLY, "", world.clock.now_ms() + 10**9
    )
    assert (await world.told(answer)).reason == Code.HABILITATION_ABSENT


async def test_refusals_say_why_and_carry_no_answer(world: World) -> None:
    """A refused outcome has no inner seal and no key, and its code is of the catalogue."""
    a = await world.give()
    _, answer = await world.answered(a)
    await world.ledger.withdraw(a, "withdrawn")
    outcome = await world.told(answer)
    assert (outcome.code, outcome.delivery, outcome.reason, outcome.inner) == ("refused", "none", Code.WITHDRAWN, b"")


async def test_three_attempts_and_no_more(world: World) -> None:
    """Each State call is preceded by an attempt, at most three a request; each leaves a leaf."""
    asked = world.ask(await world.give())
    size = await log_size(world)
    granted = [await world.attempt(asked) for _ in range(4)]
    assert [g.reason for g in granted] == ["", "", "", Code.ATTEMPTS_EXHAUSTED]
    assert granted[3].recipient is None
    assert await log_size(world) == size + 3


async def test_attempts_of_one_chunk_count_together(world: World) -> None:
    """A task delivered four times in one chunk is attempted three times."""
    asked = world.ask(await world.give())
    granted = await world.ledger.attempt([asked.attempt] * 4)
    assert [g.reason for g in granted] == ["", "", "", Code.ATTEMPTS_EXHAUSTED]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"certificate_hash": bytes(32)}, Code.CERTIFICATE_OUTDATED),
        ({"deadline_ms": 1}, Code.DEADLINE_PASSED),
    ],
)
async def test_an_attempt_that_may_not_be_is_not(world: World, change: dict[str, object], reason: Code) -> None:
    """An outdated certificate or a passed deadline stops the call at the source."""
    attempt: Attempt = msgspec.structs.replace(world.ask(await world.give()).attempt, **change)
    (granted,) = await world.ledger.attempt([attempt])
    assert (granted.reason, granted.recipient) == (reason, None)


async def test_no_state_call_after_a_withdrawal(world: World) -> None:
    """Withdrawn: the next attempt says so."""
    asked = world.ask(await world.give())
    assert (await world.attempt(asked)).reason == ""
    await world.ledger.withdraw(asked.key.authorisation, "withdrawn")
    assert (await world.attempt(asked)).reason == Code.WITHDRAWN


async def test_an_attempt_of_an_operator_without_key_is_refused(world: World) -> None:
    """Nobody to seal to: no call."""
    asked = world.ask(await world.give())
    key = msgspec.structs.replace(asked.key, operator="130025265")
    (granted,) = await world.ledger.attempt([msgspec.structs.replace(asked.attempt, key=key)])
    assert granted.reason == Code.DELEGATION_ABSENT


async def test_an_attempt_under_an_unknown_authorisation_is_refused(world: World) -> None:
    """No authorisation, no call."""
    asked = world.ask(await world.give())
    key = msgspec.structs.replace(asked.key, authorisation=bytes(16))
    (granted,) = await world.ledger.attempt([msgspec.structs.replace(asked.attempt, key=key)])
    assert granted.reason == Code.AUTHORISATION_UNKNOWN

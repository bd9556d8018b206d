"""A watch on the bus in memory: what is told, what is not, and what ends it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from sqlalchemy import select

from connectors.contract import Failure, NotFound, Retry
from consent.changes import rekey
from consent.stores import tables
from exchange import wire
from exchange.core import topics
from exchange.core.errors import Code
from exchange.core.watch import number_of
from exchange.outcomes import ConsentRequired, ConsentWithdrawn, NotEntitled
from exchange.sdk import Bus
from exchange.watching import BadName
from tests.rules.rules import UNDER_650, signed
from tests.watch.stands import DATA_SET, HOUR_MS, WATCHES, quotient, standing, take
from tests.world import JEANNE


async def test_only_what_changed_is_told() -> None:
    """The first answer; then, however often the State is asked, one answer when it says something else: two uses in all, receipts verified."""
    async with standing() as stand:
        changes = (await stand.watch()).changes()
        first = await take(changes, stand)
        assert first.number == 0 and first.answer.data is not None
        await stand.hours(4)
        assert (len(stand.api.asked_ms), len(stand.outcomes), await stand.uses()) == (5, 1, 1)
        stand.api.says = quotient(600)
        await stand.hours()
        assert (await take(changes, stand)).number == 5
        await stand.hours(3)
        assert stand.values == [742, 600]
        assert (len(stand.outcomes), await stand.uses()) == (2, 2)


async def test_a_change_and_back_is_two_changes() -> None:
    """A, B, A: each is told; nothing on the topics says that the third is the first again."""
    async with standing() as stand:
        changes = (await stand.watch()).changes()
        values, told = [742, 600, 742], [await take(changes, stand)]
        for value in values[1:]:
            stand.api.says = quotient(value)
            await stand.hours()
            told.append(await take(changes, stand))
        assert (len(told), stand.values) == (3, values)
        prints = {
            wire.read("exchange-look", record.value)["fingerprint"] for record in stand.bus.broker.records(WATCHES)
        }
        assert len(prints) == 3


async def test_a_look_is_a_request_of_its_own() -> None:
    """Its id is a UUIDv8 that follows from the first digest and its number; the application knows its own by it, and nobody else's."""
    async with standing() as stand:
        watch = await stand.watch()
        await stand.hours(3)
        stand.api.says = quotient(600)
        await stand.hours()
        first, change = stand.outcomes
        request = change.key.request
        assert (request[6] >> 4, request[8] >> 6) == (8, 2)
        assert number_of(request, watch.request.digest) == 4
        assert number_of(request, bytes(32)) == number_of(first.key.request, watch.request.digest) == 0


async def test_another_watch_is_not_confused_with_it() -> None:
    """Two watches of two purposes on one bus: each is told its own changes."""
    async with standing() as stand:
        other = await stand.bus.give(JEANNE, watch_every_ms=HOUR_MS, purpose="tarification-periscolaire")
        watches = [await stand.watch(), await stand.watch(consent=other, purpose="tarification-periscolaire")]
        changes = [watch.changes() for watch in watches]
        for each in changes:
            assert (await take(each, stand)).number == 0
        stand.api.says = quotient(600)
        await stand.hours()
        for each, watch in zip(changes, watches, strict=True):
            change = await take(each, stand)
            assert change.answer.outcome.key.authorisation == watch.request.authorisation


async def test_found_then_not_found_is_a_change() -> None:
    """The State's refusals and its not found are answers: told when they are new, and only then."""
    async with standing() as stand:
        changes = (await stand.watch()).changes()
        await take(changes, stand)
        stand.api.reading = NotFound("35003", "Allocataire non référencé")
        await stand.hours(3)
        change = await take(changes, stand)
        assert (change.answer.status, change.answer.code, len(stand.outcomes)) == ("not_found", "35003", 2)


async def test_a_withdrawal_stops_it() -> None:
    """After the acknowledgement the State is asked nothing more, whatever changed; the application is told once, and nothing is left."""
    async with standing() as stand:
        changes = (await stand.watch()).changes()
        await take(changes, stand)
        await stand.hours(2)
        await stand.bus.withdraw(stand.consent)
        calls, stand.api.says = len(stand.api.asked_ms), quotient(600)
        await stand.hours(4)
        with pytest.raises(ConsentWithdrawn):
            await take(changes, stand)
        assert (len(stand.api.asked_ms), stand.codes, await stand.uses()) == (calls, ["released", Code.WITHDRAWN], 1)
        written = len(stand.bus.broker.records(WATCHES))
        await stand.hours(3)
        assert len(stand.bus.broker.records(WATCHES)) == written


@pytest.mark.parametrize("happening", ["opposed", "erased", "ended", "invalidated"])
async def test_whatever_closes_the_agreement_stops_it(happening: str) -> None:
    """No State call after the acknowledgement, one word to the application."""
    async with standing() as stand:
        await stand.watch()
        await stand.bus.withdraw(stand.consent, happening)
        await stand.hours(3)
        assert (len(stand.api.asked_ms), len(stand.codes)) == (1, 2)
        assert stand.outcomes[1].code == "refused"


async def test_a_withdrawal_between_look_and_release_tells_nothing() -> None:
    """The answer had changed and was sealed; the withdrawal came before its release: refused, not opened."""
    async with standing() as stand:
        await stand.watch()
        await stand.bus.pause("release")
        stand.api.says = quotient(600)
        await stand.hours()
        assert len(stand.bus.broker.records(topics.answers("cnaf"))) == 2
        await stand.bus.withdraw(stand.consent)
        await stand.bus.resume("release")
        await stand.rest()
        assert (stand.codes[:2], await stand.uses()) == (["released", Code.WITHDRAWN], 1)
        assert len(stand.api.asked_ms) == 2


async def test_uses_count_what_was_sent_and_end_it() -> None:
    """Two uses: the first answer and one change, however many looks; then the watch ends and says so."""
    async with standing(max_uses=2) as stand:
        changes = (await stand.watch()).changes()
        await take(changes, stand)
        await stand.hours(3)
        stand.api.says = quotient(600)
        await stand.hours()
        await take(changes, stand)
        calls, stand.api.says = len(stand.api.asked_ms), quotient(500)
        await stand.hours(3)
        with pytest.raises(ConsentRequired) as ended:
            await take(changes, stand)
        assert (ended.value.code, len(stand.api.asked_ms), await stand.uses()) == (Code.USED_UP, calls, 2)


async def test_it_ends_with_the_agreement() -> None:
    """An agreement of three hours: looked at twice, told that it is over, never looked at again."""
    async with standing() as stand:
        now_ms = stand.clock.now_ms()
        stand.consent = await stand.bus.give(JEANNE, watch_every_ms=HOUR_MS, not_after_ms=now_ms + 3 * HOUR_MS)
        await stand.watch()
        await stand.hours(5)
        assert (len(stand.api.asked_ms), stand.codes) == (3, ["released", Code.EXPIRED])


async def test_it_ends_with_the_right_to_ask() -> None:
    """A delegation of two and a half hours under an agreement of a year: looked at twice, told that it is over, never looked at again."""
    async with standing() as stand:
        ledger, bus = stand.bus.ledger, stand.bus
        await ledger.delegate(bus.recipient, bus.operator, stand.clock.now_ms() + 5 * HOUR_MS // 2)
        await stand.watch()
        await stand.hours(5)
        assert (len(stand.api.asked_ms), stand.codes) == (3, ["released", Code.DELEGATION_ABSENT])


async def test_it_ends_when_the_application_said() -> None:
    """`until_ms`: the looks before it are made, none after; the stream of changes ends by itself and no refusal is told."""
    async with standing() as stand:
        watch = await stand.watch(until_ms=stand.clock.now_ms() + 3 * HOUR_MS)
        changes = watch.changes()
        await take(changes, stand)
        await stand.hours(6)
        assert (len(stand.api.asked_ms), stand.codes) == (3, ["released"])
        assert [change async for change in changes] == []


async def test_a_change_told_at_the_last_look_is_told() -> None:
    """The watch ends before another look: its last answer is sent all the same."""
    async with standing() as stand:
        await stand.watch(until_ms=stand.clock.now_ms() + 2 * HOUR_MS)
        stand.api.says = quotient(600)
        await stand.hours(3)
        assert (len(stand.api.asked_ms), stand.codes) == (2, ["released", "released"])


async def test_an_end_before_the_first_look_is_no_watch() -> None:
    """One answer, nothing kept."""
    async with standing() as stand:
        await stand.watch(until_ms=stand.clock.now_ms() + 1000)
        await stand.hours(2)
        assert (stand.codes, stand.bus.broker.records(WATCHES)) == (["released"], [])


@pytest.mark.parametrize(
    ("agreed_ms", "asked"),
    [
        (0, {}),
        (2 * HOUR_MS, {}),
        (1, {"every_s": 3599}),
        (HOUR_MS, {"every_s": -3600}),
        (HOUR_MS, {"every_s": 0, "until_ms": 10**13}),
        (HOUR_MS, {"every_s": 367 * 86_400}),
    ],
)
async def test_the_gate_refuses_what_was_not_agreed(agreed_ms: int, asked: dict[str, Any]) -> None:
    """No watch agreed, more often than agreed, more often than the bus takes, or nonsense: `watch_exceeded`, and the State is not asked."""
    async with standing(watch_every_ms=agreed_ms) as stand:
        changes = (await stand.watch(**asked)).changes()
        with pytest.raises(NotEntitled) as refused:
            await take(changes, stand)
        assert (refused.value.code, stand.bus.broker.records(topics.tasks("cnaf"))) == (Code.WATCH_EXCEEDED, [])


async def test_an_ordinary_request_under_such_an_agreement_is_answered_once() -> None:
    """That a watch is allowed asks for none."""
    async with standing() as stand:
        await (await stand.bus.sdk.request(DATA_SET, consent=stand.consent, purpose="tarification-cantine")).answer()
        await stand.hours(3)
        assert (len(stand.api.asked_ms), stand.bus.broker.records(WATCHES)) == (1, [])


async def test_a_narrowed_agreement_ends_it() -> None:
    """It no longer allows what was asked: the application is told, and asks again."""
    async with standing() as stand:
        await stand.watch()
        await stand.bus.ledger.narrow(stand.consent, ("cnaf_quotient_familial",), stand.bus.operator)
        await stand.hours(3)
        assert (len(stand.api.asked_ms), stand.codes) == (1, ["released", Code.CERTIFICATE_OUTDATED])


async def test_it_lives_on_under_a_new_key() -> None:
    """The key of the agreement is replaced, as it is after 30 days of service: the next look is made under the new one, and the application
    opens its change with the capsule it asks for again. Nobody has to ask anew, no use is lost."""
    async with standing() as stand:
        changes = (await stand.watch()).changes()
        await take(changes, stand)
        await stand.hours()
        with stand.bus.ledger._begin() as tx:
            rekey(tx, stand.consent)
        await stand.hours(2)
        assert (len(stand.api.asked_ms), stand.codes) == (4, ["released"])
        stand.api.says = quotient(600)
        await stand.hours()
        change = await take(changes, stand)
        assert change.answer.data is not None and change.answer.data["quotient_familial"]["valeur"] == 600
        assert (change.number, await stand.uses()) == (4, 2)


async def test_a_first_answer_that_failed_begins_nothing() -> None:
    """The application was told that it failed, and waits for nothing."""
    async with standing() as stand:
        stand.api.reading = Failure("", "garbage")
        await stand.watch()
        await stand.hours(3)
        assert (stand.codes, len(stand.api.asked_ms)) == ([Code.PROVIDER_ERROR], 1)


async def test_a_first_answer_released_too_late_begins_nothing() -> None:
    """Sealed in time, but its release came after the deadline: the application was told `expired`; the State is not asked again."""
    async with standing() as stand:
        await stand.bus.pause("release")
        await stand.watch()
        await stand.bus.resume("release")
        await stand.hours(3)
        assert (stand.codes, len(stand.api.asked_ms)) == ([Code.DEADLINE_PASSED], 1)


async def test_a_change_released_too_late_is_told_at_the_next_look() -> None:
    """An answer nobody could open is not the one to compare with: the same value is sent again, and told."""
    async with standing() as stand:
        changes = (await stand.watch()).changes()
        await take(changes, stand)
        stand.api.says = quotient(600)
        await stand.bus.pause("release")
        await stand.hours(2)
        await stand.bus.resume("release")
        await stand.rest()
        await stand.hours(2)
        assert (await take(changes, stand)).answer.status == "found"
        assert stand.values == [742, 600]
        assert stand.codes == ["released", Code.DEADLINE_PASSED, "released"]


async def test_a_state_that_fails_is_asked_again_next_time() -> None:
    """Three periods of failures of each kind tell nothing and end nothing; then the change is told."""
    async with standing() as stand:
        changes = (await stand.watch()).changes()
        await take(changes, stand)
        for failure in (Failure("", "garbage"), Retry("", 0.0, "network"), Failure("", "wrong_person")):
            stand.api.reading = failure
            await stand.hours()
        assert stand.codes == ["released"]
        stand.api.reading, stand.api.says = None, quotient(600)
        await stand.hours()
        assert (await take(changes, stand)).answer.status == "found"


async def test_the_state_may_ask_to_come_back() -> None:
    """`Retry` of ten minutes: called again then, within the same look; three calls at most; of two hours: at the next look."""
    async with standing() as stand:
        await stand.watch()
        stand.api.reading = Retry("04501", 600)
        await stand.hours()
        for _ in range(4):
            stand.clock.advance(601_000)
            await stand.rest()
        waits = [b - a for a, b in itertools.pairwise(stand.api.asked_ms)]
        assert len(waits) == 3 and all(600_000 <= wait < 700_000 for wait in waits[1:])
        stand.api.reading = Retry("04501", 7200)
        calls = len(stand.api.asked_ms)
        await stand.hours()
        assert len(stand.api.asked_ms) == calls + 1
        stand.api.reading, stand.api.says = None, quotient(600)
        await stand.hours()
        assert stand.codes == ["released", "released"]


async def test_the_application_goes_on_where_it_was() -> None:
    """A change told while it was stopped is read by another process from the name of the watch and the last cursor, and read once."""
    async with standing() as stand:
        watch = await stand.watch()
        first = await take(watch.changes(), stand)
        stand.api.says = quotient(600)
        await stand.hours()
        sdk = stand.bus.sdk
        other = Bus(sdk.wallet, sdk.outbox, sdk.reader, sdk.ledger, sdk.trust, sdk.clock)
        again = other.resume(watch.name)
        changes = again.changes(after=first.cursor)
        assert (await take(changes, stand)).number == 1
        with pytest.raises(AssertionError):
            await take(changes, stand)
        with pytest.raises(BadName):
            stand.bus.sdk.resume("00.11")


async def test_a_rule_that_is_watched_tells_when_its_answer_changes() -> None:
    """The value moves within its bracket, hour after hour: nothing is told, though each answer to a rule bears its own time; it crosses
    650: told."""
    async with standing() as stand:
        rule = signed(UNDER_650, stand.bus.keys)
        stand.consent = await stand.bus.give(
            JEANNE, watch_every_ms=HOUR_MS, rule=rule, scopes=("cnaf_quotient_familial",)
        )
        changes = (await stand.watch(rule=rule)).changes()
        assert (await take(changes, stand)).answer.rule is not None
        for value in (700, 800, 651):
            stand.api.says = quotient(value)
            await stand.hours()
        assert (len(stand.api.asked_ms), stand.codes) == (4, ["released"])
        stand.api.says = quotient(650)
        await stand.hours()
        assert (await take(changes, stand)).number == 4


async def test_the_attempts_say_that_it_was_looked() -> None:
    """Each look leaves its attempt in the ledger, under its own request, whether it told anything or not."""
    async with standing() as stand:
        watch = await stand.watch()
        await stand.hours(3)
        with stand.bus.ledger._engine.connect() as connection:
            rows = connection.execute(select(tables.attempt.c.request).order_by(tables.attempt.c.at)).scalars().all()
        assert [number_of(request, watch.request.digest) for request in rows] == [0, 1, 2, 3]
